"""Several deliberately different cheap recipes, mixed by what each has shown lately.

>>> found = weigh(["anchor", "recent"], [{"anchor": 0.50, "recent": 0.45}])
>>> found.weights["recent"] > found.weights["anchor"]
True

Promise: plain arithmetic on losses that were known at the time; the same losses give the same
weights, whoever asks, and a recipe without evidence neither gains nor loses by that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ratchet.self_train.shares import SHARES

RATE = 25.0  # how fast weights follow losses
DISCOUNT = 0.8  # what evidence is worth a window later
# Of the weight that is dealt out evenly each window, so that no recipe dies out.
SHARE = f"{max(SHARES):g}"


@dataclass(frozen=True)
class Weighing:
    """Weights, each positive, that sum to 1; and the reasons in one sentence."""

    weights: Mapping[str, float]
    because: str


def nats(objective: str, losses: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Mean losses as :func:`weigh` takes them: in nats.

    Log losses are that already. Of squared errors half the logarithm is what a normal distribution
    of that variance loses, but for a constant.
    """
    if objective != "regression":
        return [dict(window) for window in losses]
    return [{n: 0.5 * math.log(max(v, 1e-300)) for n, v in w.items() if v >= 0} for w in losses]


def weigh(
    names: Sequence[str],
    losses: Sequence[Mapping[str, float]],
    *,
    rate: float = RATE,
    discount: float = DISCOUNT,
    shares: Mapping[str, float] | None = None,
) -> Weighing:
    """Weights from each recipe's discounted prequential loss.

    Hedge (Freund and Schapire 1997) with fading evidence: a window later a difference of losses
    counts ``discount`` times what it did. A share of the weight is dealt out evenly each window
    (fixed share, Herbster and Warmuth 1998), so that after an abrupt drift the recipe that has
    become best is back within a window or two, however bad it was before. Of several shares the
    weights are averaged by how much each is believed. A recipe whose loss in a window is not known
    is taken to have the mean of the others.

    Args:
        names: the recipes, in declared order.
        losses: recipe to mean loss of windows whose labels are mature, oldest first; the pipeline
            gives them with each level set right (:mod:`ratchet.self_train.level`). Each on the
            first rows after those that the recipe had learned, even where the label delay means
            that an older model served them: so after a drift the weights follow as soon as labels
            do. In nats, see :func:`nats`.
        rate: weight against weight is ``exp(rate x difference of mean losses)``.
        discount: in [0, 1].
        shares: share, as text and in [0, 1), to belief (:mod:`ratchet.self_train.shares`); these
            sum to 1. :data:`SHARE` alone by default.

    Returns:
        The weights for the next window; all the same where nothing is known yet.
    """
    weights, seen = dict.fromkeys(names, 0.0), 0
    shares = shares or {SHARE: 1.0}
    for share, belief in shares.items():
        found, seen = _weights(names, losses, rate, discount, float(share))
        weights = {n: w + belief * found[n] for n, w in weights.items()}
    total = math.fsum(weights.values())
    weights = {n: v / total for n, v in weights.items()}
    return Weighing(weights, _reasons(weights, losses, seen, shares))


def _weights(
    names: Sequence[str],
    losses: Sequence[Mapping[str, float]],
    rate: float,
    discount: float,
    share: float,
) -> tuple[dict[str, float], int]:
    """By one share; and how many windows were scored."""
    logs, seen = dict.fromkeys(names, 0.0), 0
    for window in losses:
        known = {n: v for n, v in window.items() if n in logs and math.isfinite(v)}
        if not known:
            continue
        seen += 1
        mean = math.fsum(known.values()) / len(known)
        logs = {n: discount * logs[n] - rate * (known.get(n, mean) - mean) for n in names}
        logs = _shared(logs, share)
    weights = {n: math.exp(v) for n, v in logs.items()}
    total = math.fsum(weights.values())
    return {n: v / total for n, v in weights.items()}, seen


def _shared(logs: Mapping[str, float], share: float) -> dict[str, float]:
    """Log weights after the fixed share was dealt out; they sum to 1 outside the logarithm."""
    top = max(logs.values())
    raw = {n: math.exp(v - top) for n, v in logs.items()}
    total = math.fsum(raw.values())
    dealt = {n: (1 - share) * v / total + share / len(raw) for n, v in raw.items()}
    return {n: math.log(max(v, 1e-300)) for n, v in dealt.items()}  # 0 has no logarithm


def _reasons(
    weights: Mapping[str, float],
    losses: Sequence[Mapping[str, float]],
    seen: int,
    shares: Mapping[str, float],
) -> str:
    if not seen:
        return "the same weight for all: no window has scored the recipes yet"
    newest = next(w for w in reversed(losses) if any(n in w for n in weights))
    shown = ", ".join(
        f"{n} {weights[n]:.2f}" + (f" (loss {newest[n]:.4f})" if n in newest else "")
        for n in weights
    )
    dealt = " or ".join(
        f"{float(s):.0%}" + (f" (believed {b:.2f})" if len(shares) > 1 else "")
        for s, b in sorted(shares.items(), key=lambda item: -item[1])
    )
    return (
        f"weights after {seen} scored windows, with their levelled loss in the newest: {shown}; "
        f"{dealt} dealt out evenly each window"
    )
