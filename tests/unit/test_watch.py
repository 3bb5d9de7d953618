"""The watch's checks: values in, verdict out."""

import numpy as np
import pytest

from ratchet import watch
from ratchet.contracts.evidence import Verdict


def test_an_alias_that_was_moved_by_hand_is_a_block():
    assert watch.serving(3, 3).verdict is Verdict.PASS
    moved = watch.serving(3, 5)
    assert moved.verdict is Verdict.BLOCK
    assert (
        "version 5 is champion in the registry, but the last decision named 3" in moved.arithmetic
    )
    assert watch.serving(3, None).verdict is Verdict.BLOCK
    assert watch.serving(None, None).verdict is Verdict.PASS


def test_what_does_not_load_is_an_error():
    assert watch.loads("champion", 3, "").verdict is Verdict.PASS
    assert watch.loads("champion", 3, "digest differs").verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("waiting", "busy", "verdict"),
    [(0, False, "PASS"), (1, False, "PASS"), (2, False, "WARN"), (9, True, "PASS")],
)
def test_a_backlog_warns_unless_a_cycle_is_at_work(waiting, busy, verdict):
    assert watch.backlog(waiting, busy).verdict == verdict


@pytest.mark.parametrize(
    ("decided", "known", "verdict"),
    [(5, 5, "PASS"), (5, 4, "PASS"), (5, 3, "WARN"), (5, None, "INCONCLUSIVE")],
)
def test_labels_that_stay_away_warn(decided, known, verdict):
    assert watch.label_lag(decided, known).verdict == verdict


BLOCKS, EACH = 14, 22  # blocks a window, rows a block


def losses(rng, windows, worse):
    """Losses of a champion and of the one before; the rows of a block share a shock."""
    blocks = BLOCKS * windows
    shock = np.repeat(rng.normal(0, 0.05, blocks), EACH)
    before = 0.5 + 0.2 * rng.normal(size=blocks * EACH)
    champion = before + worse + shock + 0.1 * rng.normal(size=blocks * EACH)
    return champion, before, np.arange(blocks * EACH)


def look(champion, before, events, windows, alpha):
    rows = windows * BLOCKS * EACH
    return watch.still_better(
        champion[:rows], before[:rows], events[:rows], windows=windows, blocks=BLOCKS, alpha=alpha
    )


def test_a_worse_champion_is_found_and_the_sentence_shows_the_arithmetic():
    found = look(*losses(np.random.default_rng(1), 3, 0.06), 3, 0.01)
    assert found.verdict is Verdict.BLOCK
    assert "lower bound" in found.arithmetic
    assert found.arithmetic.endswith("> 0")
    assert found.details["level"] == pytest.approx(0.01 / 12)


def test_looking_every_window_accuses_an_equal_champion_no_more_than_alpha():
    """A plain test at each look, beside it, accuses far more."""
    alpha, lives, spent, plain = 0.05, 600, 0, 0
    rng = np.random.default_rng(2)
    for _ in range(lives):
        life = losses(rng, 12, 0.0)
        every = range(1, 13)
        spent += any(look(*life, k, alpha).verdict is Verdict.BLOCK for k in every)
        plain += any(
            look(*life, k, alpha * k * (k + 1)).verdict is Verdict.BLOCK for k in (1, 2, 3)
        )
    assert spent <= alpha * lives
    assert plain > 1.5 * alpha * lives


def test_too_little_says_so_and_never_accuses():
    few = np.zeros(10)
    assert look(few, few, np.arange(10), 1, 0.01).verdict is Verdict.INCONCLUSIVE
    flat = np.zeros(400)
    same_time = look(flat, flat, np.zeros(400, dtype=np.int64), 2, 0.01)
    assert same_time.verdict is Verdict.INCONCLUSIVE
    broken = np.full(400, np.nan)
    assert look(broken, flat, np.arange(400), 2, 0.01).verdict is Verdict.ERROR


def test_the_state_is_the_loudest():
    fine, late = watch.backlog(0, False), watch.backlog(3, False)
    moved, broken = watch.serving(1, 2), watch.loads("champion", 1, "gone")
    unsure = watch.label_lag(1, None)
    assert watch.state([fine, unsure]) == "Completed"
    assert watch.state([fine, unsure, late]) == "Degraded"
    assert watch.state([broken, fine]) == "Degraded"
    assert watch.state([broken, moved]) == "Blocked"
    assert watch.state([]) == "Degraded"
