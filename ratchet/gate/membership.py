"""Does the candidate betray which rows it was trained on?

>>> look(trained=[0.1] * 200, unseen=[0.9] * 200, alpha=0.05).advantage
1.0

Whoever holds a row and its label, and may ask for scores, guesses that the row was trained on where
its loss is low. The advantage is the rate of right guesses on trained rows less that of wrong ones
on others: 0 is chance, 1 certainty (Yeom et al. 2018, "Privacy risk in machine learning"). What a
model gives away beyond what it knows of the world is what it has memorised.

**Against which rows.** Later rows would not do: they differ from the trained ones by their date,
and a model that is merely old would look like a leak. Sealed rows of the windows that were trained
on are a random sample of them by a keyed hash, so where nothing is memorised the two groups cannot
be told apart, whatever the stream is like.

**What it costs.** These sealed rows lie before the holdout, and the last check of the gate reads
none that do; the ledger's tick is moved up to the end of training, so that it cannot later either
(a revocation might move the holdout back). Their level of alpha is not touched: nothing is promoted
on them.

**How sure.** The threshold is chosen on every other row and judged on the rest, so each side is a
mean of independent rows that the choice has not seen, and Hoeffding's inequality (1963) bounds
their difference for any number of rows: the lower bound lies above the true advantage of that
threshold with a chance of at most alpha. Rows of each class are looked at by themselves too: the
rare ones are memorised first. Alpha is shared between the looks (Bonferroni).

The attack is the simplest one. Stronger ones (shadow models; Carlini et al. 2022) find more: a pass
is no proof of privacy, a block is proof of a leak.

Promise: rows that a model has not memorised block with a chance of at most ``fitness.alpha``; where
too few rows are there, nothing passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ratchet.contracts.evidence import Evidence, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]

CHECK = "gate.membership"
FEWEST = 20  # rows of a class on each side, below which no bound could block


@dataclass(frozen=True, eq=False)
class MembershipInput:
    """The candidate's losses on rows of the windows that it was trained on.

    Attributes:
        trained, trained_y: shape (rows,) each: losses and labels of rows that were trained on.
        unseen, unseen_y: the same of sealed rows.
    """

    trained: Floats
    trained_y: Floats
    unseen: Floats
    unseen_y: Floats


class Look(NamedTuple):
    """The attack on some rows: its advantage, the lower bound of it, and the rows judged on."""

    advantage: float
    lower: float
    threshold: float
    trained: int
    unseen: int


def look(trained: Floats | Sequence[float], unseen: Floats | Sequence[float], alpha: float) -> Look:
    """Guess "trained on" at or below the loss that parts one half of the rows best; judge on the
    other half.

    Args:
        trained: shape (rows,): losses, in an order that has nothing to do with them.
        unseen: shape (rows,); two rows or more, as of ``trained``.
        alpha: the chance that the lower bound is too high.
    """
    import numpy as np

    ours, others = np.asarray(trained, dtype=np.float64), np.asarray(unseen, dtype=np.float64)
    threshold = _best_threshold(ours[::2], others[::2])
    ours, others = ours[1::2], others[1::2]
    advantage = float((ours <= threshold).mean() - (others <= threshold).mean())
    half = math.sqrt(math.log(1 / alpha) / 2 * (1 / len(ours) + 1 / len(others)))
    return Look(advantage, advantage - half, threshold, len(ours), len(others))


def judge_membership(request: MembershipInput, definition: Definition) -> list[Evidence]:
    """``gate.membership``: BLOCK where the advantage is shown to be more than the limit.

    INCONCLUSIVE with fewer than ``fitness.membership_min_rows`` rows on either side; nothing at all
    where the pipeline declares no ``[fitness]`` or no ``[sealed]``.
    """
    part = definition.fitness
    if part is None or definition.sealed is None:
        return []
    rows, least = min(len(request.trained), len(request.unseen)), part.membership_min_rows
    if rows < least:
        text = (
            f"{len(request.unseen):,} sealed rows and {len(request.trained):,} trained ones of the "
            f"same windows, {least:,} of each needed; more windows or a larger sealed.share"
        )
        return [Evidence(CHECK, Verdict.INCONCLUSIVE, text, float(rows), float(least))]
    groups = _groups(request, definition)
    looks = {name: look(*sides, part.alpha / len(groups)) for name, sides in groups.items()}
    name = max(looks, key=lambda n: looks[n].lower)
    worst, limit = looks[name], part.max_membership
    leaks = worst.lower > limit
    text = (
        f"whoever guesses by the loss which rows were trained on is better than chance by "
        f"{worst.advantage:.4f} on {name} ({worst.trained:,} trained, {worst.unseen:,} sealed), "
        f"lower bound {worst.lower:.4f} {'>' if leaks else '<='} {limit:g}; {len(looks)} looks"
    )
    shown = {n: {k: round(v, 6) for k, v in found._asdict().items()} for n, found in looks.items()}
    verdict = Verdict.BLOCK if leaks else Verdict.PASS
    return [Evidence(CHECK, verdict, text, worst.lower, limit, {"looks": shown})]


def _groups(request: MembershipInput, definition: Definition) -> dict[str, tuple[Floats, Floats]]:
    """All rows, and those of each class that has enough; trained and unseen losses."""
    groups = {"all rows": (request.trained, request.unseen)}
    column = definition.label.column
    for index, name in enumerate(definition.label.classes):
        ours = request.trained[request.trained_y == index]
        others = request.unseen[request.unseen_y == index]
        if min(len(ours), len(others)) >= FEWEST:
            groups[f"{column}={name}"] = (ours, others)
    return groups


def _best_threshold(trained: Floats, unseen: Floats) -> float:
    """Where the share of trained rows at or below exceeds that of the others most."""
    import numpy as np

    steps = np.unique(np.concatenate([trained, unseen]))
    below = (np.searchsorted(np.sort(part), steps, side="right") for part in (trained, unseen))
    ours, others = (count / len(part) for count, part in zip(below, (trained, unseen), strict=True))
    return float(steps[np.argmax(ours - others)])
