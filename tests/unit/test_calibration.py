"""Calibration on few rows: noise holds nobody off, and what is worse is still found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ratchet.contracts.calibration import calibration_error
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.gate import Comparison, GateInput, judge
from tests.learning import definition

PIPELINE = definition(gate="blocks = 25")
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


def logistic(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))


def blurred(odds: np.ndarray, noise: float) -> np.ndarray:
    """The calibrated probability of who does not see a normal part of the log odds."""
    each = logistic(odds[:, None] + noise * NODES)
    return np.asarray(each @ WEIGHTS / WEIGHTS.sum())


def check(
    seed: int, rows: int, *, better: bool = False, temperature: float = 1.0, shift: float = 0.0
) -> Evidence:
    """Two calibrated models, each of which sees what the other does not; the better one sees all.
    The candidate is bent."""
    random = np.random.default_rng([seed, rows])
    ours, theirs = random.normal(size=(2, rows)) * ([[0.7], [1.0]] if better else 1.0)
    y = (random.random(rows) < logistic(ours + theirs)).astype(float)
    champion = blurred(theirs, 0.7 if better else 1.0)
    right = logistic(ours + theirs) if better else blurred(ours, 1.0)
    bent = np.clip(logistic(np.log(right / (1 - right)) / temperature) + shift, 0.001, 0.999)
    case = GateInput(
        y, np.arange(rows), bent, champion, 0.5, rows, 0, 800, 0, comparison=Comparison(1)
    )
    return next(e for e in judge(case, PIPELINE).evidence if e.check == "gate.calibration")


def stopped(rows: int, trials: int = 100, **how: Any) -> float:
    return sum(not check(s, rows, **how).verdict.lets_through for s in range(trials)) / trials


def test_a_better_candidate_that_is_as_well_calibrated_is_hardly_ever_stopped() -> None:
    assert stopped(200, better=True) <= 0.08
    assert stopped(500, better=True) <= 0.02


@pytest.mark.parametrize(
    ("rows", "how", "least"),
    [
        (500, {"shift": 0.1}, 0.85),
        (2000, {"shift": 0.1}, 0.98),
        (2000, {"temperature": 0.7}, 0.8),
        (2000, {"temperature": 1.5}, 0.75),
    ],
)
def test_who_is_no_better_and_worse_calibrated_is_found(
    rows: int, how: dict[str, Any], least: float
) -> None:
    assert stopped(rows, 60, **how) >= least


def test_what_may_be_chance_is_held_not_blocked_and_says_so() -> None:
    found = [check(seed, 200) for seed in range(60)]
    unsure = [e for e in found if e.verdict is Verdict.INCONCLUSIVE]
    assert unsure
    assert "(the champion's + 0.02), which may be chance; it costs at least" in unsure[0].arithmetic
    assert "left after that is not surely more" in unsure[0].arithmetic
    shown = check(1, 2000, shift=0.1)
    assert shown.verdict is Verdict.BLOCK


def test_the_maximum_is_not_reached_by_the_noise_of_few_rows() -> None:
    found = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        scores = logistic(1.22 * random.normal(size=200))
        y = (random.random(200) < scores).astype(float)
        found.append(calibration_error("binary", y, scores))
    assert np.mean(found) < 0.025  # 0.029 in 15 bins
    assert np.mean(np.array(found) > 0.1) <= 0.02  # 0.06 in 15 bins


def test_the_level_of_a_regression_is_compared_with_its_error_too() -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=2000)
    pipeline = definition("regression", gate="blocks = 25", floor=-1.0)

    def judged(ours: float, theirs: float) -> Verdict:
        case = GateInput(y, np.arange(2000), y * 0.1 + ours, y * 0.1 + theirs, 0.0, 2000, 0, 800, 0)
        return next(
            e.verdict for e in judge(case, pipeline).evidence if e.check == "gate.calibration"
        )

    centre = float((y - 0.1 * y).mean())
    assert judged(centre, centre) is Verdict.PASS
    assert judged(centre + 0.09, centre) is Verdict.BLOCK
    assert judged(centre + 0.025, centre) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_a_first_champion_above_the_maximum_is_told_what_would_help(objective: str) -> None:
    """Where the level rises no wait helps: each window is as far above the ones before."""
    random = np.random.default_rng(0)
    x = random.normal(size=2000)
    if objective == "binary":
        y, scores = (random.random(2000) < logistic(x + 1)).astype(float), logistic(x)
    else:
        y, scores = x + 0.5 * random.normal(size=2000) + 1, x
    pipeline = definition(objective, gate="blocks = 25", floor=0.0)
    case = GateInput(y, np.arange(2000), scores, None, 0.5, 2000, 0, 800)
    evidence = next(e for e in judge(case, pipeline).evidence if e.check == "gate.calibration")
    assert evidence.verdict is Verdict.BLOCK, "the maximum is a promise"
    assert "so the level moves faster than it is learned" in evidence.arithmetic
    assert "or allow it by gate.max_calibration_error" in evidence.arithmetic
    assert evidence.arithmetic.endswith(
        "without a champion nothing serves until a candidate meets it"
    )


def test_a_model_that_is_too_sure_is_not_said_to_lag() -> None:
    evidence = check(0, 6000, temperature=0.2)
    assert evidence.verdict is Verdict.BLOCK
    assert "the maximum" in evidence.arithmetic
    assert "the level" not in evidence.arithmetic
