"""How sure a mixture and each of its members may be: log odds are scaled as their losses ask for.

>>> losses = {f"{s:g}": 0.5 + 0.1 * s for s in SHARPNESS}  # the less sure, the smaller
>>> sharpen([losses] * 8) < 0.5
True

Boosted trees that learned few rows, or rows that resemble each other, or a world that has moved on,
are surer than they should be; ranks do not show it, log loss and calibration do. In a mean of log
odds such a member speaks loudest where it knows least. So each member is first made as sure as it
has shown that it may be. Promise: plain arithmetic on losses that were known at the time, as for
the weights; without evidence nothing is scaled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import scores_of
from ratchet.self_train.belief import against, followed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What a member's log odds may be multiplied by.
SHARPNESS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
RATE = 50.0  # how fast it follows losses
DISCOUNT = 0.9  # what evidence is worth a window later
SHARE = 0.05  # that goes back to the prior each window, so that nothing dies out
PRIOR = 10.0  # how strongly a sharpness of 1 is believed before anything was seen
MOST = 8.0  # nats by which one window may move belief against belief
# What a mixture's may be multiplied by; one below 1 shows that it should not be surer.
BOLDNESS = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
STEADY = 12  # scored windows


@dataclass(frozen=True)
class Temperature:
    """What a mixture's log odds are divided by: 1 changes nothing, less makes it surer."""

    value: float
    because: str


def sharpen(losses: Sequence[Mapping[str, float]]) -> float:
    """What a member's log odds are multiplied by: the inverse of a temperature (Guo et al. 2017).

    Hedge over a grid, with fading evidence and a fixed share as in
    :func:`ratchet.self_train.mixture.weigh`; evidence fades towards a prior around 1, and so does
    the share. The mean is taken, so that it moves smoothly. Following it along the stream keeps a
    model calibrated that was not retrained (Gupta and Ramdas 2023). No window counts for more than
    :data:`MOST`, which keeps one outlier from ruling (as bounded losses do for Hedge).

    Args:
        losses: sharpness, as text, to the mean log loss of the member's log odds multiplied by it,
            for windows whose labels are mature, oldest first: as for the weights, each on the first
            rows after those that it had learned.
    """
    scored = [w for w in losses if _scored(w, SHARPNESS)]
    if not scored:
        return 1.0
    prior = {f"{s:g}": -PRIOR * (s - 1) ** 2 for s in SHARPNESS}
    evidence = [against({s: w[s] for s in prior}, RATE, MOST) for w in scored]
    logs = followed(prior, evidence, discount=DISCOUNT, share=SHARE)
    return math.fsum(math.exp(v) * float(s) for s, v in logs.items())


def temper(losses: Sequence[Mapping[str, float]]) -> Temperature:
    """The temperature of a mixture of such members, for the next window.

    A mean of log odds is less sure than its members are (Satopaa et al. 2014), but what is made
    surer loses most when the world turns. So it is made surer only after a long unbroken run of
    windows that would all have been best with more, and then by the least of these.

    Args:
        losses: boldness, as text, to the mean log loss of the mixture's log odds multiplied by it,
            for windows as of :func:`sharpen`.
    """
    scored = [w for w in losses if _scored(w, BOLDNESS)]
    best = [min((w[f"{s:g}"], s) for s in BOLDNESS)[1] for w in scored[-STEADY:]]
    least = min(best, default=1.0)
    if len(best) < STEADY or least <= 1:
        return Temperature(1.0, f"temperature 1 after {len(scored)} scored windows")
    shown = f"the last {STEADY} windows were all best with {least:g} times the log odds or more"
    return Temperature(1 / least, f"temperature {1 / least:.2f}: {shown}")


def sharpness_losses(
    objective: str,
    y: NDArray[np.float64],
    margins: NDArray[np.float64],
    grid: Sequence[float] = SHARPNESS,
) -> dict[str, float]:
    """What :func:`sharpen` learns from, or :func:`temper` with its own grid: the mean log loss of
    the log odds multiplied by each.

    Args:
        y: shape (rows,): class index.
        margins: before any scaling; (rows,) or (rows, classes).
    """
    return {
        f"{s:g}": float(row_losses(objective, y, scores_of(objective, margins * s)).mean())
        for s in grid
    }


def _scored(window: Mapping[str, float], grid: Sequence[float]) -> bool:
    """Whether all of the grid was."""
    return all(math.isfinite(window.get(f"{s:g}", math.nan)) for s in grid)
