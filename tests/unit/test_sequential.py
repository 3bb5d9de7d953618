"""Candidates that are no better are not promoted, however often the gate looks; better ones are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gate import (
    NO_BETTER,
    Draw,
    bootstrap,
    ever,
    evidence,
    leaning,
    normal,
    sequential,
    wait,
)
from ratchet.contracts.betting import BETS, bet, disagreement
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.metrics import row_losses
from ratchet.gate import Comparison, judge
from tests.unit.test_gate import PIPELINE, request

LIVES, WINDOWS = 400, 60
ALPHA = 0.05
# What is more than alpha, as measured over 10,000 lives of 104 windows: docs/reference/gates.md.
KNOWN = {"neighbours correlated 0.5": 0.069}


@pytest.mark.parametrize("name", list(NO_BETTER))
def test_what_is_no_better_is_promoted_in_no_more_than_alpha_of_lives(name: str) -> None:
    """But for blocks that lean on one another more than the test makes good, as documented."""
    (sample, mean), most = NO_BETTER[name], KNOWN.get(name, ALPHA)
    found = ever(sequential, sample, mean, LIVES, WINDOWS)
    assert found <= most + 2 * (most * (1 - most) / LIVES) ** 0.5


def test_a_bootstrap_of_each_window_promotes_it_sooner_or_later() -> None:
    assert ever(bootstrap, normal, 0.0, 20, WINDOWS) > 0.5


@pytest.mark.parametrize(("sample", "most"), [(normal, 5), (leaning(0.3), 6)])
def test_what_is_better_is_promoted(sample: Draw, most: int) -> None:
    assert wait(sequential, sample, 3.0, 100) <= most


def test_a_stretch_without_gain_does_not_use_up_what_a_later_one_needs() -> None:
    gains = np.random.default_rng(13).normal(size=(100, 40, 14))
    gains[:, 20:] += 3 / 14**0.5
    assert np.median(sequential(gains)) - 20 <= 6


def test_the_benchmark_bets_as_the_gate_does() -> None:
    gains = leaning(0.4)(np.random.default_rng(14), (3, 12, 14)) + 0.3
    for life, shown in zip(gains, evidence(gains), strict=True):
        known, found = Comparison(1), []
        for at, window in enumerate(life):
            known = bet(known, window, at)
            found.append(known.evidence)
        assert found == pytest.approx(shown.tolist(), rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 0), min_size=1, max_size=60), st.integers(0, 100))
def test_blocks_without_any_gain_never_add_evidence(gains: list[float], seed: int) -> None:
    before = bet(Comparison(1), np.random.default_rng(seed).normal(size=14), 1)
    after = bet(before, np.array(gains), 2)
    assert after.evidence <= before.evidence * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 100))
def test_the_unit_of_the_loss_does_not_matter(scale: float, seed: int) -> None:
    gains = np.random.default_rng(seed).normal(0.3, 1, 28)
    one, other = bet(Comparison(1), gains, 1), bet(Comparison(1), scale * gains, 1)
    assert other.evidence == pytest.approx(one.evidence, rel=1e-6)
    assert other.lean == pytest.approx(one.lean, rel=1e-6)


def test_no_rows_no_evidence_and_equal_models_give_none() -> None:
    known = Comparison(1)
    assert bet(known, np.zeros(0), 5) is known
    assert bet(known, np.zeros(30), 5).evidence == pytest.approx(1)


def test_the_levels_of_a_life_sum_to_alpha_and_a_promotion_hands_its_level_on() -> None:
    levels = [Comparison(1, number=j).level(0.05) for j in range(1, 100_000)]
    assert 0.0499 < sum(levels) <= 0.05
    rich = Comparison(1, capital=(9.0,) * len(BETS), windows=4, blocks=56, variance=2.0)
    promoted = rich.against(2, promoted=True)
    assert (promoted.number, promoted.evidence, promoted.windows) == (1, 1.0, 0)
    assert (promoted.variance, promoted.blocks) == (2.0, 56)
    assert rich.against(1, promoted=False) is rich
    assert rich.against(0, promoted=False).number == 2
    assert rich.against(0, promoted=False).level(0.05) == pytest.approx(promoted.level(0.05) / 4)


def test_the_state_survives_its_json() -> None:
    known = bet(Comparison(3), np.random.default_rng(1).normal(size=14), 700)
    stored = json.loads(json.dumps({**known.as_json(), "of a newer release": 1}))
    assert Comparison.from_json(stored) == known
    assert Comparison.from_json({}) == Comparison()


def test_a_row_is_counted_once() -> None:
    fresh = replace(request(champion=0.3), comparison=Comparison(1))
    first = judge(fresh, PIPELINE)
    assert (first.comparison.windows, first.comparison.judged_before) == (1, 100)
    again = judge(replace(fresh, comparison=first.comparison), PIPELINE)
    assert again.comparison == first.comparison
    shown = next(e for e in again.evidence if e.check == "gate.improvement")
    assert "all rows counted before" in shown.arithmetic
    later = replace(first.comparison, judged_before=60)
    partly = judge(replace(fresh, comparison=later), PIPELINE).comparison
    assert 20 <= partly.blocks - later.blocks <= 25  # 40 % of the holdout's 56


def test_the_rows_that_made_the_first_champion_are_not_counted_again() -> None:
    first = judge(replace(request(), champion=None, comparison=Comparison()), PIPELINE)
    assert first.comparison.judged_before == 100
    then = replace(request(champion=0.3), comparison=first.comparison.against(1, promoted=True))
    assert judge(then, PIPELINE).comparison.windows == 0


def test_rows_that_a_model_has_seen_are_not_counted() -> None:
    seen = replace(request(champion=0.3), overlap=3, comparison=Comparison(1))
    assert judge(seen, PIPELINE).comparison == Comparison(1)


def test_a_better_stream_does_not_promote_a_candidate_that_its_own_window_speaks_against() -> None:
    proven = replace(request().comparison, capital=(100.0,) * len(BETS))
    case = replace(request(skill=0.5, champion=0.55), comparison=proven)
    found = {e.check: e.verdict for e in judge(case, PIPELINE).evidence}
    assert found["gate.improvement"] is Verdict.PASS
    assert not found["gate.this_window"].lets_through


def test_a_least_improvement_is_taken_off_every_bet() -> None:
    gains = np.random.default_rng(3).normal(0.05, 0.05, 56)
    assert bet(Comparison(1), gains - 0.1, 1).evidence < 1 < bet(Comparison(1), gains, 1).evidence


def test_disagreement_is_what_the_difference_in_loss_varies_by() -> None:
    random = np.random.default_rng(4)
    a, b = np.full(200_000, 0.6), np.full(200_000, 0.4)
    y = (random.random(200_000) < 0.5).astype(float)
    gains = row_losses("binary", y, b) - row_losses("binary", y, a)
    assert disagreement("binary", a[:1], b[:1])[0] == pytest.approx(gains.var(), rel=0.01)
    three = np.array([[0.2, 0.3, 0.5]]), np.array([[0.3, 0.3, 0.4]])
    assert disagreement("multiclass", *three)[0] > 0
    assert disagreement("multiclass", three[0], three[0])[0] == 0
    assert disagreement("regression", np.array([3.0]), np.array([1.0])).tolist() == [4.0]
