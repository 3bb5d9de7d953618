"""A member with a teacher counts for nothing in a mixture until its own losses say that it helps.

>>> seen = [{"old": 0.5, "pupil": 0.5 - 0.01 * (1 + i % 2)} for i in range(8)]
>>> weigh_earned({"old": None, "pupil": "old"}, seen).weights["pupil"] > 0
True
>>> weigh_earned({"old": None, "pupil": "old"}, seen[:4]).weights["pupil"]
0.0

Promise: plain arithmetic on recorded losses of rows with mature, true labels; the same losses give
the same weights, and what was earned is lost again when the evidence goes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ratchet.contracts.metrics import student_quantile
from ratchet.self_train.mixture import Weighing, weigh

LOOKED = 12  # windows that count
FEWEST = 6  # with fewer of them nothing is earned
LEVEL = 0.95  # of the lower confidence bound


def weigh_earned(
    teachers: Mapping[str, str | None],
    losses: Sequence[Mapping[str, float]],
    levelled: Sequence[Mapping[str, float]] | None = None,
    shares: Mapping[str, float] | None = None,
) -> Weighing:
    """Weights as of :func:`ratchet.self_train.weigh`, 0 for a pupil that has not earned any.

    Args:
        teachers: member to its teacher, None for one that has none.
        losses: member to mean loss of windows whose labels are mature, oldest first; in nats.
        levelled: what weights follow: the same with each level set right; by default ``losses``.
        shares: as of :func:`ratchet.self_train.weigh`.
    """
    gains = {n: gain(n, t, losses) for n, t in teachers.items() if t is not None}
    counted = [n for n, t in teachers.items() if t is None or gains[n] > 0]
    if not counted:  # a pupil comes with its teacher, so this is for whoever asks otherwise
        counted, gains = list(teachers), {}
    found = weigh(counted, losses if levelled is None else levelled, shares=shares)
    if not gains:
        return found
    weights = {n: found.weights.get(n, 0.0) for n in teachers}
    shown = "; ".join(_shown(n, g) for n, g in gains.items())
    return Weighing(weights, f"{found.because}; {shown}")


def gain(pupil: str, teacher: str, losses: Sequence[Mapping[str, float]]) -> float:
    """How much smaller the pupil's loss surely is than its teacher's.

    The lower bound of a one-sided interval (Student 1908) for the mean difference over the last
    :data:`LOOKED` windows that saw both; minus infinity for fewer than :data:`FEWEST`.

    Weights may be looked at each window, so the bound says whether to try it, no more; whether the
    model may serve is for the gate, whose test holds however often it looks.
    """
    found = [
        d
        for window in losses
        if pupil in window and teacher in window
        if math.isfinite(d := window[teacher] - window[pupil])
    ][-LOOKED:]
    n = len(found)
    if n < FEWEST:
        return -math.inf
    mean = math.fsum(found) / n
    error = math.sqrt(math.fsum((d - mean) ** 2 for d in found) / (n - 1) / n)
    return mean - student_quantile(LEVEL, n - 1) * error


def _shown(name: str, found: float) -> str:
    if found > 0:
        return f"{name} is better than its teacher by at least {found:.4f}"
    why = "too few windows" if found == -math.inf else f"lower bound of its gain {found:.4f}"
    return f"{name} has not earned a weight ({why})"
