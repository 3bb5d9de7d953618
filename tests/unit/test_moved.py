"""Blocked windows that foretell one another: what is believed, and what never is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate import Sample, moved
from tests import streams

ROWS = 1000
BINARY = parse(streams.PIPELINE)
NUMBERS = parse(streams.PIPELINE.replace('"binary"\nclasses = [0, 1]', '"regression"'))
THREE = parse(
    streams.PIPELINE.replace('"binary"\nclasses = [0, 1]', '"multiclass"\nclasses = [0, 1, 2]')
)


def blocked(expected: float) -> Evidence:
    details = {"skill": 0.0, "expected": expected, "rows": ROWS}
    return Evidence("labels.agreement", Verdict.BLOCK, "skill 0.0 < 0.2; the labels", 0, 0, details)


def rows(rng: np.random.Generator, n: int = ROWS) -> pa.Table:
    return pa.table(
        {
            "_event": np.sort(rng.integers(0, 1000, n)),
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "c": rng.choice(["a", "b"], n),
        }
    )


def labelled(rng: np.random.Generator, slope: float, flipped: float = 0.0, n: int = ROWS) -> Sample:
    """Labels that follow ``x`` with this slope, a share of them turned around at random."""
    table = rows(rng, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-slope * table["x"].to_numpy()))).astype(float)
    turned = rng.random(n) < flipped
    return Sample(table, np.where(turned, 1 - y, y))


def judge(fresh: Sample, before: Sample, expected: float = 0.6, definition=BINARY) -> Evidence:
    return moved(blocked(expected), fresh, before, definition, in_a_row=3, seed=1)


def test_a_world_that_moved_is_believed_and_the_doubt_is_said() -> None:
    rng = np.random.default_rng(1)
    found = judge(labelled(rng, -2.0), labelled(rng, -2.0))
    assert found.verdict is Verdict.WARN
    assert "number 3 in a row" in found.arithmetic
    assert "or whoever sends every label lies" in found.arithmetic
    assert "the labels" not in found.arithmetic.split("number 3")[0].split(";")[0]
    assert found.details["foretold"] > 0.5


@pytest.mark.parametrize("share", [0.35, 0.4, 0.5])
@pytest.mark.parametrize("slope", [2.0, 6.0])
def test_labels_turned_around_at_random_are_never_believed(share: float, slope: float) -> None:
    """Whatever else can be learned of them: the true rule still shows through half of the flips."""
    clean = {2.0: 0.65, 6.0: 0.9}[slope]  # what a champion of this world reaches
    for seed in range(15):
        rng = np.random.default_rng([seed, int(share * 100)])
        fresh, before = (labelled(rng, slope, share) for _ in range(2))
        assert judge(fresh, before, clean).verdict is Verdict.BLOCK


def test_noise_cannot_be_learned() -> None:
    rng = np.random.default_rng(2)
    found = judge(labelled(rng, 0.0), labelled(rng, 0.0))
    assert found.verdict is Verdict.BLOCK
    assert "this cannot be learned" in found.arithmetic


def test_too_few_rows_or_one_value_say_nothing() -> None:
    rng = np.random.default_rng(3)
    fresh, before = labelled(rng, -2.0), labelled(rng, -2.0)
    few = labelled(rng, -2.0, n=49)
    assert "49 labelled rows of them < 50" in judge(fresh, few).arithmetic
    nothing = Sample(pa.table({}), np.empty(0))
    assert judge(fresh, nothing).verdict is Verdict.BLOCK
    one = Sample(before.rows, np.ones(ROWS))
    assert judge(fresh, one).verdict is Verdict.BLOCK


def test_other_objectives() -> None:
    rng = np.random.default_rng(4)
    first, second = rows(rng), rows(rng)
    of_x = [Sample(t, -3 * t["x"].to_numpy() + rng.normal(size=ROWS)) for t in (first, second)]
    assert judge(*of_x, definition=NUMBERS).verdict is Verdict.WARN
    thirds = [Sample(t, np.digitize(t["x"].to_numpy(), [-0.5, 0.5]) * 1.0) for t in (first, second)]
    assert judge(*thirds, definition=THREE).verdict is Verdict.WARN
    noise = [Sample(t, rng.integers(0, 3, ROWS) * 1.0) for t in (first, second)]
    assert judge(*noise, definition=THREE).verdict is Verdict.BLOCK
