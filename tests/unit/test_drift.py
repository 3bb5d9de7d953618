"""Movement is seen, sample noise is not, and what moved counts by what the model makes of it."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon

from ratchet.contracts.evidence import Verdict
from ratchet.drift import DriftReport, divergence, measure, sample
from tests.learning import definition

PIPELINE = definition()
GAINS = {"x": 0.6, "z": 0.3, "kind": 0.1}


def rows(n: int, seed: int, shift: float = 0.0, kinds: int = 3, **changed: Any) -> pa.Table:
    random = np.random.default_rng(seed)
    columns = {
        "x": random.normal(shift, 1, n),
        "z": random.integers(0, 4, n).astype(float),
        "kind": [f"c{i}" for i in random.integers(0, kinds, n)],
    }
    return pa.table({**columns, **changed})


def test_nothing_moved() -> None:
    report = measure(rows(1000, 1), rows(1000, 2), GAINS, PIPELINE)
    assert report.verdict is Verdict.PASS
    assert report.share_moved == 0
    assert report.evidence.arithmetic == (
        "0 of 3 columns moved; they carry 0.00 < 0.30 of the champion's gain"
    )
    assert list(report.columns) == ["x", "z", "kind"]


def test_an_important_column_that_moved_warns_and_an_unimportant_one_does_not() -> None:
    moved = measure(rows(1000, 1), rows(1000, 2, shift=1.0), GAINS, PIPELINE)
    assert moved.verdict is Verdict.WARN
    assert moved.share_moved == pytest.approx(0.6)
    assert "1 of 3 columns moved (x 0." in moved.evidence.arithmetic
    assert "they carry 0.60 >= 0.30 of the champion's gain" in moved.evidence.arithmetic
    harmless = measure(rows(1000, 1), rows(1000, 2, kind=["c0"] * 1000), GAINS, PIPELINE)
    assert harmless.columns["kind"].moved
    assert harmless.verdict is Verdict.PASS
    assert json.loads(json.dumps(moved.as_json(), allow_nan=False))["verdict"] == "WARN"


@pytest.mark.parametrize("kinds", [2, 10, 100, 1000])
@pytest.mark.parametrize("n", [30, 150, 1000])
def test_sample_noise_does_not_fire_whatever_the_number_of_categories(kinds: int, n: int) -> None:
    fired = 0
    for seed in range(30):
        old, new = rows(1000, seed, kinds=kinds), rows(n, seed + 1000, kinds=kinds)
        fired += sum(c.moved for c in measure(old, new, GAINS, PIPELINE).columns.values())
    assert fired <= 2  # of 90


def test_a_handful_of_rows_proves_nothing() -> None:
    assert measure(rows(1000, 1), rows(8, 2, shift=3), GAINS, PIPELINE).share_moved == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"z": [None] * 500 + [1.0] * 500},
        {"z": [4.0] * 500 + [1.0] * 500},
        {"z": [0.5] * 1000},
        {"z": [-1.0] * 1000},
        {"kind": [None] * 1000},
        {"kind": [f"new{i}" for i in range(1000)]},
        {"x": [100.0] * 1000},
        {"x": [-100.0] * 1000},
    ],
)
def test_values_that_the_reference_never_held_are_seen(changed: dict[str, Any]) -> None:
    report = measure(rows(1000, 1), rows(1000, 2, **changed), GAINS, PIPELINE)
    assert report.columns[next(iter(changed))].moved


def test_a_unit_change_is_seen() -> None:
    fahrenheit = np.random.default_rng(0).normal(60, 15, 1000)
    report = measure(
        rows(1000, 1, x=fahrenheit), rows(1000, 2, x=(fahrenheit - 32) / 1.8), GAINS, PIPELINE
    )
    assert report.columns["x"].distance > 0.5
    assert report.verdict is Verdict.WARN


def test_columns_without_a_value_on_both_sides_have_not_moved() -> None:
    empty = pa.nulls(1000, pa.float64())
    report = measure(rows(1000, 1, x=empty), rows(1000, 2, x=empty), GAINS, PIPELINE)
    assert not report.columns["x"].moved
    assert measure(rows(1000, 1, x=empty), rows(1000, 2), GAINS, PIPELINE).columns["x"].moved


@pytest.mark.parametrize(("reference", "batch"), [(None, 10), (0, 10), (10, 0)])
def test_nothing_to_compare_is_inconclusive(reference: int | None, batch: int) -> None:
    old = None if reference is None else rows(reference, 1)
    report = measure(old, rows(batch, 2), {}, PIPELINE)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.as_json()["columns"] == {}
    assert ("no champion reference" in report.evidence.arithmetic) == (reference is None)


def test_drift_never_blocks() -> None:
    far = rows(1000, 2, x=[1e9] * 1000, z=[None] * 1000, kind=["?"] * 1000)
    report: DriftReport = measure(rows(1000, 1), far, GAINS, PIPELINE)
    assert report.share_moved == 1
    assert report.verdict.lets_through


def test_the_champions_scores_are_compared_but_decide_nothing() -> None:
    random = np.random.default_rng(0)
    scores = (random.random(1000), random.random(1000) ** 3)
    report = measure(rows(1000, 1), rows(1000, 2), GAINS, PIPELINE, scores)
    assert report.prediction is not None
    assert report.prediction.moved
    assert report.verdict is Verdict.PASS


def test_the_sample_is_bounded_and_holds_the_features_only() -> None:
    many = rows(5000, 1).append_column("_key", pa.array(["k"] * 5000))
    chosen = sample(many, PIPELINE)
    assert chosen.num_rows == 1000
    assert chosen.column_names == ["x", "z", "kind"]
    assert sample(chosen, PIPELINE).equals(chosen)
    assert measure(many, many, GAINS, PIPELINE).share_moved == 0


def test_the_divergence_is_the_textbooks() -> None:
    random = np.random.default_rng(0)
    old, new = random.integers(0, 50, 12).astype(float), random.integers(0, 50, 12).astype(float)
    found, used = divergence(old, new)
    assert found == pytest.approx(jensenshannon(old, new, base=2) ** 2)
    assert used == 12
    assert divergence(np.array([5.0, 0, 0]), np.array([0.0, 7, 0])) == (1.0, 2)


def test_a_wide_batch_is_measured_in_the_time_of_its_sample() -> None:
    started = time.process_time()
    for _ in range(20):
        measure(rows(1000, 1, kinds=500), rows(1000, 2, kinds=500), GAINS, PIPELINE)
    assert time.process_time() - started < 5
