"""self_train: what is the best candidate that this evidence allows?

Reads accepted rows and their labels as-of the window's end, trains every recipe, and scores each on
the held-out windows. Which one goes to the gate was settled by earlier cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import self_train as core
from ratchet.adapters.code import code_digest
from ratchet.contracts.bundle import Bundle, predict
from ratchet.contracts.columns import (
    ACCEPTED,
    EVENT,
    KEY,
    KNOWN,
    LABEL,
    LABELS,
    OBJECT,
    REVOCATIONS,
    SOURCE,
    TRUSTED,
)
from ratchet.contracts.evidence import Evidence as Judged
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.revocation import revoked_now, without_revoked
from ratchet.errors import NoCandidate
from tasks import show
from tasks.cycle import Cycle
from tasks.sealed import seal_of

if TYPE_CHECKING:
    from ratchet.contracts.clock import Window
    from ratchet.contracts.recipes import Recipe
    from tasks.workspace import Workspace

STOOD_IN = "labels.trusted"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known as-of the end of a window, split for training and judging."""

    labelled: core.Labelled
    cut: core.Cut
    accepted_version: int
    labels_version: int
    revocations_version: int
    trusted_version: int = -1
    trusted_labels: int = 0  # that stand in for labels that were kept out
    sealed_share: float = 0.0  # of all rows, left out


@task(name="self_train", cache_policy=NO_CACHE, persist_result=False)
def self_train(cycle: Cycle) -> None:
    """Train a candidate a recipe; without enough evidence say why and leave it at that."""
    workspace, definition = cycle.workspace, cycle.workspace.definition
    try:
        known = read_evidence(workspace, cycle.window)
        history = core.encode_history(definition, known.labelled, known.cut)
        for recipe in definition.recipes:
            training = core.training_set(history, definition, recipe)
            cycle.candidates[recipe.name] = train_one(cycle, known, training, recipe)
            cycle.baselines[recipe.name] = training.baseline(len(definition.label.classes))
    except NoCandidate as reason:
        cycle.candidates.clear()
        cycle.no_candidate = str(reason)
        show.log(f"no candidate: {reason}")
        return
    if known.trusted_labels:
        cycle.data_evidence.append(_stood_in(known))
    _hold_out(cycle, known)
    losses = [d.recipe_losses for d in cycle.history if d.recipe_losses]
    names = [r.name for r in definition.recipes]
    cycle.chosen, cycle.chosen_because = core.choose(names, losses)
    show.log(f"recipe {cycle.chosen}: {cycle.chosen_because}")


def _stood_in(known: Evidence) -> Judged:
    text = f"{known.trusted_labels:,} trusted labels stand in for windows whose own were kept out"
    return Judged(STOOD_IN, Verdict.WARN, text, float(known.trusted_labels))


def read_evidence(
    workspace: Workspace,
    window: Window,
    accepted_version: int | None = None,
    labels_version: int | None = None,
    revocations_version: int | None = None,
    trusted_version: int | None = None,
    sealed_share: float | None = None,
) -> Evidence:
    """The rows and labels that were known at the end of ``window``, of these table versions.

    What a revoked source sent is left out, and so is every sealed row. Trusted rows stand for
    windows whose labels were kept out; a ``trusted_version`` of -1 says that none did.

    Raises:
        NoCandidate: nothing was accepted, or no label is mature.
    """
    tables, definition = workspace.tables, workspace.definition
    if accepted_version is None:
        accepted_version = tables.version(ACCEPTED)
    if labels_version is None:
        labels_version = tables.version(LABELS)
    if revocations_version is None:
        revocations_version = tables.version(REVOCATIONS)
    known = (None, window.index + 1)
    columns = [KEY, EVENT, KNOWN, *definition.features]
    label_columns = [KEY, EVENT, KNOWN, LABEL]
    revoked = revoked_now(tables.read(REVOCATIONS, version=revocations_version))
    sender = [SOURCE, OBJECT] if revoked else []  # read only where it matters
    rows = tables.read(ACCEPTED, [*columns, *sender], known, accepted_version)
    labels = tables.read(LABELS, [*label_columns, *sender], known, labels_version)
    if revoked:
        rows, labels = (without_revoked(table, revoked) for table in (rows, labels))
    if not rows.num_rows or not labels.num_rows:
        raise NoCandidate(
            f"{rows.num_rows:,} accepted rows and {labels.num_rows:,} labels are known so far"
        )
    seal = seal_of(workspace, sealed_share)
    rows, labels = seal.without(rows.select(columns)), labels.select(label_columns)
    instead = 0
    if definition.trusted is not None and trusted_version != -1:
        if trusted_version is None:
            trusted_version = workspace.landing_tables.version(TRUSTED)
        trusted = workspace.landing_tables.read(TRUSTED, [*columns, LABEL], known, trusted_version)
        trusted = seal.without(trusted)
        if trusted.num_rows:
            rows, labels, instead = core.stand_in(definition, rows, labels, trusted, window.end)
    labelled = core.join_labels(definition, rows, labels, window.end)
    cut = core.split(definition, window.end, labelled.events)
    return Evidence(
        labelled,
        cut,
        accepted_version,
        labels_version,
        revocations_version,
        trusted_version if instead and trusted_version is not None else -1,
        instead,
        seal.share,
    )


def stood_in(workspace: Workspace, window: Window) -> int:
    """How many trusted labels stand in for labels that were kept out, as of the window's end."""
    if workspace.definition.trusted is None:
        return 0
    try:
        return read_evidence(workspace, window).trusted_labels
    except NoCandidate:
        return 0


def train_one(cycle: Cycle, known: Evidence, training: core.TrainingSet, recipe: Recipe) -> Bundle:
    """One recipe's candidate."""
    definition = cycle.workspace.definition
    return core.bundle_of(
        training,
        core.train(training, definition, recipe),
        definition,
        recipe,
        window=cycle.label,
        as_of=cycle.window.end,
        accepted_version=known.accepted_version,
        labels_version=known.labels_version,
        code_digest=code_digest(),
        parent=cycle.champion.version if cycle.champion else None,
        revocations_version=known.revocations_version,
        trusted_version=known.trusted_version,
        sealed_share=known.sealed_share,
    )


def _hold_out(cycle: Cycle, known: Evidence) -> None:
    cut, labelled = known.cut, known.labelled
    cycle.cut = cut
    cycle.holdout, cycle.holdout_labels = labelled.between(cut.holdout_from, cut.holdout_before)
    cycle.mature_rows = labelled.mature_rows(cut.holdout_from, cut.holdout_before)
    cycle.overlap = core.overlap(labelled, cut)
    objective = cycle.workspace.definition.label.objective
    for name, bundle in cycle.candidates.items():
        cycle.scores[name] = predict(bundle, cycle.holdout)
        losses = row_losses(objective, cycle.holdout_labels, cycle.scores[name])
        cycle.recipe_losses[name] = float(losses.mean())
