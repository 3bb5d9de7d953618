"""Ways to keep a model fresh, compared on a pipeline's own stream: each in a replay of its own.

>>> scores = compare([(policy, workspace, decisions.done(workspace))])    # doctest: +SKIP

Every policy goes through the same checks and gates; only what is trained differs. A window is
scored with the champion that served when it began, once its labels are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import Mixture, Recipe
from ratchet.contracts.score import predict
from ratchet.errors import NoCandidate

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace

BILL = ("cpu", "training", "avoided")

# What each changes in the pipeline's file.
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "declared": {},
    "mixture": {"recipes": (), "mixture": Mixture()},
    "full": {"recipes": (Recipe(name="full"),), "mixture": None},
    "shallow": {"recipes": (Recipe(name="shallow", max_depth=3),), "mixture": None},
    "sliding": {"recipes": (Recipe(name="sliding", history=8),), "mixture": None},
}


@dataclass(frozen=True)
class Score:
    """How a policy did. Mean losses over the windows in which every policy had a champion and a
    candidate; not a number where there is none.

    Attributes:
        windows: how many these are.
        served: what the champion of the time lost.
        frozen: what the policy's first champion would have lost, had it stayed.
        newest: what each window's own candidate lost, promoted or not.
        promoted: promotions in all windows.
        bill: CPU seconds in all windows: ``cpu``, of these ``training``, and ``avoided``.
    """

    policy: str
    windows: int
    served: float
    frozen: float
    newest: float
    promoted: int
    bill: Mapping[str, float]


def under(workspace: Workspace, policy: str) -> Workspace:
    """The workspace in a replay of its own, trained by this policy."""
    definition = workspace.definition.model_copy(update=dict(POLICIES[policy]))
    return replace(workspace, definition=definition, replay=f"policy-{policy}")


def compare(played: Sequence[tuple[str, Workspace, Sequence[Decision]]]) -> list[Score]:
    """A score each, over the windows that all of them can be judged on."""
    found = [losses(workspace, made) for _, workspace, made in played]
    shared = sorted(set.intersection(*(set(one) for one in found))) if found else []
    return [
        _score(policy, [window[w] for w in shared], made)
        for (policy, _, made), window in zip(played, found, strict=True)
    ]


def _score(
    policy: str, lost: Sequence[tuple[float, float, float]], made: Sequence[Decision]
) -> Score:
    bill = {name: sum(d.bill.get(name, 0.0) for d in made) for name in BILL}
    return Score(
        policy,
        windows=len(lost),
        served=_mean([one[0] for one in lost]),
        frozen=_mean([one[1] for one in lost]),
        newest=_mean([one[2] for one in lost]),
        promoted=sum(d.outcome == "promoted" for d in made),
        bill=bill,
    )


def losses(workspace: Workspace, made: Sequence[Decision]) -> dict[int, tuple[float, float, float]]:
    """Window index to mean loss: of what served, of the first champion, of the candidate."""
    from tasks.self_train import read_evidence

    versions = [d.champion_after for d in made if d.champion_after is not None]
    if not versions:
        return {}
    calendar, objective = workspace.calendar, workspace.definition.label.objective
    try:
        labelled = read_evidence(workspace, calendar.window(made[-1].window_index)).labelled
    except NoCandidate:
        return {}
    newest = {
        calendar.window_of(d.lineage.train_before).index: d.candidate["loss"]
        for d in made
        if d.lineage is not None and "loss" in d.candidate
    }
    found = {}
    for decision, before in zip(made[1:], made, strict=False):
        window = calendar.window(decision.window_index)
        rows, labels = labelled.between(window.start, window.end)
        if before.champion_after is None or window.index not in newest or not rows.num_rows:
            continue
        served, frozen = (
            float(
                row_losses(
                    objective,
                    labels,
                    predict(workspace.registry.load(workspace.name, version), rows),
                ).mean()
            )
            for version in (before.champion_after, versions[0])
        )
        found[window.index] = (served, frozen, newest[window.index])
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
