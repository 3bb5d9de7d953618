"""What a member that learns the newest window alone may lose, one window sooner than it is seen.

>>> foreseen({"old": 0.9, "fresh": 0.8}, {"fresh": 0.3})
{'old': 0.9, 'fresh': 0.3}

After an abrupt change every model that is scored has learned the old concept, the one of the newest
window too; that its successor has learned the new one is seen only when the window after is scored.
But the window itself says so: each half of it, learned by the member's recipe, is scored on the
other. That costs as much as the training itself, so it is asked only of a window that surprised all
members. Promise: plain functions; nothing is used that the member has not learned itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import Member
from ratchet.contracts.score import booster, margins_of, scores_of
from ratchet.errors import NoCandidate
from ratchet.self_train.fit import train
from ratchet.self_train.level import levelled_loss

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.recipes import Recipe
    from ratchet.self_train.training_set import TrainingSet


TURNED = 0.05  # nats by which a window surprises
PAST = 6  # windows that it is compared with


def surprised(losses: Sequence[Mapping[str, float]]) -> bool:
    """Whether the newest window looks as if the world had turned: the least loss of any member is
    larger than in the windows before it, by :data:`TURNED` on average.

    Args:
        losses: member to mean loss, in nats, of windows whose labels are mature, oldest first.
    """
    least = [min(known) for w in losses if (known := [v for v in w.values() if math.isfinite(v)])]
    past = least[-1 - PAST : -1]
    return bool(past) and least[-1] - math.fsum(past) / len(past) > TURNED


def has_halves(recipe: Recipe) -> bool:
    """Whether each half of its rows may be learned too: what learns the newest window alone, each
    window anew, from true labels."""
    return (
        isinstance(recipe, Member)
        and recipe.history == 1
        and recipe.every == 1
        and recipe.teacher is None
    )


@dataclass(frozen=True)
class HalvesLoss:
    """What models of each half of some rows lose on the other half.

    Attributes:
        mean: in the unit of :func:`ratchet.contracts.metrics.row_losses`.
        levelled: the same with the level of each half set right, see
            :func:`ratchet.self_train.level.levelled_loss`.
    """

    mean: float
    levelled: float


def halves_loss(training: TrainingSet, definition: Definition, member: Member) -> HalvesLoss | None:
    """The mean loss on each half of the rows of a model that learned the other half.

    The halves are the earlier and the later rows: rows of one morning share more than their
    features, and a random split would take that for skill (Roberts et al. 2017).

    Returns:
        None for a member without halves, or where one cannot be learned from.
    """
    import numpy as np

    if not has_halves(member):
        return None
    objective, middle = definition.label.objective, training.rows // 2
    parts = slice(0, middle), slice(middle, training.rows)
    found, levelled = np.empty(training.rows), 0.0
    for learned, scored in (parts, parts[::-1]):
        try:
            model = train(_part(training, learned), _of_half(definition), member)
        except NoCandidate:
            return None
        loaded = booster(model, definition.train.threads)
        margins = margins_of(loaded, training.matrix[scored], objective, definition.label.classes)
        labels = training.labels[scored].astype(np.float64)
        found[scored] = row_losses(objective, labels, scores_of(objective, margins))
        levelled += levelled_loss(objective, labels, margins) * len(labels) / training.rows
    return HalvesLoss(float(found.mean()), levelled)


def foreseen(newest: Mapping[str, float], halves: Mapping[str, float]) -> dict[str, float]:
    """The losses of the newest scored window, the smaller of both for a member with halves.

    A model of half the rows is worse than one of all of them, so the halves say too much where the
    world rests, and count only after it has turned.

    Args:
        newest: member to mean loss, each by the model that had learned up to that window.
        halves: member to its :class:`HalvesLoss` on that window, of the same kind.
    """
    return {n: min(loss, halves.get(n, loss)) for n, loss in newest.items()}


def _part(training: TrainingSet, rows: slice) -> TrainingSet:
    return replace(
        training,
        matrix=training.matrix[rows],
        labels=training.labels[rows],
        weights=training.weights[rows],
        origin=None,
    )


def _of_half(definition: Definition) -> Definition:
    """The definition by which half of the rows are enough."""
    fewest = definition.train.min_rows // 2
    return definition.model_copy(
        update={"train": definition.train.model_copy(update={"min_rows": fewest})}
    )
