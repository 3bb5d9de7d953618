"""The gate on trusted rows: what a poisoned holdout would let through stops here."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.metrics import row_losses
from ratchet.gate import TrustedInput, judge_trusted
from tests import streams

DEFINITION = parse(streams.PIPELINE + '\n[trusted]\nobjects = "trusted/**"\n')


def logistic(x):
    return 1 / (1 + np.exp(-x))


def request(candidate=1.0, champion=0.8, anchor=None, rest_skill=None, seed=0, rows=1000):
    """Truth follows a signal; models follow it with these slopes."""
    rng = np.random.default_rng(seed)

    def world(n):
        signal = rng.normal(size=n) * 2
        return signal, (rng.random(n) < logistic(signal)).astype(float)

    signal, y = world(rows)
    other, y_other = world(5 * rows)
    scores = logistic(candidate * other)
    if rest_skill is not None:  # labels of the stream follow something else
        y_other = (rng.random(len(other)) < logistic(rest_skill * other)).astype(float)
    return TrustedInput(
        y=y,
        candidate=logistic(candidate * signal),
        champion=None if champion is None else logistic(champion * signal),
        baseline=0.5,
        anchor=None if anchor is None else logistic(anchor * signal),
        rest=row_losses("binary", y_other, scores),
        window=np.sort(rng.integers(0, 2, rows)),
        rest_window=np.sort(rng.integers(0, 2, 5 * rows)),
        slices={"c": pa.array(rng.choice(["a", "b"], rows))},
    )


def found(asked, definition=DEFINITION):
    return {e.check: e for e in judge_trusted(asked, definition)}


def test_a_better_candidate_passes_everywhere():
    evidence = found(request(candidate=1.0, champion=0.5, anchor=0.3))
    assert list(evidence) == [
        "gate.trusted",
        "gate.loss_gap",
        "gate.trusted_slices",
        "gate.displacement",
    ]
    assert {e.verdict for e in evidence.values()} == {Verdict.PASS}
    assert "on 1,000 trusted rows" in evidence["gate.trusted"].arithmetic


def test_a_worse_candidate_is_blocked_whatever_the_stream_says():
    evidence = found(request(candidate=-0.5, champion=1.0))
    assert evidence["gate.trusted"].verdict is Verdict.BLOCK
    assert evidence["gate.trusted_slices"].verdict is Verdict.BLOCK


def test_a_slice_that_is_worse_is_named():
    asked = request(candidate=1.0, champion=1.0, rows=2000)
    mine = np.array(asked.slices["c"].to_pylist()) == "b"
    worse = asked.candidate.copy()
    worse[mine] = 1 - worse[mine]
    evidence = found(replace(asked, candidate=worse))
    assert "c=b" in evidence["gate.trusted_slices"].arithmetic


def test_without_a_champion_a_constant_is_beaten():
    assert found(request(champion=None))["gate.trusted"].verdict is Verdict.PASS
    assert found(request(candidate=-1.0, champion=None))["gate.trusted"].verdict is Verdict.BLOCK


@pytest.mark.parametrize("skill", [0.3, 3.0])
def test_a_holdout_that_is_harder_or_easier_than_the_truth_is_blocked(skill):
    assert found(request(rest_skill=skill))["gate.loss_gap"].verdict is Verdict.BLOCK


def test_a_week_without_rows_of_its_own_does_not_look_like_a_lie():
    """Its labels were kept out, and its trusted rows are held out alone; it was a hard week."""
    asked = request(rows=600)
    hard = asked.window == 1
    y = np.where(hard, 1 - asked.y, asked.y)
    alone = asked.rest_window == 0
    rest = {"rest": asked.rest[alone], "rest_window": asked.rest_window[alone]}
    passed = found(replace(asked, y=y, **rest))["gate.loss_gap"]
    assert passed.verdict is Verdict.PASS
    assert f"{int((~hard).sum())} trusted rows of the same windows" in passed.arithmetic
    both = found(replace(asked, y=y))["gate.loss_gap"]
    assert both.verdict is Verdict.BLOCK, "beside rows of its own it does"
    nowhere = found(replace(asked, rest_window=asked.rest_window + 2))["gate.loss_gap"]
    assert nowhere.verdict is Verdict.WARN


def test_small_steps_down_do_not_add_up():
    evidence = found(request(candidate=0.45, champion=0.5, anchor=1.0, rows=4000))
    assert evidence["gate.displacement"].verdict is Verdict.BLOCK
    assert "early champion" in evidence["gate.displacement"].arithmetic


def test_too_few_trusted_rows_never_pass():
    evidence = found(request(rows=50))
    assert [e.verdict for e in evidence.values()] == [Verdict.INCONCLUSIVE]


def test_without_a_trusted_source_the_gate_says_so():
    evidence = found(None, parse(streams.PIPELINE))
    assert [e.verdict for e in evidence.values()] == [Verdict.WARN]
    assert "degraded" in evidence["gate.trusted"].arithmetic


def test_honest_holdouts_are_hardly_ever_called_poisoned():
    wrong = sum(
        found(request(seed=s, rows=300))["gate.loss_gap"].verdict is Verdict.BLOCK
        for s in range(400)
    )
    assert wrong <= 3  # 0.4 expected at alpha 0.001
