"""How sure members and mixtures may be: it follows losses, and stays 1 without a reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import scores_of
from ratchet.self_train import BOLDNESS, SHARPNESS, sharpen, sharpness_losses, temper
from ratchet.self_train.temperature import STEADY

KEYS = [f"{s:g}" for s in SHARPNESS]
windows = st.lists(
    st.lists(st.floats(0, 20), min_size=len(KEYS), max_size=len(KEYS)).map(
        lambda values: dict(zip(KEYS, values, strict=True))
    ),
    max_size=20,
)


def drawn(sharper: float, seed: int, rows: int = 2000, grid=SHARPNESS) -> dict[str, float]:
    """Losses of a model whose log odds are so many times what they should be."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-honest))).astype(float)
    return sharpness_losses("binary", y, honest * sharper, grid)


def mixed(sharper: float, seed: int) -> dict[str, float]:
    return drawn(sharper, seed, grid=BOLDNESS)


@given(windows)
def test_it_stays_inside_the_grid_and_is_the_same_each_time(losses):
    found = sharpen(losses)
    assert min(SHARPNESS) <= found <= max(SHARPNESS)
    assert found == sharpen(losses)


@given(windows, st.floats(-5, 5))
def test_what_shifts_all_losses_alike_changes_nothing(losses, shift):
    moved = [{s: v + shift for s, v in window.items()} for window in losses]
    assert sharpen(moved) == pytest.approx(sharpen(losses))


def test_without_evidence_nothing_is_scaled():
    assert sharpen([]) == 1
    assert sharpen([{"1": 0.5}, dict.fromkeys(KEYS, float("nan"))]) == 1
    assert temper([]).value == 1
    assert temper([{"1": 0.5}] * 20).value == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sharper", [2.0, 5.0])
def test_an_overconfident_member_becomes_about_as_sure_as_it_should_be(sharper, seed):
    found = sharpen([drawn(sharper, 100 * seed + i) for i in range(10)])
    assert 0.9 / sharper < found < 1.3 / sharper


@pytest.mark.parametrize("seed", range(5))
def test_one_that_knows_nothing_is_hardly_heard(seed):
    rng = np.random.default_rng(seed)
    losses = [
        sharpness_losses("binary", (rng.random(800) < 0.5).astype(float), rng.normal(0, 3, 800))
        for _ in range(8)
    ]
    assert sharpen(losses) < 0.15


@pytest.mark.parametrize("seed", range(5))
def test_a_calibrated_one_is_left_alone_and_one_that_becomes_calibrated_is_let_go(seed):
    calm = [drawn(1.0, 1000 + 100 * seed + i) for i in range(12)]
    assert sharpen(calm) == pytest.approx(1, abs=0.08)
    after = sharpen([drawn(2.5, 5000 + 100 * seed + i) for i in range(10)] + calm)
    assert after == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_an_unsure_mixture_is_made_surer_after_a_steady_run_alone(seed):
    unsure = [mixed(0.6, 9000 + 100 * seed + i) for i in range(2 * STEADY)]
    assert 1 / 1.5 <= temper(unsure).value < 1 / 1.2
    assert temper(unsure[: STEADY - 1]).value == 1
    broken = [*unsure[:-3], mixed(1.5, 9900 + seed), *unsure[-2:]]
    assert temper(broken).value == 1
    assert temper([*unsure, mixed(1.5, 9950 + seed)]).value == 1  # let go at once


def test_a_mixture_is_never_made_less_sure():
    assert temper([mixed(2.0, i) for i in range(2 * STEADY)]).value == 1


def test_what_is_recorded_is_the_loss_of_the_scaled_margins():
    rng = np.random.default_rng(3)
    margins, y = rng.normal(0, 2, (50, 3)), rng.integers(0, 3, 50).astype(float)
    found = sharpness_losses("multiclass", y, margins)
    scores = scores_of("multiclass", margins * 0.5)
    assert found["0.5"] == pytest.approx(row_losses("multiclass", y, scores).mean())
    assert list(found) == KEYS


@given(windows)
def test_no_window_moves_belief_by_more_than_its_bound(losses):
    """However far apart: what loses a million nats more counts like what loses a few."""
    far = [{s: v * 1e6 for s, v in window.items()} for window in losses]
    near = [{s: min(v, min(w.values()) + 1.0) for s, v in w.items()} for w in far]
    assert sharpen(far) == pytest.approx(sharpen(near))
