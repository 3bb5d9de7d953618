"""Slices that nobody declared: found where a candidate is worse, hardly ever else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.evidence import Verdict
from ratchet.gate import GateInput, Searches, judge_discovered
from ratchet.gate.discovered import lower_bound, suspected
from ratchet.gate.rule import Condition, Rule
from ratchet.gate.searches import MOST_WATCHED
from ratchet.gate.weak import weakest
from tests.learning import definition

PIPELINE = definition(gate="discover = true\nslice_margin = 0.1")
KINDS = {"x": "number", "z": "number", "kind": "category"}
NEW = Searches()
WEAK = Rule((Condition("kind", value="c"),))


def table(rows: int = 4000, seed: int = 0, gaps: bool = False) -> pa.Table:
    random = np.random.default_rng(seed)
    x = pa.array(random.normal(size=rows), mask=random.random(rows) < (0.1 if gaps else 0))
    kinds = random.choice(["a", "b", "c", None], rows, p=[0.5, 0.35, 0.1, 0.05])
    return pa.table({"x": x, "z": random.normal(size=rows), "kind": pa.array(kinds.tolist())})


def request(hurt: Rule | None = None, seed: int = 0, champion: bool = True) -> GateInput:
    """Both models know the truth; where the rule holds the candidate says the opposite."""
    rows = table(seed=seed)
    random = np.random.default_rng([seed, 1])
    p = 1 / (1 + np.exp(-rows["z"].to_numpy()))
    y = (random.random(len(p)) < p).astype(float)
    noisy = np.clip(p + random.normal(0, 0.02, len(p)), 0.01, 0.99)
    candidate = noisy if hurt is None else np.where(hurt.mask(rows), 1 - noisy, noisy)
    return GateInput(
        y=y,
        events=np.arange(len(y)),
        candidate=candidate,
        champion=p if champion else None,
        baseline=y.mean(),
        mature_rows=len(y),
        overlap=0,
        holdout_from=800,
    )


def judged(asked: GateInput, known: Searches = NEW, seed: int = 0, **gate: Any):
    pipeline = PIPELINE.model_copy(update={"gate": PIPELINE.gate.model_copy(update=gate)})
    return judge_discovered(asked, table(seed=seed), known, pipeline)


def test_a_slice_in_which_the_candidate_is_worse_is_found_named_and_watched() -> None:
    (found,), known = judged(request(WEAK))
    assert (found.check, found.verdict) == ("gate.discovered", Verdict.BLOCK)
    assert "suspected rows: loss" in found.arithmetic
    assert "most of all kind=c (" in found.arithmetic
    assert found.measured > found.threshold == 0
    assert found.details["slice"] == "kind=c"
    assert found.details["level"] == pytest.approx(0.05 / 2.2857656**2)
    assert (known.asked, known.found) == (1, 1)
    assert known.watched[0].rule == WEAK
    assert known.watched[0].until == 800 + 12 * 100


def test_a_clean_candidate_is_not_asked_or_passes() -> None:
    for seed in range(5):
        found, known = judged(request(seed=seed), seed=seed)
        assert [e.verdict for e in found] == [Verdict.PASS]
        assert known.found == 0


def test_many_weak_slices_count_together() -> None:
    """None of them has the rows to be shown by itself."""
    few = [Rule((Condition("z", low=i, high=i + 0.07), Condition("kind", value="a")))
           for i in (-0.9, -0.5, 0.5, 0.9)]  # fmt: skip
    worse, rows = request(), table()
    turned = worse.candidate.copy()
    for rule in few:
        mine = rule.mask(rows)
        assert mine.sum() < 60
        turned[mine] = np.where(worse.y[mine] > 0, 0.02, 0.98)
    (found,), _ = judged(replace(worse, candidate=turned))
    assert found.verdict is Verdict.BLOCK


def test_nothing_at_all_where_it_is_not_switched_on() -> None:
    assert judged(request(WEAK), discover=False) == ([], Searches())


def test_without_a_champion_a_slice_worse_than_a_constant_score_only_warns() -> None:
    (found,), known = judged(request(WEAK, champion=False))
    assert found.verdict is Verdict.WARN
    assert known.watched[0].rule.conditions[0] == WEAK.conditions[0]


def test_a_watched_slice_blocks_holds_and_passes_without_costing_a_question() -> None:
    _, known = judged(request(WEAK))
    (again,), after = judged(request(WEAK, seed=1), known, seed=1)
    assert (again.check, again.verdict) == ("gate.watched", Verdict.BLOCK)
    assert (after.asked, after.found) == (1, 1)
    clean, _ = judged(request(seed=2), known, seed=2)
    assert [e.check for e in clean] == ["gate.watched", "gate.discovered"]
    assert clean[0].verdict is Verdict.PASS
    slightly = request(seed=2)
    mine, turned = WEAK.mask(table(seed=2)), slightly.candidate.copy()
    mild = np.flatnonzero(mine)[::4]
    turned[mild] = 1 - turned[mild]
    (held,), _ = judged(replace(slightly, candidate=turned), known, seed=2)
    assert held.verdict is Verdict.INCONCLUSIVE
    assert "1 look so" in held.arithmetic


def test_a_slice_is_forgotten_in_time_and_the_oldest_gives_way() -> None:
    known = Searches()
    for i in range(MOST_WATCHED + 2):
        known = known.remember(Rule((Condition("kind", value=str(i)),)), 100 + i)
    assert [w.until for w in known.watched] == list(range(109, 101, -1))
    assert len(known.forget(105).watched) == 4
    again = known.remember(known.watched[-1].rule, 500)
    assert (len(again.watched), again.watched[0].until) == (MOST_WATCHED, 500)
    (told, *_), _ = judged(request(), replace(known, watched=known.watched[:1]))
    assert told.verdict is Verdict.PASS  # until 109 lies before the holdout: nothing is watched
    assert told.check == "gate.discovered"


def test_levels_stay_below_alpha_and_a_finding_raises_them() -> None:
    levels = [Searches(asked=i).level(0.05) for i in range(20_000)]
    assert sum(levels) < 0.05 / 2.28
    shares = [k**-1.6 / 2.2857656 for k in range(1, 5)]
    for found in range(4):  # the reshaping: sum of k times its share, and never more than r
        shape = Searches(found=found).level(0.05) / Searches().level(0.05) * shares[0]
        assert shape == pytest.approx(sum((k + 1) * shares[k] for k in range(found + 1)))
        assert shape < found + 1


def test_the_state_survives_json() -> None:
    rule = Rule((Condition("x", low=None, high=0.25), Condition("kind")))
    known = Searches(7, 2).remember(rule, 12).remember(WEAK, 15)
    kept = json.loads(json.dumps(known.as_json()))
    assert Searches.from_json({**kept, "later": 1}) == known
    assert Searches.from_json({}) == Searches()


def test_too_few_blocks_say_so() -> None:
    few = request(WEAK)
    (found,), known = judged(replace(few, events=few.events // 1000))
    assert found.verdict is Verdict.WARN
    assert "4 blocks, 16 needed" in found.arithmetic
    assert known == Searches()


def test_rules_say_what_they_mean() -> None:
    rows = pa.table({"h": pa.array([4.0, 5.0, 7.9, 8.0, None]), "c": ["AA", None, "AA", "B", "AA"]})
    cases = {
        Condition("h", low=5.0, high=8.0): ("h in [5, 8)", [0, 1, 1, 0, 0]),
        Condition("h", high=5.0): ("h < 5", [1, 0, 0, 0, 0]),
        Condition("h", low=8.0): ("h >= 8", [0, 0, 0, 1, 0]),
        Condition("h"): ("h is missing", [0, 0, 0, 0, 1]),
        Condition("c", value="AA"): ("c=AA", [1, 0, 1, 0, 1]),
        Condition("c"): ("c is missing", [0, 1, 0, 0, 0]),
        Condition("gone", value="AA"): ("gone=AA", [0, 0, 0, 0, 0]),
    }
    for condition, (text, holds) in cases.items():
        assert (str(condition), condition.mask(rows).tolist()) == (text, [bool(b) for b in holds])
    both = Rule((Condition("c", value="AA"), Condition("h", low=5.0, high=8.0)))
    assert str(both) == "c=AA and h in [5, 8)"
    assert both.mask(rows).tolist() == [False, False, True, False, False]


def standing(mine: np.ndarray, excess: np.ndarray, blocks: np.ndarray) -> float:
    """Mean over its error by blocks, the plain way."""
    n, held = mine.sum(), np.unique(blocks)
    left = [(excess - excess[mine].mean())[mine & (blocks == b)].sum() for b in held]
    error = (np.square(left).sum() * len(held) / (len(held) - 1)) ** 0.5 / n
    return float(excess[mine].mean() / max(error, excess.std() / n**0.5))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_weakest_slice_is_a_slice_and_none_by_itself_stands_out_more(
    seed: int, gaps: bool
) -> None:
    rows = table(1500, seed, gaps)
    excess = np.random.default_rng(seed).normal(size=1500)
    blocks = np.arange(1500) * 40 // 1500
    found = weakest(rows, KINDS, excess, blocks)
    mine = found.mask(rows)
    assert 40 <= mine.sum() <= 750
    least = standing(mine, excess, blocks)
    for value in ("a", "b", "c", None):
        other = Rule((Condition("kind", value=value),)).mask(rows)
        if 40 <= other.sum() <= 750:
            assert standing(other, excess, blocks) <= least + 1e-9


def matrix(rows: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.column_stack([random.normal(size=rows), random.integers(0, 4, rows)]).astype("f4")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7))
def test_no_row_is_suspected_for_what_it_or_a_later_one_has_shown(seed: int, first: int) -> None:
    random, stretch = np.random.default_rng(seed), np.arange(1600) * 8 // 1600
    features = matrix(1600, seed)
    excess = random.normal(size=1600) + (features[:, 1] == 2)
    other = np.where(stretch >= first, random.normal(5, 3, 1600), excess)
    kinds = ["number", "category"]
    found = [suspected(features, kinds, e, stretch)[stretch <= first] for e in (excess, other)]
    assert np.array_equal(*found)
    assert not found[0][stretch[stretch <= first] == 0].any()


def test_what_is_suspected_depends_on_no_unit() -> None:
    stretch, features = np.arange(1600) * 8 // 1600, matrix(1600, 1)
    excess = np.random.default_rng(1).normal(size=1600) + 2 * (features[:, 1] == 2) - 0.5
    found = [
        suspected(features, ["number", "category"], excess * unit, stretch)
        for unit in (1, 1e-12, 1e12)
    ]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    hurt = (features[:, 1] == 2) & (stretch > 0)
    assert found[0][hurt].mean() > 0.8
    assert found[0][~hurt].mean() < 0.3
    nothing = suspected(features, ["number", "category"], np.zeros(1600), stretch)
    assert not nothing.any()


def test_a_bound_misses_as_seldom_as_its_level_says() -> None:
    random, blocks = np.random.default_rng(3), np.arange(200) * 28 // 200

    def bound(mean: float) -> float:
        return lower_bound(random.normal(mean, 1, 200), blocks, 1.0, 0.01)[1]

    assert np.mean([bound(0) > 0 for _ in range(3000)]) < 0.015
    assert np.mean([bound(0.4) > 0 for _ in range(50)]) > 0.9


def test_no_bound_without_blocks_and_none_above_a_mean_of_nothing() -> None:
    assert lower_bound(np.zeros(64), np.arange(64) // 4, 0.0, 0.01) == (0.0, 0.0)
    assert lower_bound(np.ones(8), np.arange(8) // 2, 1.0, 0.01)[1] == float("-inf")


def test_the_key_is_no_part_of_the_digest_where_it_is_off() -> None:
    off = definition(gate="discover = false")
    assert off.digest == definition().digest
    assert off.digest != definition(gate="discover = true").digest
