"""An estimate without labels, and whether it says so when it must not be believed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ratchet.contracts.evidence import Verdict
from ratchet.contracts.metrics import auc, row_losses
from ratchet.watch import Guess, Past, Scored, calibrate, expected, guess


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def window(
    seed: int, *, spread: float = 1.0, slope: float = 1.0, rows: int = 3000
) -> tuple[Scored, Any]:
    """A model that believes in slope 1; the truth has ``slope``, inputs have ``spread``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, spread, rows) * 1.5
    return Scored(sigmoid(x), (rng.random(rows) < sigmoid(slope * x)).astype(float)), x


def past(count: int, **last: float) -> list[Past]:
    """Windows of a world that stands still, but for the last one."""
    windows = [window(s)[0] for s in range(count)] + [window(99, **last)[0]]
    found = []
    for i in range(1, len(windows)):
        one = windows[i]
        measured = float(row_losses("binary", one.labels, one.scores).mean())
        found.append(Past(f"w{i}", guess(windows[max(i - 4, 0) : i], one.scores), measured))
    return found


def test_overconfident_scores_are_calibrated() -> None:
    one, _ = window(1, slope=0.5, rows=20_000)
    slope, intercept = calibrate(one)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert intercept == pytest.approx(0, abs=0.05)
    few = Scored(one.scores[:3], one.labels[:3])
    assert calibrate(few)[0] == pytest.approx(1, abs=0.5)  # scores are believed


@pytest.mark.parametrize("slope", [-0.5, -1.0, -2.0])
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_labels_turned_around_are_calibrated_too(slope: float, spread: float) -> None:
    """Far from scores as they are, a whole Newton step leads away for good."""
    known, _ = window(1, slope=slope, spread=spread, rows=20_000)
    assert calibrate(known)[0] == pytest.approx(slope, rel=0.2)
    new, _ = window(2, slope=slope, spread=spread)
    found = guess([known], new.scores)
    measured = row_losses("binary", new.labels, new.scores).mean()
    assert found.loss == pytest.approx(measured, abs=5 * found.error)
    assert found.auc == pytest.approx(auc(new.labels, new.scores).value, abs=0.03)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("slope", [0.6, 1.0])
def test_a_shift_of_the_inputs_is_followed(spread: float, slope: float) -> None:
    known, _ = window(1, slope=slope, rows=20_000)
    new, _ = window(2, spread=spread, slope=slope, rows=20_000)
    found = guess([known], new.scores)
    measured = row_losses("binary", new.labels, new.scores).mean()
    assert found.loss == pytest.approx(measured, abs=4 * found.error)
    assert found.auc == pytest.approx(auc(new.labels, new.scores).value, abs=0.015)


def test_a_world_that_stands_still_is_believed() -> None:
    known = past(8)
    now = guess([window(s)[0] for s in range(4, 8)], window(50)[0].scores)
    found = expected(known, now, 0.01)
    assert found.verdict is Verdict.PASS
    assert found.details["trusted"]
    assert "are expected on 3,000 rows without labels" in found.arithmetic
    assert found.details["half_width"] < 0.1


def test_what_came_out_otherwise_is_flagged_as_not_to_be_trusted() -> None:
    known = past(8, slope=-0.5)  # the same inputs, other labels
    now = guess([window(s)[0] for s in range(4, 8)], window(50)[0].scores)
    found = expected(known, now, 0.01)
    assert found.verdict is Verdict.WARN
    assert not found.details["trusted"]
    assert "not to be trusted: of w8 it said" in found.arithmetic


def test_harder_rows_are_a_warning_before_their_labels_come() -> None:
    known = past(8)
    now = guess([window(s)[0] for s in range(4, 8)], window(50, spread=0.1)[0].scores)
    found = expected(known, now, 0.01)
    assert found.verdict is Verdict.WARN
    assert found.details["trusted"]
    assert "which measured losses explain" in found.arithmetic


def test_without_a_history_it_is_no_evidence() -> None:
    now = Guess(0.5, 0.7, 0.01, 100)
    assert expected([], now, 0.01).verdict is Verdict.INCONCLUSIVE
    assert expected(past(4), now, 0.01).verdict is Verdict.INCONCLUSIVE


def test_where_the_newest_labels_are_not_there_it_does_not_say_that_it_came_out() -> None:
    now = Guess(0.5, 0.7, 0.01, 100)
    late, missing = (expected(past(8), now, 0.01, unchecked=n) for n in (1, 2))
    assert late.verdict is Verdict.PASS
    assert missing.verdict is Verdict.INCONCLUSIVE
    assert not missing.details["trusted"]
    assert "the labels of the 2 newest windows due are not there" in missing.arithmetic


def test_false_flags_are_as_rare_as_declared() -> None:
    """Windows that stand still: at alpha .05, three are looked at, so at most .15 are flagged."""
    flagged = 0
    rng = np.random.default_rng(3)
    for _ in range(300):
        misses = rng.normal(0, 0.01, 8)
        known = [Past(str(i), Guess(0.5, 0.7, 0.01, 100), 0.5 + m) for i, m in enumerate(misses)]
        flagged += not expected(known, Guess(0.5, 0.7, 0.01, 100), 0.05).details["trusted"]
    assert flagged / 300 <= 0.15


def test_one_score_for_all_has_no_error_of_its_own() -> None:
    same = Scored(np.full(50, 0.5), np.tile([0.0, 1.0], 25))
    found = guess([same], same.scores)
    assert found.loss == pytest.approx(math.log(2))
    assert found.auc == pytest.approx(0.5)
    assert found.error > 0
