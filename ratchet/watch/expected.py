"""How well does the champion do on rows whose labels have not come? An estimate, and its own doubt.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> scores = rng.uniform(0.05, 0.95, 9000)
>>> known = [Scored(scores, (rng.random(9000) < scores).astype(float))]
>>> found = guess(known, scores[:500])
>>> round(found.auc, 1)
0.8

Confidence-based performance estimation (CBPE: NannyML; Bialek, Kuberski, Perrakis and Bifet 2024,
"Estimating model performance under covariate shift without labels"): where a score is a calibrated
probability, it says what the loss is expected to be. Scores are calibrated anew on the last windows
with labels (Platt 1999). That follows a shift of the inputs. It is blind where the same inputs
begin to have other labels (concept drift), and no test without labels can see that.

So the estimate is held against what was measured later: each earlier window is estimated from what
was known when it had no labels, and its errors say how wide the band is. Where a measured loss lies
outside the band, the estimate says that it cannot be trusted.

Promise: it warns at most. Without enough windows to check it by, it is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import CLIP, row_losses, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXPECTED = "watch.expected"
FEWEST = 5  # earlier windows, before which the estimate is not believed
RECENT = 3  # of them must have come out as estimated
LATE = 1  # windows that labels may come later than they are due
PRIOR = 10.0  # rows that speak for scores as they are


class Scored(NamedTuple):
    """Scores of the positive class and labels (0 or 1) of the same rows, shape (rows,)."""

    scores: Floats
    labels: Floats


class Guess(NamedTuple):
    """What is expected of rows without labels.

    Attributes:
        loss, auc: mean log loss and area under the ROC curve.
        error: standard error that the mean loss has though every probability is right.
        rows: how many.
    """

    loss: float
    auc: float
    error: float
    rows: int


class Past(NamedTuple):
    """One window: what was expected of it while it had no labels, and the loss measured later."""

    window: str
    guess: Guess
    measured: float

    @property
    def miss(self) -> float:
        """Measured less expected, in standard errors."""
        return (self.measured - self.guess.loss) / self.guess.error


def calibrate(known: Scored) -> tuple[float, float]:
    """Slope and intercept on log odds, by maximum likelihood (Platt 1999), and some rows' worth of
    belief that scores are right as they are (1 and 0)."""
    import numpy as np

    x = _log_odds(known.scores)
    inputs, found = np.stack([x, np.ones_like(x)], axis=1), np.array([1.0, 0.0])

    def cost(at: Floats) -> float:
        odds = inputs @ at
        fit = np.logaddexp(0, odds).sum() - known.labels @ odds
        return float(fit + PRIOR / 2 * ((at - [1.0, 0.0]) ** 2).sum())

    for _ in range(100):
        p = 1 / (1 + np.exp(-(inputs @ found)))
        slope = inputs.T @ (p - known.labels) + PRIOR * (found - [1.0, 0.0])
        curve = (inputs * (p * (1 - p))[:, None]).T @ inputs + PRIOR * np.eye(2)
        step = np.linalg.solve(curve, slope)
        # A whole step may lead away for good, as it does where labels have turned around.
        limit = cost(found) * (1 + 1e-12)
        while cost(found - step) > limit and np.abs(step).max() >= 1e-9:
            step = step / 2
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def guess(known: Sequence[Scored], scores: Floats) -> Guess:
    """What these scores let expect.

    Args:
        known: rows of the same model with labels, which it has not learned.
        scores: shape (rows,), at least one.
    """
    import numpy as np

    labelled = Scored(*(np.concatenate(part) for part in zip(*known, strict=True)))
    slope, intercept = calibrate(labelled)
    p = 1 / (1 + np.exp(-(slope * _log_odds(scores) + intercept)))
    yes, no = (row_losses("binary", np.full(len(scores), y), scores) for y in (1.0, 0.0))
    variance = p * (1 - p) * (yes - no) ** 2
    return Guess(
        loss=float((p * yes + (1 - p) * no).mean()),
        auc=_auc(scores, p),
        error=max(math.sqrt(float(variance.sum())) / len(scores), 1e-9),
        rows=len(scores),
    )


def expected(past: Sequence[Past], now: Guess, alpha: float, unchecked: int = 0) -> Evidence:
    """``watch.expected``: what is expected of the rows without labels, and whether to believe it.

    WARN where a recent window came out outside its band, or where the whole band now lies above
    what measured losses so far explain; INCONCLUSIVE with fewer than :data:`FEWEST` windows to
    check by, and where more than :data:`LATE` of the newest ones cannot be checked.

    Args:
        past: earlier windows, oldest first.
        now: the rows without labels.
        alpha: chance that a measured loss lies outside its band though nothing changed.
        unchecked: windows after these whose labels should be there and are not.
    """
    if len(past) < FEWEST:
        text = f"{len(past)} windows show how far such an estimate is off, {FEWEST} needed"
        return Evidence(EXPECTED, Verdict.INCONCLUSIVE, text, float(len(past)), float(FEWEST))
    half = _half(past, now, alpha)
    wrong = [
        (one, width)
        for i, one in list(enumerate(past))[max(FEWEST - 1, len(past) - RECENT) :]
        if abs(one.measured - one.guess.loss) > (width := _half(past[:i], one.guess, alpha))
    ]
    top = _explained([one.measured for one in past], alpha)
    said = (
        f"log loss {now.loss:.4f} +- {half:.4f} and AUC {now.auc:.3f} are expected on {now.rows:,} "
        "rows without labels"
    )
    verdict = Verdict.PASS
    if wrong:
        one, width = wrong[-1]
        verdict = Verdict.WARN
        said += (
            f"; not to be trusted: of {one.window} it said {one.guess.loss:.4f} +- {width:.4f}, "
            f"and {one.measured:.4f} was measured, so the same inputs may have other labels now"
        )
    elif now.loss - half > top:
        verdict = Verdict.WARN
        said += f"; at least {now.loss - half:.4f} > {top:.4f}, which measured losses explain"
    elif unchecked > LATE:
        verdict = Verdict.INCONCLUSIVE
        said += f"; not checked: the labels of the {unchecked} newest windows due are not there"
    else:
        said += f"; its last {RECENT} windows came out as estimated"
    details = {
        "auc": _short(now.auc),
        "rows": now.rows,
        "half_width": _short(half),
        "trusted": not wrong and unchecked <= LATE,
        "past": [[p.window, _short(p.guess.loss), _short(p.measured)] for p in past],
    }
    return Evidence(EXPECTED, verdict, said, _short(now.loss), _short(top), details)


def _half(past: Sequence[Past], now: Guess, alpha: float) -> float:
    """Half the width of the band: Student's t on earlier misses, whose mean is taken to be 0 and
    whose scatter is never below what chance alone gives."""
    scatter = max(math.sqrt(math.fsum(p.miss**2 for p in past) / len(past)), 1.0)
    quantile = student_quantile(1 - alpha / 2, len(past))
    return quantile * scatter * math.sqrt(1 + 1 / len(past)) * now.error


def _explained(losses: Sequence[float], alpha: float) -> float:
    n, mean = len(losses), math.fsum(losses) / len(losses)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in losses) / (n - 1))
    return mean + student_quantile(1 - alpha, n - 1) * spread * math.sqrt(1 + 1 / n)


def _auc(scores: Floats, p: Floats) -> float:
    """Chance that a positive scores above a negative, each row being both in parts."""
    import numpy as np

    _, at = np.unique(scores, return_inverse=True)
    yes, no = np.bincount(at, p), np.bincount(at, 1 - p)
    below = np.cumsum(no) - no / 2
    total = float(yes.sum() * no.sum())
    return float((yes * below).sum()) / total if total > 0 else math.nan


def _log_odds(scores: Floats) -> Floats:
    import numpy as np

    kept = np.clip(scores, CLIP, 1 - CLIP)
    return np.asarray(np.log(kept / (1 - kept)), dtype=np.float64)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
