"""Which recipe's candidate goes to the gate: decided by earlier cycles only.

>>> choose(["all", "recent"], [{"all": 0.50, "recent": 0.40}, {"all": 0.41, "recent": 0.42}])[0]
'recent'

Promise: the rows that the gate judges on never choose what it judges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def choose(
    recipes: Sequence[str], history: Sequence[Mapping[str, float]], discount: float = 0.8
) -> tuple[str, str]:
    """The recipe with the smallest discounted prequential loss so far.

    Each cycle, every recipe is scored on rows that came after its training rows (Dawid 1984); a
    loss of k cycles ago counts ``discount**k`` (fading factors, Gama, Sebastiao and Rodrigues
    2013). Losses are taken relative to the cycle's mean over the recipes, so that a recipe which
    missed a hard cycle gains nothing by it.

    Args:
        recipes: names, in declared order; ties go to the first.
        history: for each earlier cycle, oldest first, recipe to mean loss on its holdout. Unknown
            names and losses that are not finite are passed over.
        discount: in (0, 1].

    Returns:
        The recipe's name, and why.
    """
    sums = dict.fromkeys(recipes, 0.0)
    weights = dict.fromkeys(recipes, 0.0)
    cycles = 0
    for age, losses in enumerate(reversed(history)):
        known = {n: v for n, v in losses.items() if n in sums and math.isfinite(v)}
        if not known:
            continue
        cycles += 1
        mean = math.fsum(known.values()) / len(known)
        for name, loss in known.items():
            sums[name] += discount**age * (loss - mean)
            weights[name] += discount**age
    means = {name: sums[name] / weights[name] for name in recipes if weights[name] > 0}
    if not means:
        return recipes[0], "the first declared: no earlier cycle has scored the recipes"
    best = min(means, key=lambda name: round(means[name], 12))
    shown = ", ".join(f"{name} {means[name]:+.4f}" for name in means)
    return (
        best,
        f"smallest discounted loss over {cycles} earlier cycles, against their mean: {shown}",
    )
