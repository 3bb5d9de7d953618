"""A model that gets better by its label at the cost of what the label stands for is blocked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ratchet.contracts.columns import LABEL, LANDED_LABELS, QUARANTINE, TRUE_OBJECTIVE
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.errors import DefinitionError, Unreadable
from ratchet.gate import TrueInput, judge_true_objective
from ratchet.ingest.declared import with_true_objective
from tasks import windows
from tests import streams

PART = '\n[true_objective]\nobjects = "true/**"\ncolumn = "satisfied"\nclasses = ["no", "yes"]\n'
DEFINITION = parse(streams.PIPELINE + PART)


def request(rows=1000, candidate=1.0, champion=1.0, anchor=None, seed=0, bait=0.0, proxy=0.01):
    """Satisfaction follows quality, not bait; a model scores quality plus so much bait."""
    random = np.random.default_rng(seed)
    quality, lure = random.normal(size=(2, rows))
    y = (random.random(rows) < 1 / (1 + np.exp(-2 * quality + lure))).astype(float)

    def scores(slope, lured=0.0):
        return 1 / (1 + np.exp(-slope * quality - lured * lure))

    return TrueInput(
        y=y,
        events=np.sort(random.integers(0, 1000, rows)),
        candidate=scores(candidate, bait),
        champion=None if champion is None else scores(champion, 0.2),
        anchor=None if anchor is None else scores(anchor),
        proxy=proxy,
    )


def only(asked, definition=DEFINITION):
    (found,) = judge_true_objective(asked, definition)
    return found


def test_nothing_is_asked_where_none_is_declared() -> None:
    assert judge_true_objective(None, DEFINITION) == []
    assert judge_true_objective(request(), parse(streams.PIPELINE)) == []


def test_a_candidate_that_serves_both_passes() -> None:
    found = only(request(bait=0.1))
    assert found.verdict is Verdict.PASS
    assert "AUC against satisfied on 1,000 rows" in found.arithmetic


def test_a_candidate_that_learned_to_bait_is_blocked_and_the_sentence_says_at_what_cost() -> None:
    found = only(request(bait=1.5))
    assert found.verdict is Verdict.BLOCK
    assert "it falls, while log loss on y improves by 0.0100" in found.arithmetic
    assert "while" not in only(request(bait=1.5, proxy=-0.01)).arithmetic


def test_too_few_values_or_all_the_same_never_pass() -> None:
    few = only(request(rows=99, bait=0.1))
    assert few.verdict is Verdict.INCONCLUSIVE
    assert "99 held-out rows have a value of satisfied, 100 needed" in few.arithmetic
    same = only(replace(request(), y=np.ones(1000)))
    assert same.verdict is Verdict.INCONCLUSIVE
    assert "all of them are the same" in same.arithmetic


def test_what_cannot_be_told_holds() -> None:
    found = only(request(rows=100, bait=0.24, seed=4))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "cannot tell" in found.arithmetic


def test_the_first_champion_must_go_with_what_is_wanted() -> None:
    assert only(request(champion=None)).verdict is Verdict.PASS
    assert only(request(champion=None, candidate=-1.0)).verdict is Verdict.BLOCK


def test_many_small_steps_do_not_add_up() -> None:
    near = request(bait=0.21, anchor=0.9, seed=2)
    near = replace(near, anchor=near.champion)
    assert [e.verdict for e in judge_true_objective(near, DEFINITION)] == ["PASS", "PASS"]
    far = request(bait=1.2, anchor=1.0)
    far = replace(far, champion=request(bait=1.18).candidate)
    step, whole = judge_true_objective(far, DEFINITION)
    assert step.verdict is not Verdict.BLOCK
    assert whole.verdict is Verdict.BLOCK
    assert whole.check == "gate.true_objective_displacement"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('column = "satisfied"', 'column = "x"'), "the label or a feature"),
        (('column = "satisfied"', 'column = "y"'), "the label or a feature"),
        (('"true/**"', '"labels/**"'), "true_objective/\\*\\*"),
        (('"true/**"', '"**"'), "true_objective.objects"),
        (('key = ["id"]\n', ""), "need a key"),
        (('"binary"\nclasses = [0, 1]', '"multiclass"\nclasses = [0, 1, 2]'), "no one direction"),
    ],
)
def test_what_does_not_fit_is_named(change: tuple[str, str], said: str) -> None:
    text = (streams.PIPELINE + PART).replace(*change)
    with pytest.raises(DefinitionError, match=said):
        parse(text)


def test_it_can_only_be_read_where_it_is_declared() -> None:
    plain = parse(streams.PIPELINE)
    assert plain.digest != DEFINITION.digest
    with pytest.raises(Unreadable, match="not declared"):
        with_true_objective(plain)
    assert with_true_objective(DEFINITION).label.classes == ("no", "yes")


def test_its_values_land_apart_and_nobody_can_release_them_into_the_labels(tmp_path) -> None:
    space = streams.project(tmp_path, 1, streams.PIPELINE + PART)
    rows = streams.window_rows(0).slice(0, 40)
    values = pa.array(["yes", "no"] * 19 + ["maybe", None])
    streams.put(
        tmp_path, "true/w.parquet", rows.select(["id", "t"]).append_column("satisfied", values)
    )
    windows.landed(space)
    found = space.landing_tables.read(TRUE_OBJECTIVE)
    assert found[LABEL].to_pylist().count(1.0) == found[LABEL].to_pylist().count(0.0) == 19
    assert set(found["_known"].to_pylist()) <= set(range(1000, 2000))
    assert space.landing_tables.read(LANDED_LABELS).num_rows == streams.ROWS
    kinds = space.landing_tables.read(QUARANTINE)["kind"].to_pylist()
    assert kinds == ["trusted", "trusted"]
