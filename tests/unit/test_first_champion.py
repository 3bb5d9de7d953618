"""Without a champion: what a constant has too is not enough, and looking often is no way in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ratchet.contracts.evidence import Evidence, Verdict, worst
from ratchet.gate import Comparison, GateInput, judge
from ratchet.gate.skill import ranked
from tests.learning import definition

PIPELINE = definition(gate="max_calibration_error = 0.2\nblocks = 25")
ROWS = 500


def rare(
    random: np.random.Generator, known: Comparison | None = None, signal: float = 0.0
) -> GateInput:
    """A window with 1.2 % negatives; its candidate knows ``signal``, and the level of late."""
    x = random.normal(size=ROWS)
    odds = 4.41 + signal * x
    y = (random.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(float)
    late = 4.41 + random.normal(0, 0.3)
    scores = 1 / (1 + np.exp(-(late + signal * x + 0.05 * random.normal(size=ROWS))))
    return GateInput(
        y, np.arange(ROWS), scores, None, 0.98, ROWS, 0, 800, comparison=known or Comparison()
    )


def first(case: GateInput) -> Evidence:
    return next(e for e in judge(case, PIPELINE).evidence if e.check == "gate.first_champion")


def test_a_constant_that_fits_the_level_of_this_window_better_is_no_champion() -> None:
    """Its loss is smaller than the training rows' constant, and its AUC is the floor."""
    y = np.repeat([1.0, 0.0], [1976, 24])[np.random.default_rng(0).permutation(2000)]
    nearer = np.full(2000, 0.988)
    case = GateInput(y, np.arange(2000), nearer, None, 0.9, 2000, 0, 800)
    evidence = first(case)
    assert evidence.details["lower"] > 0
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert evidence.arithmetic.endswith(
        "its order is 0.00 standard errors better than chance in this window; "
        "needs more than 2.36 at level 0.018"
    )


def test_an_improvement_by_rounding_is_none() -> None:
    y = np.random.default_rng(0).permutation(np.repeat([1.0, 0.0], [1000, 1000]))
    scores = np.where(y > 0.5, 0.5 + 1e-8, 0.5 - 1e-8)
    evidence = first(GateInput(y, np.arange(2000), scores, None, 0.5, 2000, 0, 800))
    assert 0 < evidence.details["point"] < 1e-7
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "no more than rounding" in evidence.arithmetic


def test_twenty_windows_of_noise_hardly_ever_bring_a_champion() -> None:
    lives = 100
    came = sum(_ever(np.random.default_rng(seed)) for seed in range(lives))
    assert came <= 0.05 * lives


def _ever(random: np.random.Generator, windows: int = 20) -> bool:
    known = Comparison()
    for _ in range(windows):
        case = rare(random, known)
        found, known = judge(case, PIPELINE)
        if worst(e.verdict for e in found).lets_through:
            return True
    return False


def test_a_real_signal_passes_at_the_first_look_and_says_so() -> None:
    case = rare(np.random.default_rng(4), signal=2.0)
    evidence = first(case)
    assert evidence.verdict is Verdict.PASS
    assert "better than chance in this window; more than" in evidence.arithmetic


def test_each_look_without_a_champion_has_a_level_of_its_own_and_they_sum_to_alpha() -> None:
    known, levels = Comparison(), []
    for look in range(1, 4):
        found, known = judge(rare(np.random.default_rng(look), known), PIPELINE)
        shown = next(e for e in found if e.check == "gate.first_champion")
        assert shown.details["order"]["number"] == look == known.windows
        levels.append(shown.details["order"]["level"])
    assert levels == pytest.approx([levels[0], levels[0] / 4, levels[0] / 9], abs=1e-7)
    assert levels[0] * np.pi**2 / 6 == pytest.approx(Comparison().level(PIPELINE.gate.alpha))
    after = known.against(1, promoted=True)
    assert (after.windows, after.ranks) == (0, 0.0)


def test_a_weak_signal_adds_up_and_the_same_rows_count_once() -> None:
    known = Comparison()
    for window in range(2):
        case = replace(weak(window), comparison=known)
        found, known = judge(case, PIPELINE)
    evidence = next(e for e in found if e.check == "gate.first_champion")
    order = evidence.details["order"]
    assert order["alone"] < order["needed"] < order["together"]
    assert evidence.verdict is Verdict.PASS
    again = judge(replace(case, comparison=known), PIPELINE).comparison
    assert again.ranks == known.ranks


def weak(window: int) -> GateInput:
    """A window whose scores are about 2 standard errors better than chance."""
    random = np.random.default_rng(window)
    x, events = random.normal(size=ROWS), 1000 * window + np.arange(ROWS)
    y = np.zeros(ROWS)
    y[np.argsort(-(x + 8 * random.normal(size=ROWS)))[:250]] = 1
    y = y if np.corrcoef(x, y)[0, 1] > 0 else 1 - y
    return GateInput(y, events, 1 / (1 + np.exp(-0.1 * x)), None, 0.4, ROWS, 0, int(events[0]))


@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_noise_in_any_objective_has_the_error_that_is_said(objective: str) -> None:
    above = [_standard(objective, np.random.default_rng(seed)) for seed in range(400)]
    assert abs(float(np.mean(above))) < 0.2
    assert 0.8 < float(np.std(above)) <= 1.1


def _standard(objective: str, random: np.random.Generator, rows: int = 200) -> float:
    scores: Any = random.normal(size=rows)
    y = scores * 0 + random.normal(size=rows)
    if objective != "regression":
        y = (random.random(rows) < 0.05).astype(float) + (random.random(rows) < 0.3)
        y = np.minimum(y, 1) if objective == "binary" else y
    if objective == "multiclass":
        scores = random.dirichlet(np.ones(3), rows)
    found = ranked(objective, y, scores, np.arange(rows) // 10)
    return found.value / found.error


def test_the_rank_correlation_is_spearmans_for_a_regression() -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=300)
    scores = y + random.normal(size=300)
    found = ranked("regression", y, scores, np.arange(300))
    assert found.value == pytest.approx(stats.spearmanr(y, scores).statistic)


def test_few_rare_rows_that_agree_are_no_small_error() -> None:
    """Three negatives side by side near the end: blocks see no spread, chance does."""
    y = np.ones(500)
    y[[100, 200, 300]] = 0
    scores = np.linspace(0.5, 1, 500)
    scores[[100, 200, 300]] = 0.55
    case = GateInput(y, np.arange(500), scores, None, 0.99, 500, 0, 800)
    skill = ranked("binary", y, scores, np.arange(500) // 20)
    assert skill.error >= 499**-0.5
    assert first(replace(case, comparison=Comparison(windows=5))).verdict is not Verdict.PASS
