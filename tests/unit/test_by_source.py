"""One source lies: it is blamed alone, and only where the rest of the batch stands without it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ratchet.contracts.columns import KEY, SOURCE
from ratchet.validate import Sample, blame
from tests.unit.test_control import definition

ROWS, TRUSTED = 3000, 900


def stream(seed: int, flipped: dict[str, float], names: str = "abc") -> tuple[Sample, Sample]:
    """A batch of several sources and its trusted rows; ``flipped``: source to share of labels."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=ROWS)
    sent = rng.choice(list(names), ROWS)
    truth = (rng.random(ROWS) < 1 / (1 + np.exp(-1.5 * x))).astype(float)
    rows = pa.table(
        {
            KEY: [f"k{i}" for i in range(ROWS)],
            "_event": pa.array(np.arange(ROWS)),
            SOURCE: pa.array(sent.tolist()),
            "x": x,
            "z": rng.normal(size=ROWS),
            "c": rng.choice(["u", "v"], ROWS),
            "d": rng.choice(["p", "q"], ROWS),
        }
    )
    share = np.array([flipped.get(name, 0.0) for name in sent])
    labels = np.where(rng.random(ROWS) < share, 1 - truth, truth)
    chosen = np.sort(rng.choice(ROWS, TRUSTED, replace=False))
    return Sample(rows, labels), Sample(rows.take(pa.array(chosen)), truth[chosen])


def test_the_liar_alone_is_blamed_unless_the_rest_looks_suspicious_too():
    found = []
    for seed in range(10):
        batch, control = stream(seed, {"b": 0.25})
        one = blame(batch, control, definition(), seed=seed)
        if one is None:  # a rest is nominated with probability 0.1; then all of it waits
            continue
        assert one.sources == ("b",)
        assert (one.rows == (np.array(batch.rows[SOURCE].to_pylist()) == "b")).all()
        assert not one.rest.nominated
        assert one.cause.verdict.value == "BLOCK"
        found.append(seed)
    assert len(found) >= 7


def test_two_of_three_may_be_blamed():
    batch, control = stream(1, {"a": 0.3, "c": 0.3})
    found = blame(batch, control, definition(), seed=1)
    assert found is not None
    assert found.sources == ("a", "c")


@pytest.mark.parametrize("flipped", [{}, {"a": 0.3, "b": 0.3, "c": 0.3}])
def test_nobody_is_blamed_where_all_or_none_lie(flipped):
    batch, control = stream(2, flipped)
    assert blame(batch, control, definition(), seed=2) is None


def test_a_rest_that_does_not_stand_alone_is_not_let_through():
    """What a source leaves out cannot be laid at its door: the rest is still short of rows."""
    batch, control = stream(3, {"b": 0.3})
    kept = np.ones(ROWS, dtype=bool)
    kept[np.flatnonzero(np.array(batch.rows[SOURCE].to_pylist()) == "a")[::2]] = False
    short = Sample(batch.rows.filter(pa.array(kept)), batch.labels[kept])
    assert blame(short, control, definition(), seed=3) is None


def test_without_keys_one_source_or_a_control_there_is_nobody_to_blame():
    batch, control = stream(4, {"b": 0.3})
    assert blame(batch, control, definition(keyed=False), seed=4) is None
    assert blame(batch, None, definition(), seed=4) is None
    alone, control = stream(4, {"a": 0.3}, names="a")
    assert blame(alone, control, definition(), seed=4) is None
    many, control = stream(4, {"a": 0.3}, names="abcdefghijklmnopqrstuvwxyz")
    assert blame(many, control, definition(), seed=4) is None
