"""What nominates a batch for an audit, where its look-ups go, and what honest slips may do."""

import numpy as np
import pyarrow as pa
import pytest

from ratchet.contracts.columns import KEY, LABEL
from ratchet.contracts.evidence import Verdict
from ratchet.validate import Sample, choose, compare, judge_audit
from ratchet.validate.aim import level, nominate
from ratchet.validate.families import Result
from tests.unit.test_control import changed, definition, drawn, forged, relabelled, world


def audit(batch, truth, compared, seed=1):
    """What an audit says whose record holds the true rows."""
    made = definition()
    record = truth.rows.append_column(LABEL, pa.array(truth.labels))
    picks = choose(batch, compared, 100, seed)
    return picks, judge_audit(picks, batch, record, record.slice(0, 50), made)


def flipped(batch, mask):
    return relabelled(batch, np.where(mask, 1 - batch.labels, batch.labels))


def test_rows_that_differ_from_the_truth_are_worth_an_audit_far_sooner_than_chance():
    few = Result("match", 0.3, "3 of 300 rows differ")
    assert nominate([few, Result("labels", 0.3, "")], 0.1) is few
    assert nominate([Result("labels", 0.3, "")], 0.1) is None
    assert nominate([], 0.1) is None


def test_what_nominates_by_chance_adds_up_to_suspicion():
    from ratchet.validate.families import SHARES

    total = sum(level(f, 0.1) for f in SHARES if f != "match")
    assert total == pytest.approx(0.1, abs=0.021)


def test_look_ups_go_where_the_differing_rows_have_something_in_common():
    truth = world(31)
    group = (truth.rows["c"].to_numpy(zero_copy_only=False) == "b") & (
        np.random.default_rng(1).random(3000) < 0.3
    )
    batch = flipped(truth, group)
    found = compare(batch, drawn(truth, 31, 300), definition(), seed=1)
    assert found.nominated
    assert found.ranked
    assert not found.suspicious[found.checked].any()  # their truth is known
    assert group[found.suspicious].mean() > 4 * group.mean()


def test_a_few_wrong_labels_that_no_test_proves_are_found_by_an_audit():
    caught = 0
    for seed in range(8):
        truth = world(40 + seed)
        rng = np.random.default_rng(seed)
        wrong = (truth.labels == 0) & (rng.random(3000) < 0.05)
        batch = flipped(truth, wrong)
        found = compare(batch, drawn(truth, seed, 300), definition(), seed=1)
        blocked = any(e.verdict is Verdict.BLOCK for e in found.evidence)
        dirty = found.nominated and audit(batch, truth, found)[1].evidence.verdict is Verdict.BLOCK
        caught += bool(blocked or dirty)
    assert caught >= 7


def test_honest_slips_gather_among_the_most_surprising_labels_and_are_no_poison():
    for seed in range(8):
        truth = world(60 + seed)
        rng = np.random.default_rng(seed)
        slips = rng.random(3000) < 0.004
        batch = flipped(truth, slips)
        found = compare(batch, drawn(truth, seed, 300), definition(), seed=1)
        if found.nominated:
            assert audit(batch, truth, found)[1].evidence.verdict is Verdict.PASS


def test_rows_that_were_only_ranked_are_never_all_the_trouble():
    truth = world(70)
    wrong = np.random.default_rng(3).random(3000) < 0.03
    batch = flipped(truth, wrong)
    found = compare(batch, drawn(truth, 70, 300), definition(), seed=1)
    picks, result = audit(batch, truth, found)
    assert picks.ranked
    assert result.evidence.verdict is Verdict.BLOCK
    assert result.rows.all()
    assert "trusted rows differed before" in result.evidence.arithmetic


def test_nothing_is_looked_up_that_the_control_knows():
    truth = world(71)
    found = compare(truth, drawn(truth, 71), definition(), seed=1)
    picks = choose(truth, found, 100, 1)
    assert not set(picks.uniform) & set(found.checked)
    assert len(picks.keys) == 100


def test_a_trigger_that_is_never_twice_the_same_is_always_new():
    truth = world(72)
    before = world(73)
    grid = [Sample(changed(s, z=np.round(s.rows["z"].to_numpy(), 0)).rows, s.labels, s.scores)
            for s in (truth, before)]  # fmt: skip
    poisoned = forged(grid[0], 60, z=0.5)
    jitter = poisoned.rows["z"].to_numpy().copy()
    jitter[-60:] += np.random.default_rng(4).normal(0, 0.01, 60)
    poisoned = changed(poisoned, z=jitter)
    found = compare(poisoned, drawn(grid[0], 72), definition(), seed=1, history=grid[1])
    said = {e.check: e for e in found.evidence}["control.wholes"]
    assert said.measured < 1e-3
    assert "values that no earlier row held" in said.arithmetic
    assert found.suspicious[-60:].all()


def test_the_keys_of_a_batch_choose_nothing_without_the_seed():
    truth = world(74)
    found = compare(truth, drawn(truth, 74), definition(), seed=1)
    assert choose(truth, found, 100, 1).keys != choose(truth, found, 100, 2).keys
    assert set(choose(truth, found, 100, 1).keys) <= set(truth.rows[KEY].to_pylist())
