"""What a member loses beyond its level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from ratchet.contracts.score import mix, scores_of
from ratchet.self_train import LevelSeen, levelled_loss, see_level, settle_level


def drawn(seed: int, rows: int, classes: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels by these margins, shape (rows,) for two classes; each class at least once."""
    random = np.random.default_rng(seed)
    margins = random.normal(size=(rows, classes)) * scale
    chances = scores_of("multiclass", margins)
    y = (chances.cumsum(axis=1) > random.random((rows, 1))).argmax(axis=1)
    y[:classes] = np.arange(classes)
    return y.astype(float), margins[:, 1] - margins[:, 0] if classes == 2 else margins


def of(y: np.ndarray, margins: np.ndarray) -> float:
    objective = "binary" if margins.ndim == 1 else "multiclass"
    return levelled_loss(objective, y, margins)


def as_it_is(y: np.ndarray, margins: np.ndarray) -> float:
    """Log loss, which is not clipped here."""
    if margins.ndim == 1:
        margins = np.column_stack([np.zeros(len(y)), margins])
    of_truth = margins[np.arange(len(y)), y.astype(int)]
    return float((np.logaddexp.reduce(margins, axis=1) - of_truth).mean())


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(6, 200),
    classes=st.integers(2, 5),
    scale=st.sampled_from([0.0, 0.3, 2.0, 8.0]),
    shift=st.floats(-6, 6),
)
def test_no_shift_of_the_level_changes_it_and_it_is_the_least(
    seed: int, rows: int, classes: int, scale: float, shift: float
) -> None:
    y, margins = drawn(seed, rows, classes, scale)
    shifts = np.random.default_rng(seed + 1).normal(size=classes) * shift
    moved = margins + (shift if classes == 2 else shifts)
    found = of(y, margins)
    assert found == pytest.approx(of(y, moved), abs=1e-6)
    assert found <= min(as_it_is(y, margins), as_it_is(y, moved)) + 1e-9


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("scale", [0.5, 3.0, 12.0])
def test_it_is_what_a_minimiser_finds(classes: int, scale: float) -> None:
    y, margins = drawn(3, 400, classes, scale)
    free = 1 if classes == 2 else classes
    least = minimize(lambda b: as_it_is(y, margins + (b[0] if free == 1 else b)), np.zeros(free))
    assert of(y, margins + 5) == pytest.approx(least.fun, abs=1e-6)


def test_who_ranks_the_other_way_round_is_not_excused() -> None:
    y, margins = drawn(5, 1000, 2, 3.0)
    assert of(y, -margins) > 0.69 > of(y, margins)  # at best it says nothing


def test_one_class_alone_says_nothing_of_anybody() -> None:
    _, margins = drawn(5, 100, 3, 3.0)
    assert levelled_loss("multiclass", np.ones(100), margins) == 0
    assert levelled_loss("binary", np.zeros(100), margins[:, 0]) == 0
    assert np.isnan(levelled_loss("binary", np.empty(0), np.empty(0)))


def test_a_class_without_a_row_has_no_share_of_the_blame() -> None:
    y, margins = drawn(7, 300, 3, 1.0)
    two = y < 2
    some = levelled_loss("multiclass", y[two], margins[two])
    plain = levelled_loss("binary", y[two], (margins[:, 1] - margins[:, 0])[two])
    assert some == pytest.approx(plain, abs=1e-9)


def test_labels_that_are_told_apart_without_fail_lose_nothing() -> None:
    y = np.repeat([0.0, 1.0], 50)
    assert levelled_loss("binary", y, (y - 0.5) * 80 + 30) < 1e-6


def test_of_a_target_the_mean_error_does_not_count() -> None:
    random = np.random.default_rng(2)
    y, noise = random.normal(size=500), random.normal(size=500)
    found = levelled_loss("regression", y, y + noise + 40.0)
    assert found == pytest.approx(float(np.var(noise)), rel=1e-9)


def lives(shifts: list[float], objective: str = "binary") -> list[LevelSeen]:
    """Windows of a mixture that is right but for its level, which is short of these."""
    windows: list[LevelSeen] = []
    for index, shift in enumerate(shifts):
        y, margins = drawn(index, 2000, 2, 1.0)
        if objective == "regression":
            y = margins + np.random.default_rng(index).normal(size=2000)
        ready = settle_level(objective, windows).whole
        windows.append(see_level(objective, y, margins - shift, ready))
    return windows


def test_without_evidence_nothing_is_shifted() -> None:
    assert settle_level("binary", []).shift == ()
    one = see_level("binary", np.ones(50), np.zeros(50), ())
    assert one.asked == () and settle_level("binary", [one]).shift == ()


@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_a_level_that_has_moved_for_good_is_followed(objective: str) -> None:
    found = settle_level(objective, lives([0.0] * 10 + [1.0] * 6, objective))
    assert len(found.shift) == 1 and 0.6 < found.shift[0] < 0.8  # 2 / 2.5 of it at most
    assert found.whole[0] > found.shift[0]
    down = settle_level(objective, lives([0.0] * 10 + [-1.0] * 6, objective))
    assert -0.8 < down.shift[0] < -0.6


def test_a_level_that_jumps_about_is_left_alone() -> None:
    """What the last window asked for says nothing of the next; the share that is given is small."""
    jumps = np.random.default_rng(8).normal(size=30).tolist()
    found = settle_level("binary", lives([2 * j for j in jumps]))
    assert abs(found.shift[0]) < 0.25 * abs(found.whole[0])


def test_where_the_level_rests_almost_nothing_is_given() -> None:
    found = settle_level("binary", lives([0.0] * 20))
    assert abs(found.shift[0]) < 0.05


def test_each_class_has_a_shift_of_its_own() -> None:
    windows: list[LevelSeen] = []
    for index in range(8):
        y, margins = drawn(index, 3000, 3, 1.0)
        ready = settle_level("multiclass", windows).whole
        windows.append(see_level("multiclass", y, margins + np.array([0.0, 0.0, 1.0]), ready))
    found = settle_level("multiclass", windows)
    assert len(found.shift) == 3 and found.shift[2] < -0.3 < 0 < found.shift[0]
    assert sum(found.shift) == pytest.approx(0, abs=1e-6)


def test_a_window_asks_for_no_more_than_the_farthest() -> None:
    y = np.array([0.0] * 500 + [1.0])
    assert see_level("binary", y, np.full(501, 30.0), ()).asked == (-3.0,)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_level_is_added_before_the_temperature_divides(classes: int) -> None:
    _, margins = drawn(1, 20, classes, 1.0)
    level = (0.5,) if classes == 2 else (0.5, 0.0, -0.5)
    found = mix({"a": margins, "b": margins}, {"a": 0.3, "b": 0.7}, 2.0, level)
    assert found == pytest.approx((margins + np.array(level)) / 2)
