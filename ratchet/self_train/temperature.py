"""How sure a mixture may be: its log odds are divided by a temperature that follows its losses.

>>> losses = {f"{s:g}": 0.5 + 0.1 * s for s in SHARPNESS}  # the less sure, the smaller
>>> temper([losses] * 4).value > 1.2
True

Boosted trees that learned few rows, or a world that has moved on, are surer than they should be;
ranks do not show it, log loss and calibration do. Promise: plain arithmetic on losses that were
known at the time, as for the weights; without evidence the temperature is 1.
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

# What log odds are multiplied by.
SHARPNESS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
BOLD = 1.1  # surer than this only where each of the last STEADY windows would have been
STEADY = 12  # scored windows
RATE = 50.0  # how fast it follows losses
DISCOUNT = 0.9  # what evidence is worth a window later
SHARE = 0.05  # that goes back to the prior each window, so that nothing dies out
PRIOR = 20.0  # how strongly a sharpness of 1 is believed before anything was seen
MOST = 8.0  # nats by which one window may move belief against belief


@dataclass(frozen=True)
class Temperature:
    """A temperature, above 0; 1 changes nothing, more makes every prediction less sure."""

    value: float
    because: str


def temper(
    losses: Sequence[Mapping[str, float]],
    alike: Sequence[float] | None = None,
    *,
    rate: float = RATE,
    discount: float = DISCOUNT,
    share: float = SHARE,
) -> Temperature:
    """The temperature (Guo et al. 2017) for the next window.

    Hedge over a grid of sharpnesses, with fading evidence and a fixed share as in
    :func:`ratchet.self_train.mixture.weigh`; evidence fades towards a prior around 1, and so does
    the share. The mean sharpness is taken, so that the temperature moves smoothly. Following it
    along the stream keeps a model calibrated that was not retrained (Gupta and Ramdas 2023).

    A mean of log odds is less sure than its members are (Satopaa et al. 2014), but what is made
    surer loses most when the world turns. So the grid ends at :data:`BOLD`, or where a long
    unbroken run of windows did best at more, at the least of these.

    A mixture that the world has turned against was far too sure, but the next one is another: its
    weight has gone to members that know the new world. So a window counts by what the two mixtures
    share, and never for more than :data:`MOST`, which keeps one outlier from ruling (as bounded
    losses do for Hedge).

    Args:
        losses: sharpness, as text, to the mean log loss of the mixture's log odds multiplied by
            it, for windows whose labels are mature, oldest first. As for the weights, each on the
            first rows after those that the mixture had learned.
        alike: for each of these windows, how much the mixture that was scored has in common with
            the one that came after it (:func:`in_common`); left out: everything.
        rate: belief against belief is ``exp(rate x difference of mean losses)``.
        discount: in [0, 1].
        share: in [0, 1).
    """
    most = _most([window for window in losses if _scored(window, BOLD)])
    shares = [1.0] * len(losses) if alike is None else alike
    scored = [(w, a) for w, a in zip(losses, shares, strict=True) if _scored(w, most)]
    prior = {f"{s:g}": -PRIOR * (s - 1) ** 2 for s in SHARPNESS if s <= most}
    if not scored:
        return Temperature(1.0, "temperature 1: no window has scored the mixture yet")
    evidence = [against({s: w[s] for s in prior}, rate * common, MOST) for w, common in scored]
    logs = followed(prior, evidence, discount=discount, share=share)
    mean = math.fsum(math.exp(v) * float(s) for s, v in logs.items())
    value = 1 / mean
    return Temperature(value, f"temperature {value:.2f} after {len(scored)} scored windows")


def in_common(scored: Mapping[str, float], after: Mapping[str, float]) -> float:
    """What two mixtures share, by the weights of their members: 1 for the same weights, 0 where no
    member has weight in both."""
    return math.fsum(min(weight, after.get(name, 0.0)) for name, weight in scored.items())


def _scored(window: Mapping[str, float], most: float) -> bool:
    """Whether all sharpnesses up to one were scored; older records end at :data:`BOLD`."""
    return all(math.isfinite(window.get(f"{s:g}", math.nan)) for s in SHARPNESS if s <= most)


def _most(scored: Sequence[Mapping[str, float]]) -> float:
    """The largest sharpness that counts."""
    if len(scored) < STEADY:
        return BOLD
    best = (min((w.get(f"{s:g}", math.inf), s) for s in SHARPNESS)[1] for w in scored[-STEADY:])
    return max(BOLD, min(best))


def sharpness_losses(
    objective: str, y: NDArray[np.float64], margins: NDArray[np.float64]
) -> dict[str, float]:
    """What :func:`temper` learns from: the mean log loss at each sharpness.

    Args:
        y: shape (rows,): class index.
        margins: of the mixture before any temperature; (rows,) or (rows, classes).
    """
    return {
        f"{s:g}": float(row_losses(objective, y, scores_of(objective, margins * s)).mean())
        for s in SHARPNESS
    }
