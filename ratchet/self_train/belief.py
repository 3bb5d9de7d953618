"""Belief that follows losses along a stream: Hedge with fading evidence and a fixed share.

>>> logs = followed({"a": 0.0, "b": 0.0}, [{"a": 0.0, "b": 2.0}], discount=0.9, share=0.05)
>>> logs["a"] > logs["b"]
True

Promise: plain arithmetic; the same prior and losses give the same belief, and it never dies out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def followed(
    prior: Mapping[str, float],
    evidence: Iterable[Mapping[str, float]],
    *,
    discount: float,
    share: float,
) -> dict[str, float]:
    """The logarithm of the belief in each choice; Freund and Schapire 1997, Herbster and Warmuth
    1998.

    Args:
        prior: choice to the logarithm of what is believed at first, up to a constant; evidence
            fades towards it.
        evidence: for each window, oldest first, the nats :func:`against` each choice.
        discount: what evidence is worth a window later, in [0, 1].
        share: of the belief, goes back to the prior each window; in [0, 1).
    """
    start = _normal(prior)
    logs = dict(start)
    for window in evidence:
        faded = {s: discount * logs[s] + (1 - discount) * prior[s] - window[s] for s in logs}
        back = _normal(faded)
        logs = {
            s: math.log((1 - share) * math.exp(back[s]) + share * math.exp(start[s])) for s in logs
        }
    return logs


def against(losses: Mapping[str, float], rate: float, most: float) -> dict[str, float]:
    """The nats against each choice: its loss beyond the least, times a rate, bounded by ``most`` so
    that one window does not rule."""
    least = min(losses.values())
    return {s: min(rate * (v - least), most) for s, v in losses.items()}


def _normal(logs: Mapping[str, float]) -> dict[str, float]:
    """Shifted so that they are the logarithms of numbers that sum to 1."""
    top = max(logs.values())
    total = top + math.log(math.fsum(math.exp(v - top) for v in logs.values()))
    return {s: v - total for s, v in logs.items()}
