"""The benchmark of retraining where it pays must not see the future, nor bill wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import economics as bench
from benchmarks.engine_fits import FIRST

COUNT = 30


def grid(aging: float) -> bench.Grid:
    """Models that lose ``aging`` more by each window of age; nothing else."""
    i, j = np.indices((COUNT, COUNT))
    loss = np.where(j >= i, 0.5 + aging * (j - i), np.nan)
    flat = np.ones(COUNT)
    return bench.Grid("made", 0, loss, np.full(COUNT, 100), 1e9 * flat, flat)


def test_a_schedule_serves_models_of_its_ages_and_pays_for_each() -> None:
    lost, trained = bench.play(grid(0.01), 2, bench.every(4))
    assert trained == [*range(2, COUNT - 3, 4)]
    assert len(lost) == COUNT - FIRST
    assert {round(v, 6) for v in lost} == {0.53, 0.54, 0.55, 0.56}  # the delay adds two windows
    paid = bench.bill(grid(0.01), lost, trained, kappa=0.1)
    assert paid == pytest.approx(lost.mean() + 0.1 * len(trained) / len(lost))


def test_the_rule_comes_close_to_the_best_schedule_where_models_age_evenly() -> None:
    made = grid(0.001)
    for kappa in (0.001, 0.003, 0.01):
        mine = bench.bill(made, *bench.play(made, 0, bench.pays(made, made.prices(kappa))), kappa)
        best = min(bench.bill(made, *bench.play(made, 0, bench.every(k)), kappa) for k in (1, 2, 4))
        assert mine <= best + 3 * kappa / (COUNT - FIRST)  # the three trainings that it learns from


def test_models_that_do_not_age_are_trained_as_seldom_as_allowed() -> None:
    made = grid(0.0)
    prices = made.prices(0.001)
    _, trained = bench.play(made, 0, bench.pays(made, prices))
    assert trained[:4] == [2, 3, 4, 5]  # the first, then three looks
    assert set(np.diff(trained[3:])) == {prices.max_wait + 1}


def test_lines_of_streams_that_were_not_run_again_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench, "CSV", tmp_path / "economics.csv")
    assert bench.kept({"bank"}) == []
    bench.write([{"stream": "bank", "loss": "1"}, {"stream": "sea", "loss": "2"}])
    assert bench.kept({"bank"}) == [{"stream": "sea", "loss": "2"}]
