"""The members of a mixture: those that are due are trained, the others are taken from the table.

A member's training is a function of the tables, its times and its recipe alone. Its model is kept
in the table ``members`` under the digest of all of these, so that a cycle pays only for what is
new; whatever changes the rows (a late batch, a release, a revocation) changes the digest, and the
member is trained again. ``ratchet verify`` never looks into that table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ratchet import self_train as core
from ratchet.adapters.code import code_digest
from ratchet.contracts.bundle import sha256
from ratchet.contracts.columns import MEMBERS, WINDOW, members_schema
from ratchet.contracts.lineage import canonical_json, digest_of
from ratchet.contracts.seams import Append
from ratchet.errors import NoCandidate
from tasks import economics, show
from tasks.cycle import Cycle, cpu_seconds
from tasks.taught import teachable

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.lineage import Decision, MemberLineage
    from ratchet.contracts.recipes import Member
    from tasks.self_train import Evidence
    from tasks.workspace import Workspace


def trained(cycle: Cycle, known: Evidence, declared: Sequence[Member]) -> list[core.Trained]:
    """Every member's model as of this cycle; one that cannot be trained yet is left out.

    Args:
        declared: the members, or what a search has made of them.

    Raises:
        NoCandidate: none can be.
    """
    definition = cycle.workspace.definition
    found: list[core.Trained] = []
    reasons = []
    planned = core.moments(declared, definition, known.labelled, known.cut, cycle.window.end)
    pupils = [m for m in planned if m.member.teacher is not None]
    planned = [m for m in planned if m.member.teacher is None]
    if definition.economics is not None:
        planned = economics.due(cycle, known, planned)
    for moment in (*planned, *pupils):
        try:
            found.append(kept(cycle, known, moment, teacher=_teacher(moment, found)))
        except NoCandidate as reason:
            reasons.append(f"{moment.member.name}: {reason}")
            show.log(f"without {reasons[-1]}")
    if not found:
        raise NoCandidate("; ".join(reasons))
    return found


def _teacher(moment: core.Moment, found: Sequence[core.Trained]) -> core.Trained | None:
    """The teacher's model of this cycle; None for a member that has no teacher.

    Raises:
        NoCandidate: the teacher has no model yet.
    """
    name = moment.member.teacher
    if name is None:
        return None
    for part in found:
        if part.name == name:
            return part
    raise NoCandidate(f"its teacher {name} has no model yet")


def kept(
    cycle: Cycle,
    known: Evidence,
    moment: core.Moment,
    *,
    teacher: core.Trained | None = None,
    trial: bool = False,
) -> core.Trained:
    """The model of this training: from the table where it is there, else trained and put there.

    Args:
        teacher: the model that gives the soft labels of a pupil.
        trial: a mutation in the shadow: charged to the search, and its halves are not learned.

    Raises:
        NoCandidate: as :func:`train`.
    """
    import pyarrow as pa

    halves = not trial and _turned(cycle, moment)
    key = training_key(cycle.workspace, known, moment, teacher, halves=halves)
    if (row := _row(cycle.workspace, moment, key)) is not None:
        facts = json.loads(row["facts"])
        if not trial:
            _charge(cycle, "avoided", facts["cpu"])
        return _read(moment, facts, row["model"])
    window = cycle.workspace.calendar.window_of(moment.as_of - 1).index
    started = cpu_seconds()
    part = train(cycle.workspace, known, moment, cycle.window.end, teacher, halves=halves)
    spent = _charge(cycle, "search" if trial else "training", cpu_seconds() - started)
    facts = {
        "rows": part.rows,
        "data": part.data_digest,
        "categories": dict(part.categories),
        "cpu": spent,
        "halves": part.halves and [part.halves.mean, part.halves.levelled],
    }
    if teacher is not None:
        facts["pseudo"] = [part.pseudo_rows, part.pseudo_from, part.pseudo_note]
        show.log(f"{part.name}: {_told(part)}")
    row = {WINDOW: window, "training": key, "facts": canonical_json(facts), "model": part.model}
    table = pa.Table.from_pylist([row], schema=members_schema())
    cycle.workspace.tables.append(Append(MEMBERS, table, f"member/{key}"))
    return part


def _told(part: core.Trained) -> str:
    if not part.pseudo_rows:
        return f"without pseudo-labels: {part.pseudo_note}"
    return f"{part.rows:,} true labels, {part.pseudo_rows:,} by {part.moment.member.teacher}"


def stored(cycle: Cycle, known: Evidence, moment: core.Moment) -> bool:
    """Whether the table ``members`` holds the model of this training."""
    key = training_key(cycle.workspace, known, moment, halves=_turned(cycle, moment))
    return _row(cycle.workspace, moment, key) is not None


def _turned(cycle: Cycle, moment: core.Moment) -> bool:
    """Whether a member's halves are learned: it has some, and the window that was judged on last
    before its moment surprised."""
    if not core.has_halves(moment.member):
        return False
    seen = [
        d.levelled_losses or d.recipe_losses
        for d in cycle.history
        if d.lineage and d.lineage.members and d.as_of < moment.as_of
    ]
    return core.surprised(core.nats(cycle.workspace.definition.label.objective, seen))


def _row(workspace: Workspace, moment: core.Moment, key: str) -> Mapping[str, Any] | None:
    window = workspace.calendar.window_of(moment.as_of - 1).index
    rows = workspace.tables.read(MEMBERS, windows=(window, window + 1))
    return next((row for row in rows.to_pylist() if row["training"] == key), None)


def _charge(cycle: Cycle, what: str, seconds: float) -> float:
    cycle.bill[what] = round(cycle.bill.get(what, 0.0) + seconds, 4)
    return round(seconds, 4)


def _read(moment: core.Moment, facts: Mapping[str, Any], model: bytes) -> core.Trained:
    categories = {name: tuple(values) for name, values in facts["categories"].items()}
    more = facts.get("pseudo", ())
    part = core.Trained(moment, model, facts["rows"], facts["data"], categories, *more)
    halves = facts["halves"]
    if isinstance(halves, list):  # an older row has a number: trained before this cycle
        part = replace(part, halves=core.HalvesLoss(*halves))
    return part


def train(
    workspace: Workspace,
    known: Evidence,
    moment: core.Moment,
    as_of: int,
    teacher: core.Trained | None = None,
    *,
    halves: bool,
) -> core.Trained:
    """Train a member as of its moment.

    Args:
        known: what was read from the tables, as of ``as_of`` (ticks).
        teacher: the model that labels what has no label yet, for a member that has a teacher.
        halves: whether each half of its rows is learned too.

    Raises:
        NoCandidate: too few rows, one class only, and so on.
    """
    from tasks.self_train import labelled_at

    definition, labelled = workspace.definition, known.labelled
    if moment.as_of != as_of:
        labelled, _ = labelled_at(definition, known.rows, known.labels, known.trusted, moment.as_of)
    history = core.encode_history(definition, labelled, moment.train_before, moment.train_from)
    training = core.training_set(history, definition, moment.member)
    taught = core.Taught(training, 0)
    if teacher is not None:
        free = core.waiting(definition, known.rows, known.labels, moment.as_of)
        taught = core.teach(training, teachable(workspace, free), teacher, definition)
    return core.Trained(
        moment,
        core.train(taught.training, definition, moment.member),
        training.rows,
        taught.training.data_digest,
        training.categories,
        taught.rows,
        moment.as_of - definition.label_delay if taught.rows else None,
        taught.note,
        core.halves_loss(training, definition, moment.member) if halves else None,
    )


def weigh(
    definition: Definition,
    history: Sequence[Decision],
    parts: Sequence[MemberLineage],
    shares: Mapping[str, float] | None = None,
) -> core.Weighing:
    """Weights from what the decisions so far, oldest first, saw of these members.

    Args:
        parts: the members; their ``weight`` does not count.
        shares: that are dealt out, to how much each is believed; by default as the decisions say.
    """
    if shares is None:
        shares = core.believed([d.share_losses for d in history if d.share_losses])
    teachers = {m.name: m.recipe.get("teacher") for m in parts}
    scored = [d for d in history if teachers.keys() & d.recipe_losses.keys()]
    # Older decisions have no levelled ones.
    seen = [d.levelled_losses or d.recipe_losses for d in scored]
    halves = _halves_of(scored[-1], parts) if scored else {}
    if halves:
        seen[-1] = core.foreseen(seen[-1], halves)
    whole = [d.recipe_losses for d in scored]
    own, levelled = (core.nats(definition.label.objective, losses) for losses in (whole, seen))
    found = core.weigh_earned(teachers, own, levelled, shares)
    told = [f"{n}'s is of the halves of that window" for n, v in halves.items() if v == seen[-1][n]]
    return replace(found, because="; ".join([found.because, *told]))


def _halves_of(newest: Decision, parts: Sequence[MemberLineage]) -> dict[str, float]:
    """What the halves of the window lost that this decision judged on, by members it scored."""
    if newest.lineage is None:
        return {}
    begins = newest.lineage.train_before
    found = {
        m.name: m.levelled_halves if newest.levelled_losses else m.halves
        for m in parts
        if m.train_from == begins and m.name in newest.recipe_losses
    }
    return {name: lost for name, lost in found.items() if lost is not None}


def sharpen(history: Sequence[Decision], names: Sequence[str]) -> dict[str, float]:
    """How sure each member may be, from what the decisions so far, oldest first, saw of it; 1 where
    they saw nothing, as of a regression, whose values have no sharpness."""
    seen = [d.member_sharpness for d in history if d.lineage]
    return {n: core.sharpen([window[n] for window in seen if n in window]) for n in names}


def temper(history: Sequence[Decision]) -> core.Temperature:
    """The temperature of a mixture, from what the decisions so far, oldest first, saw of earlier
    ones with sharpened members."""
    seen = [d.sharpness_losses for d in history if d.member_sharpness and d.lineage]
    return core.temper(seen)


def level(
    definition: Definition, history: Sequence[Decision], before: int | None = None
) -> core.Level:
    """The level of a mixture, from what the decisions so far, oldest first, saw of earlier ones.

    Args:
        before: ticks; what decisions saw whose windows ended before that. Left out: all.
    """
    windows = [
        core.LevelSeen(tuple(d.level["asked"]), d.level["losses"])
        for d in history
        if d.level and d.lineage and (before is None or d.as_of < before)
    ]
    return core.settle_level(definition.label.objective, windows)


def training_key(
    workspace: Workspace,
    known: Evidence,
    moment: core.Moment,
    teacher: core.Trained | None = None,
    *,
    halves: bool,
) -> str:
    """The digest of everything that decides the member's bytes, and what is kept beside them.

    Tables only grow, so the number of rows by window says which rows there are.
    """
    end = workspace.calendar.window_of(moment.as_of - 1).index + 1
    sizes = {
        name: sorted((w, n) for w, n in windows.items() if w < end)
        for name, windows in known.sizes.items()
    }
    more: dict[str, Any] = {} if teacher is None else {"teacher": sha256(teacher.model)}
    if halves:
        more["halves"] = True
    return digest_of(
        {
            **more,
            "member": moment.member.model_dump(mode="json"),
            "times": [moment.as_of, moment.train_from, moment.train_before],
            "tables": sizes,
            "revocations": known.revocations_version,
            "sealed": known.sealed_share,
            "definition": workspace.definition.digest,
            "code": code_digest(),
        }
    )
