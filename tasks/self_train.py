"""self_train: what is the best candidate that this evidence allows?

Reads accepted rows and their labels as-of the window's end, trains every recipe or the members of
the mixture that are due, and scores each on the held-out windows. Which one goes to the gate, or
how much a member weighs, was settled by earlier cycles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import self_train as core
from ratchet.adapters.code import code_digest
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
from ratchet.contracts.revocation import revoked_now, where_columns, with_cells, without_revoked
from ratchet.contracts.score import member_margins, mix, predict, scores_of, sharpened
from ratchet.errors import NoCandidate
from tasks import economics, members, search, show
from tasks.cycle import Cycle, cpu_seconds
from tasks.sealed import seal_of
from tasks.taught import untaught

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.bundle import Bundle
    from ratchet.contracts.clock import Window
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.revocation import Reach
    from tasks.workspace import Workspace

    Floats = NDArray[np.float64]

STOOD_IN = "labels.trusted"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known as-of the end of a window, split for training and judging.

    ``rows``, ``labels`` and ``trusted`` are as they were read; ``labelled`` is what they say.
    ``sizes`` is how many rows each window has in the tables that training reads, as it was then.
    """

    rows: pa.Table
    labels: pa.Table
    trusted: pa.Table | None
    labelled: core.Labelled
    cut: core.Cut
    accepted_version: int
    labels_version: int
    revocations_version: int
    trusted_version: int = -1  # where some of its rows stand in for labels, else -1
    trusted_read: int = -1
    trusted_labels: int = 0  # that stand in for labels that were kept out
    sealed_share: float = 0.0  # of all rows, left out
    sizes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


@task(name="self_train", cache_policy=NO_CACHE, persist_result=False)
def self_train(cycle: Cycle) -> None:
    """Train a candidate; without enough evidence say why and leave it at that."""
    try:
        known = read_evidence(cycle.workspace, cycle.window)
        if cycle.workspace.definition.economics is not None:
            hold_out(cycle, known)
            economics.measure_champion(cycle)
        made = _mixture if cycle.workspace.definition.mixture else _recipes
        scores = made(cycle, known)
    except NoCandidate as reason:
        cycle.candidates.clear()
        cycle.no_candidate = str(reason)
        show.log(f"no candidate: {reason}")
        return
    if known.trusted_labels:
        cycle.data_evidence.append(_stood_in(known))
    objective = cycle.workspace.definition.label.objective
    for name, found in scores.items():
        cycle.recipe_losses[name] = float(row_losses(objective, cycle.holdout_labels, found).mean())
    show.log(f"recipe {cycle.chosen}: {cycle.chosen_because}")


def _recipes(cycle: Cycle, known: Evidence) -> dict[str, NDArray[np.float64]]:
    """A candidate a recipe, and its scores on the holdout."""
    definition = cycle.workspace.definition
    recipes = search.in_force(cycle, definition.recipes)
    if definition.economics is not None:
        economics.ask(cycle, known, recipes)
    started = cpu_seconds()
    history = core.encode_history(definition, known.labelled, known.cut.train_before)
    for recipe in recipes:
        training = core.training_set(history, definition, recipe)
        model = core.train(training, definition, recipe)
        cycle.candidates[recipe.name] = core.bundle_of(
            training, model, definition, recipe, query(cycle, known)
        )
        cycle.baselines[recipe.name] = core.best_constant(
            training.labels, len(definition.label.classes)
        )
    cycle.bill["training"] = round(cpu_seconds() - started, 4)
    hold_out(cycle, known)
    losses = [d.recipe_losses for d in cycle.history if d.recipe_losses]
    names = [r.name for r in recipes]
    cycle.chosen, cycle.chosen_because = core.choose(names, losses)
    cycle.scores = {name: predict(b, cycle.judged_rows()) for name, b in cycle.candidates.items()}
    search.race(cycle, known, search.of_recipes(cycle, known, recipes, history))
    return cycle.scores


def _mixture(cycle: Cycle, known: Evidence) -> dict[str, NDArray[np.float64]]:
    """One candidate that holds the members, and each member's scores on the holdout."""
    definition, cut = cycle.workspace.definition, known.cut
    assert definition.mixture is not None  # noqa: S101  asked by its caller
    parts = members.trained(cycle, known, search.in_force(cycle, definition.mixture.members))
    found = members.weigh(
        definition, cycle.history, [core.member_lineage(part, 0.0) for part in parts]
    )
    level = members.level(definition, cycle.history)
    warmth = members.temper(cycle.history)
    sharpness = members.sharpen(cycle.history, [part.name for part in parts])
    before = known.labelled.within(None, cut.train_before)
    positions, labels = known.labelled.positions[before], known.labelled.labels[before]
    bundle = core.mixture_of(
        parts,
        found.weights,
        definition,
        # A member may be from a time when trusted rows stood in, though none do now.
        replace(query(cycle, known), trusted_version=known.trusted_read),
        cut.train_before,
        core.reference(known.labelled, positions, definition),
        warmth.value,
        level.shift,
        sharpness,
    )
    cycle.candidates[core.MIXTURE] = bundle
    cycle.baselines[core.MIXTURE] = core.best_constant(labels, len(definition.label.classes))
    cycle.chosen = core.MIXTURE
    sure = () if definition.label.objective == "regression" else (warmth.because,)
    cycle.chosen_because = "; ".join((found.because, level.because, *sure))
    hold_out(cycle, known)
    margins = member_margins(bundle, cycle.judged_rows())
    sharp = sharpened(margins, sharpness)
    weights = {m.name: m.weight for m in bundle.manifest.lineage.members}
    objective = definition.label.objective
    served = mix(sharp, weights, warmth.value, level.shift)
    cycle.scores[core.MIXTURE] = scores_of(objective, served)
    _see(cycle, bundle, margins, sharp)
    mixed = search.Mixed(sharp, weights, warmth.value, level.shift, sharpness)
    search.race(cycle, known, search.of_members(cycle, known, parts, mixed))
    return {name: scores_of(objective, own) for name, own in margins.items()}


def _see(
    cycle: Cycle, bundle: Bundle, margins: Mapping[str, Floats], sharp: Mapping[str, Floats]
) -> None:
    """Enter what the held-out rows say of a mixture's members, as they are and sharpened."""
    definition, parts = cycle.workspace.definition, bundle.manifest.lineage.members
    objective, labels, history = definition.label.objective, cycle.holdout_labels, cycle.history
    plain = mix(sharp, {m.name: m.weight for m in parts})
    # The shift that the model had which served these rows, so that a share of it is believed for
    # what it does by the time that it serves.
    ready = members.level(definition, history, before=cycle.judged_cut().holdout_from).whole
    cycle.level = asdict(core.see_level(objective, labels, plain, ready))
    cycle.levelled_losses = {
        n: core.levelled_loss(objective, labels, m) for n, m in margins.items()
    }
    lost = {}
    for share in core.SHARES:
        weights = members.weigh(definition, history, parts, {f"{share:g}": 1.0}).weights
        scores = scores_of(objective, mix(sharp, weights))
        lost[f"{share:g}"] = float(row_losses(objective, labels, scores).mean())
    (cycle.share_losses,) = core.nats(objective, [lost])
    if objective == "regression":
        return
    cycle.sharpness_losses = core.sharpness_losses(objective, labels, plain, core.BOLDNESS)
    cycle.member_sharpness = {
        n: core.sharpness_losses(objective, labels, m) for n, m in margins.items()
    }


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
    asked_for = (accepted_version, labels_version, revocations_version)
    accepted_version, labels_version, revocations_version = (
        tables.version(name) if version is None else version
        for name, version in zip((ACCEPTED, LABELS, REVOCATIONS), asked_for, strict=True)
    )
    known = (None, window.index + 1)
    columns, asked = [KEY, EVENT, KNOWN, *definition.features], [KEY, EVENT, KNOWN, LABEL]
    revoked = revoked_now(tables.read(REVOCATIONS, version=revocations_version))
    rows = tables.read(ACCEPTED, [*columns, *_extra(columns, revoked)], known, accepted_version)
    sender = [SOURCE, OBJECT] if revoked else []
    labels = tables.read(LABELS, [*asked, *sender], known, labels_version)
    if revoked:
        told = with_cells(labels, rows, where_columns(revoked)) if labels.num_rows else labels
        rows, labels = (without_revoked(table, revoked) for table in (rows, told))
    if not rows.num_rows or not labels.num_rows:
        raise NoCandidate(
            f"{rows.num_rows:,} accepted rows and {labels.num_rows:,} labels are known so far"
        )
    seal = seal_of(workspace, sealed_share)
    rows, labels = seal.without(rows.select(columns)), labels.select(asked)
    trusted, read = None, -1
    if definition.trusted is not None and trusted_version != -1:
        newest = workspace.landing_tables.version(TRUSTED)
        read = newest if trusted_version is None else trusted_version
        trusted = workspace.landing_tables.read(TRUSTED, [*columns, LABEL], known, read)
        trusted = seal.without(trusted)
    labelled, instead = labelled_at(definition, rows, labels, trusted, window.end)
    return Evidence(
        rows,
        labels,
        trusted,
        labelled,
        core.split(definition, window.end, labelled.events),
        accepted_version,
        labels_version,
        revocations_version,
        trusted_version=read if instead else -1,
        trusted_read=read,
        trusted_labels=instead,
        sealed_share=seal.share,
        sizes=_sizes(workspace),
    )


def _sizes(workspace: Workspace) -> dict[str, Mapping[int, int]]:
    tables, landing = workspace.tables, workspace.landing_tables
    found = {name: tables.windows(name) for name in (ACCEPTED, LABELS)}
    return {**found, TRUSTED: landing.windows(TRUSTED)}


def labelled_at(
    definition: Definition, rows: pa.Table, labels: pa.Table, trusted: pa.Table | None, as_of: int
) -> tuple[core.Labelled, int]:
    """The rows with the labels that were known at ``as_of`` (ticks), and how many of these are
    trusted ones that stand in for labels that were kept out."""
    instead = 0
    if trusted is not None and trusted.num_rows:
        rows, labels, instead = core.stand_in(definition, rows, labels, trusted, as_of)
    return core.join_labels(definition, rows, labels, as_of), instead


def _extra(columns: list[str], revoked: Sequence[Reach]) -> list[str]:
    """The columns of a row that tell whether it is revoked, read only where something is."""
    wanted = [SOURCE, OBJECT, *where_columns(revoked)] if revoked else []
    return [name for name in wanted if name not in columns]


def stood_in(workspace: Workspace, window: Window) -> int:
    """How many trusted labels stand in for labels that were kept out, as of the window's end."""
    if workspace.definition.trusted is None:
        return 0
    try:
        return read_evidence(workspace, window).trusted_labels
    except NoCandidate:
        return 0


def query(cycle: Cycle, known: Evidence) -> core.Query:
    """What this cycle asked of the tables."""
    return core.Query(
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


def hold_out(cycle: Cycle, known: Evidence) -> None:
    """Set aside the rows that candidate and champion are judged on: none that taught either."""
    import pyarrow as pa

    if cycle.cut is not None:
        return
    cut, labelled = known.cut, known.labelled
    cycle.cut = cut
    rows, labels = labelled.between(cut.holdout_from, cut.holdout_before)
    mature = labelled.mature_rows(cut.holdout_from, cut.holdout_before)
    kept = untaught(cycle.workspace, cycle.champion_bundle, rows)
    if not kept.all():
        rows, labels = rows.filter(pa.array(kept)).combine_chunks(), labels[kept]
        mature = round(mature * float(kept.mean()))
    cycle.holdout, cycle.holdout_labels, cycle.mature_rows = rows, labels, mature
    cycle.overlap = core.overlap(labelled, cut)
