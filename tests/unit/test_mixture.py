"""Members, their schedule, their weights and their mixture: plain arithmetic on values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.recipes import STANDARD, Member
from ratchet.contracts.score import mix, scores_of
from ratchet.self_train import plan, weigh
from ratchet.self_train.members import trained_at
from ratchet.self_train.mixture import SHARE

MOST = 1 - float(SHARE) / 2  # that one of two recipes can weigh: a share is dealt out evenly
NAMES = ("a", "b", "c")
LOSSES = st.lists(
    st.dictionaries(st.sampled_from([*NAMES, "gone"]), st.floats(0, 5) | st.just(math.nan)),
    max_size=12,
)


@given(LOSSES)
def test_weights_are_positive_and_sum_to_one(losses):
    found = weigh(NAMES, losses).weights
    assert list(found) == list(NAMES)
    assert min(found.values()) > 0
    assert math.fsum(found.values()) == pytest.approx(1)


@given(LOSSES)
def test_the_same_losses_give_the_same_weights(losses):
    assert weigh(NAMES, losses) == weigh(NAMES, [dict(reversed(w.items())) for w in losses])


def test_without_evidence_all_weigh_the_same():
    for losses in ([], [{}], [{"gone": 0.1}], [{"a": math.nan}]):
        found = weigh(NAMES, losses)
        assert set(found.weights.values()) == {1 / 3}
        assert "no window has scored" in found.because


def test_weights_follow_the_smaller_loss_and_say_why():
    losses = [{"a": 0.50, "b": 0.45}] * 4
    found = weigh(["a", "b"], losses, shares={"0.05": 1.0})
    assert found.weights["b"] > 0.9
    assert "4 scored windows" in found.because
    assert "b 0.9" in found.because and "(loss 0.4500)" in found.because
    assert weigh(["a", "b"], losses).weights["b"] > 0.9 * MOST


def test_what_shifts_all_losses_alike_shifts_no_weight():
    hard, easy = [{"a": 1.0, "b": 1.02}], [{"a": 0.1, "b": 0.12}]
    assert weigh(["a", "b"], hard).weights == pytest.approx(weigh(["a", "b"], easy).weights)


def test_a_recipe_that_was_not_scored_neither_gains_nor_loses():
    with_it = weigh(NAMES, [{"a": 0.4, "b": 0.4}])
    assert with_it.weights == pytest.approx(dict.fromkeys(NAMES, 1 / 3))


def test_after_an_abrupt_drift_the_best_is_back_within_two_windows():
    """However long it was the worst (Herbster and Warmuth's point)."""
    before = [{"old": 0.40, "fresh": 0.60}] * 500
    after = [{"old": 0.90, "fresh": 0.60}] * 2
    for share, most in (("0.05", 1.0), (SHARE, MOST)):
        assert weigh(["old", "fresh"], before, shares={share: 1.0}).weights["old"] > 0.9 * most
        found = weigh(["old", "fresh"], before + after, shares={share: 1.0})
        assert found.weights["fresh"] > 0.9 * most


def test_without_a_fixed_share_or_fading_it_is_not():
    before = [{"old": 0.40, "fresh": 0.60}] * 500
    after = [{"old": 0.90, "fresh": 0.60}] * 2
    kept = weigh(["old", "fresh"], before + after, discount=1.0, shares={"0": 1.0})
    assert kept.weights["old"] > 0.99


def test_log_odds_are_averaged():
    mixed = mix({"a": np.array([2.0, -1.0]), "b": np.array([0.0, 1.0])}, {"a": 0.75, "b": 0.25})
    assert mixed == pytest.approx([1.5, -0.5])


def test_members_that_are_missing_leave_their_weight_to_the_others():
    weights = {"a": 0.2, "b": 0.2, "c": 0.6}
    assert mix({"a": np.array([1.0]), "b": np.array([3.0])}, weights) == pytest.approx([2.0])


@given(st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1, max_size=5))
def test_scores_of_several_classes_sum_to_one(rows):
    scores = scores_of("multiclass", np.array(rows))
    assert scores.sum(axis=1) == pytest.approx(1)
    shifted = scores_of("multiclass", np.array(rows) + 7.0)
    assert shifted == pytest.approx(scores, abs=1e-9)


def test_scores_of_a_binary_label_never_overflow():
    with np.errstate(all="raise"):
        found = scores_of("binary", np.array([-700.0, 0.0, 700.0]))
    assert found == pytest.approx([0, 0.5, 1])


def test_a_regression_is_its_margin():
    assert scores_of("regression", np.array([3.5])) == pytest.approx([3.5])


def test_a_mixture_of_classes_is_the_logarithmic_pool():
    p, q = np.array([[0.7, 0.2, 0.1]]), np.array([[0.1, 0.6, 0.3]])
    found = scores_of("multiclass", mix({"p": np.log(p), "q": np.log(q)}, {"p": 0.5, "q": 0.5}))
    pool = np.sqrt(p * q)
    assert found == pytest.approx(pool / pool.sum())


def test_an_anchor_is_trained_when_the_stream_doubles_and_then_every_eight_windows():
    anchor = Member(name="anchor", every=8)
    due = [known for known in range(1, 33) if plan(anchor, known).end == known]
    assert due == [1, 2, 4, 8, 16, 24, 32]


@given(st.integers(1, 400), st.integers(1, 30), st.none() | st.integers(1, 20))
def test_nothing_after_what_is_known_is_learned(known, every, history):
    found = plan(member := Member(name="m", every=every, history=history), known)
    assert 0 <= found.first < found.end <= known
    assert known - found.end < max(every, (known + 1) // 2 + 1)
    assert plan(member, found.end) == found  # the training it was reused from


def test_no_window_no_plan():
    with pytest.raises(ValueError, match="at least one labelled window"):
        plan(STANDARD[0], 0)


def test_the_standard_members_differ_in_what_they_remember():
    assert [(m.name, m.every, m.history) for m in STANDARD] == [
        ("anchor", 5, None),
        ("recent", 2, 6),
        ("fresh", 1, 1),
    ]
    assert trained_at(STANDARD[0], 23) == 20
