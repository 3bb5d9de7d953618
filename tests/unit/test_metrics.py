"""The numbers agree with scikit-learn, and their errors with simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from ratchet.contracts import calibration, metrics

RANDOM = np.random.default_rng(0)


def binary(rows: int = 400, seed: int = 0, grid: int = 20) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = random.integers(1, grid, rows) / grid
    return (random.random(rows) < scores).astype(float), scores


def test_losses_agree_with_scikit_learn() -> None:
    y, scores = binary()
    assert metrics.row_losses("binary", y, scores).mean() == pytest.approx(sk.log_loss(y, scores))
    probabilities = RANDOM.dirichlet(np.ones(4), 300)
    classes = RANDOM.integers(0, 4, 300).astype(float)
    found = metrics.row_losses("multiclass", classes, probabilities).mean()
    assert found == pytest.approx(sk.log_loss(classes, probabilities, labels=range(4)))
    found = metrics.row_losses("regression", y, scores).mean()
    assert found == pytest.approx(sk.mean_squared_error(y, scores))


def test_a_certain_mistake_costs_a_finite_loss() -> None:
    losses = metrics.row_losses("binary", np.array([1.0, 0.0]), np.array([0.0, 0.0]))
    assert losses.tolist() == pytest.approx([16.118, 0.0], abs=1e-3)
    assert np.isnan(metrics.row_losses("binary", np.array([1.0]), np.array([np.nan]))).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_auc_agrees_with_scikit_learn_ties_included(seed: int, grid: int) -> None:
    y, scores = binary(60, seed, grid)
    if y.min() == y.max():
        assert np.isnan(metrics.auc(y, scores).value)
        return
    assert metrics.auc(y, scores).value == pytest.approx(sk.roc_auc_score(y, scores))


def test_other_headlines_agree_with_scikit_learn() -> None:
    probabilities = RANDOM.dirichlet(np.ones(4), 300)
    classes = RANDOM.integers(0, 3, 300).astype(float)  # class 3 does not occur
    found = metrics.headline("multiclass", classes, probabilities).value
    # scikit-learn's warns about a predicted class that does not occur, and leaves it out too
    recalls = sk.recall_score(
        classes, probabilities.argmax(axis=1), labels=[0, 1, 2], average="macro"
    )
    assert found == pytest.approx(recalls)
    y, scores = RANDOM.normal(size=200), RANDOM.normal(size=200)
    assert metrics.headline("regression", y, scores).value == pytest.approx(sk.r2_score(y, scores))
    assert np.isnan(metrics.r2(np.ones(3), np.zeros(3)).value)


def simulate(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    if kind == "regression":
        y = random.normal(size=300)
        return y, y + random.normal(size=300)
    if kind == "multiclass":
        scores = random.dirichlet(np.ones(3), 300)
        y = (random.random((300, 1)) > scores.cumsum(axis=1)).sum(axis=1)
        return y.astype(float), scores
    return binary(300, seed)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_standard_error_is_what_repetition_shows(kind: str) -> None:
    estimates = [metrics.headline(kind, *simulate(kind, seed)) for seed in range(400)]
    spread = np.std([e.value for e in estimates])
    groups = np.arange(300)
    claimed = np.mean([metrics.clustered_error(e.influence, groups) for e in estimates[:50]])
    assert claimed == pytest.approx(spread, rel=0.15)
    assert abs(estimates[0].influence.sum()) < 1e-9


def test_rows_that_repeat_one_another_widen_the_clustered_error() -> None:
    y, scores = binary(300)
    estimate = metrics.auc(np.repeat(y, 4), np.repeat(scores, 4))
    groups = np.repeat(np.arange(300), 4)
    alone = metrics.clustered_error(metrics.auc(y, scores).influence, np.arange(300))
    assert metrics.clustered_error(estimate.influence, groups) == pytest.approx(alone, rel=1e-6)
    assert metrics.clustered_error(estimate.influence, np.arange(1200)) < alone / 1.9
    assert metrics.clustered_error(estimate.influence, np.zeros(1200, int)) == float("inf")


def test_calibration_error_of_a_right_score_is_about_zero_and_of_a_wrong_one_what_it_is() -> None:
    random = np.random.default_rng(3)
    scores = random.random(50_000) * 0.6 + 0.2
    y = (random.random(50_000) < scores).astype(float)
    assert calibration.calibration_error("binary", y, scores) < 0.01
    assert calibration.calibration_error("binary", y, scores + 0.1) == pytest.approx(0.1, abs=0.01)


def test_the_noise_of_small_samples_is_not_taken_for_miscalibration() -> None:
    found, plain = [], []
    for seed in range(200):
        random = np.random.default_rng(seed)
        scores = random.random(300)
        y = (random.random(300) < scores).astype(float)
        found.append(calibration.calibration_error("binary", y, scores))
        bins = calibration.equal_mass(scores, 15)
        gaps = (np.bincount(bins, y) - np.bincount(bins, scores)) / np.bincount(bins)
        plain.append(np.sqrt((gaps**2).mean()))
    assert np.mean(plain) > 0.08
    assert np.mean(found) < 0.035


def test_the_bins_of_a_reliability_diagram_say_what_calibration_error_measures() -> None:
    random = np.random.default_rng(3)
    scores = random.random(30_000)
    y = (random.random(30_000) < scores).astype(float)
    score, outcome, rows = calibration.reliability("binary", y, scores)
    assert len(score) == calibration.CALIBRATION_BINS
    assert rows.sum() == 30_000
    assert np.ptp(rows) <= 1
    assert (np.diff(score) > 0).all()
    assert np.abs(score - outcome).max() < 0.05
    assert np.average(outcome, weights=rows) == pytest.approx(y.mean())
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
    score, outcome, rows = calibration.reliability("multiclass", np.array([0.0, 1.0, 2.0]), shares)
    assert (score.tolist(), outcome.tolist(), rows.tolist()) == ([0.7, 0.8], [0.5, 1.0], [2, 1])
    score, outcome, _ = calibration.reliability(
        "regression", np.array([5.0, 9.0]), np.array([4.0, 7.0])
    )
    assert (score.tolist(), outcome.tolist()) == ([4.0, 7.0], [5.0, 9.0])
    assert len(calibration.reliability("binary", np.zeros(0), np.zeros(0))[0]) == 0


def test_calibration_of_other_objectives() -> None:
    random = np.random.default_rng(4)
    scores = random.dirichlet(np.ones(3), 20_000)
    y = (random.random((20_000, 1)) > scores.cumsum(axis=1)).sum(axis=1).astype(float)
    assert calibration.calibration_error("multiclass", y, scores) < 0.02
    assert calibration.calibration_error("multiclass", np.roll(y, 1), scores) > 0.2
    target = np.array([0.0, 2.0])
    assert calibration.calibration_error("regression", target, target + 0.5) == pytest.approx(0.5)
    assert np.isnan(calibration.calibration_error("regression", np.ones(2), np.ones(2)))
    assert np.isnan(calibration.calibration_error("binary", np.zeros(0), np.zeros(0)))


def test_summaries_hold_only_what_is_defined() -> None:
    y, scores = binary()
    assert set(metrics.summary("binary", y, scores)) == {
        "rows",
        "loss",
        "calibration_error",
        "base_rate",
        "auc",
    }
    assert "auc" not in metrics.summary("binary", np.ones(3), np.full(3, 0.5))
    assert metrics.summary("binary", y[:0], scores[:0]) == {"rows": 0.0}
    assert metrics.summary("multiclass", np.array([0.0, 1, 2]), np.eye(3))["accuracy"] == 1
    assert metrics.summary("regression", y, scores)["mae"] == pytest.approx(
        sk.mean_absolute_error(y, scores)
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-5, 20), min_size=1, max_size=200), st.integers(1, 30))
def test_groups_of_equal_mass_are_ordered_never_part_ties_and_have_no_gaps(
    values: list[int], groups: int
) -> None:
    ticks = np.array(values)
    codes = calibration.equal_mass(ticks, groups)
    assert set(codes.tolist()) == set(range(codes.max() + 1))
    assert codes.max() < groups
    order = np.argsort(ticks, kind="stable")
    assert (np.diff(codes[order]) >= 0).all()
    assert all(len(set(codes[ticks == v].tolist())) == 1 for v in set(values))
    shuffled = np.random.default_rng(0).permutation(len(ticks))
    assert np.array_equal(calibration.equal_mass(ticks[shuffled], groups), codes[shuffled])


def test_distinct_values_make_equal_groups() -> None:
    assert np.bincount(calibration.equal_mass(np.arange(100), 8)).tolist() == [13, 12, 13, 12] * 2


@given(st.integers(0, 5000), st.integers(1, 500))
def test_a_spread_sample_is_in_order_and_within_the_limit(rows: int, limit: int) -> None:
    chosen = metrics.spread(rows, limit)
    assert len(chosen) == min(rows, limit)
    assert (np.diff(chosen) > 0).all()
    assert rows == 0 or (chosen[0] == 0 and chosen[-1] >= rows - 1 - rows // limit)


@pytest.mark.parametrize("freedom", [4, 6, 10, 55])
@pytest.mark.parametrize("level", [0.005, 0.05, 0.95, 0.997])
def test_student_quantiles(level: float, freedom: int) -> None:
    expected = stats.t.ppf(level, freedom)
    assert metrics.student_quantile(level, freedom) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("freedom", [1, 2, 5, 100])
@pytest.mark.parametrize("level", [0.9, 0.99, 0.999])
def test_chi_square_quantiles(level: float, freedom: int) -> None:
    expected = stats.chi2.ppf(level, freedom)
    assert metrics.chi_square_quantile(level, freedom) == pytest.approx(expected, rel=0.04)
    assert metrics.chi_square_quantile(level, 0) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (0.51234, "0.5123"), (-12.5, "-12.5000"), (4.33950025e18, "4.34e+18"),
     (4.2424e-12, "4.242e-12"), (-2e-5, "-2e-05")],
)  # fmt: skip
def test_a_loss_in_any_unit_can_be_read(value, text):
    assert metrics.figure(value) == text
