"""Ways to keep a model fresh, each in a replay of its own.

>>> found = compare([(policy, workspace, decisions.done(workspace))])     # doctest: +SKIP

Every policy goes through the same checks and gates; only what is trained differs. A window is
scored with the champion that served when it began, once its labels are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import POLICIES
from ratchet.contracts.score import predict
from ratchet.errors import NoCandidate
from ratchet.self_train import Lost, Score, scores

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace


def under(workspace: Workspace, policy: str) -> Workspace:
    """The workspace in a replay of its own, trained by this policy."""
    definition = workspace.definition.model_copy(update=dict(POLICIES[policy]))
    return replace(workspace, definition=definition, replay=f"policy-{policy}")


def compare(played: Sequence[tuple[str, Workspace, Sequence[Decision]]]) -> list[Score]:
    """A score each, over the windows that all of them can be judged on."""
    lost = {policy: losses(workspace, made) for policy, workspace, made in played}
    return scores(lost, {policy: made for policy, _, made in played})


def losses(workspace: Workspace, made: Sequence[Decision]) -> dict[int, Lost]:
    """Window index to what was lost there; without a champion or mature labels it is left out."""
    from tasks.self_train import read_evidence

    versions = [d.champion_after for d in made if d.champion_after is not None]
    if not versions:
        return {}
    calendar = workspace.calendar
    try:
        labelled = read_evidence(workspace, calendar.window(made[-1].window_index)).labelled
    except NoCandidate:
        return {}
    newest = {
        calendar.window_of(d.lineage.train_before).index: d.candidate["loss"]
        for d in made
        if d.lineage is not None and "loss" in d.candidate
    }
    found: dict[int, Lost] = {}
    for decision, before in zip(made[1:], made, strict=False):
        window = calendar.window(decision.window_index)
        if decision.again or window.end > made[-1].as_of - workspace.definition.label_delay:
            continue
        rows, labels = labelled.between(window.start, window.end)
        if not rows.num_rows:
            continue
        if (serves := before.champion_after) is None:
            continue
        found[window.index] = Lost(
            served=_loss(workspace, serves, rows, labels),
            frozen=_loss(workspace, versions[0], rows, labels),
            newest=newest.get(window.index),
        )
    return found


def _loss(workspace: Workspace, version: int, rows: pa.Table, labels: NDArray[np.float64]) -> float:
    scores = predict(workspace.model(version), rows)
    return float(row_losses(workspace.definition.label.objective, labels, scores).mean())
