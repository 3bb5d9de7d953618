"""The temperature of a mixture: follows its losses, and stays 1 without a reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import mix, scores_of
from ratchet.self_train import SHARPNESS, in_common, sharpness_losses, temper
from ratchet.self_train.temperature import BOLD, STEADY

KEYS = [f"{s:g}" for s in SHARPNESS]
windows = st.lists(
    st.lists(st.floats(0, 20), min_size=len(KEYS), max_size=len(KEYS)).map(
        lambda values: dict(zip(KEYS, values, strict=True))
    ),
    max_size=20,
)


def drawn(sharper: float, seed: int, rows: int = 2000) -> dict[str, float]:
    """Losses of a model whose log odds are so many times what they should be."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-honest))).astype(float)
    return sharpness_losses("binary", y, honest * sharper)


@given(windows)
def test_it_stays_inside_the_grid_and_is_the_same_each_time(losses):
    found = temper(losses)
    assert 1 / max(SHARPNESS) <= found.value <= 1 / min(SHARPNESS)
    assert found == temper(losses)


@given(windows, st.floats(-5, 5))
def test_what_shifts_all_losses_alike_changes_nothing(losses, shift):
    moved = [{s: v + shift for s, v in window.items()} for window in losses]
    assert temper(moved).value == pytest.approx(temper(losses).value)


def test_without_evidence_it_changes_nothing():
    assert temper([]).value == 1
    assert temper([{"1": 0.5}, dict.fromkeys(KEYS, float("nan"))]).value == 1


@pytest.mark.parametrize("seed", range(5))
def test_an_overconfident_mixture_is_cooled_to_about_what_it_should_be(seed):
    found = temper([drawn(2.0, 100 * seed + i) for i in range(10)])
    assert 1.6 < found.value < 2.2


@pytest.mark.parametrize("seed", range(5))
def test_a_calibrated_one_is_left_alone_and_one_that_becomes_calibrated_is_let_go(seed):
    calm = [drawn(1.0, 1000 + 100 * seed + i) for i in range(12)]
    assert temper(calm).value == pytest.approx(1, abs=0.08)
    after = temper([drawn(2.5, 5000 + 100 * seed + i) for i in range(10)] + calm).value
    assert after == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_an_unsure_one_is_made_surer_after_a_steady_run_alone(seed):
    unsure = [drawn(0.6, 9000 + 100 * seed + i) for i in range(2 * STEADY)]
    assert 1 / 1.5 <= temper(unsure).value < 1 / 1.2
    assert temper(unsure[: STEADY - 1]).value >= 1 / BOLD
    broken = [*unsure[:-3], drawn(1.5, 9900 + seed), *unsure[-2:]]
    assert temper(broken).value >= 1 / BOLD
    assert temper([*unsure, drawn(1.5, 9950 + seed)]).value >= 1 / BOLD  # let go at once


def test_records_that_end_at_the_smaller_grid_still_count():
    window = drawn(2.0, 77)
    short = {s: v for s, v in window.items() if float(s) <= BOLD}
    assert temper([short] * 20).value == temper([window] * 20).value
    later = [drawn(0.6, 500 + i) for i in range(STEADY)]
    assert temper([short, *later]).value == temper(later).value < 1 / BOLD


def test_what_is_recorded_is_the_loss_of_the_tempered_margins():
    rng = np.random.default_rng(3)
    margins, y = rng.normal(0, 2, (50, 3)), rng.integers(0, 3, 50).astype(float)
    found = sharpness_losses("multiclass", y, margins)
    tempered = scores_of("multiclass", mix({"a": margins}, {"a": 1.0}, temperature=1 / 0.5))
    assert found["0.5"] == pytest.approx(row_losses("multiclass", y, tempered).mean())
    assert list(found) == KEYS


def test_a_window_counts_by_what_the_mixtures_share():
    turned = drawn(3.0, 1)
    whole, half, none = (temper([turned], [share]).value for share in (1.0, 0.5, 0.0))
    assert whole > half > none == pytest.approx(temper([dict.fromkeys(KEYS, 1.0)]).value)
    assert temper([turned]).value == whole


@given(windows)
def test_no_window_moves_belief_by_more_than_its_bound(losses):
    """However far apart: what loses a million nats more counts like what loses a few."""
    far = [{s: v * 1e6 for s, v in window.items()} for window in losses[: STEADY - 1]]
    near = []
    for window in far:
        least = min(v for s, v in window.items() if float(s) <= BOLD)
        near.append({s: min(v, least + 1.0) for s, v in window.items()})
    assert temper(far).value == pytest.approx(temper(near).value)


def test_what_mixtures_share_goes_by_their_weights():
    even = {"anchor": 0.5, "fresh": 0.5}
    assert in_common(even, even) == 1
    assert in_common(even, {"anchor": 0.1, "fresh": 0.9}) == pytest.approx(0.6)
    assert in_common(even, {"other": 1.0}) == 0
