"""The members of a mixture: those that are due are trained, the others are taken from the table.

A member's training is a function of the tables, its times and its recipe alone. Its model is kept
in the table ``members`` under the digest of all of these, so that a cycle pays only for what is
new; whatever changes the rows (a late batch, a release, a revocation) changes the digest, and the
member is trained again. ``ratchet verify`` never looks into that table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ratchet import self_train as core
from ratchet.adapters.code import code_digest
from ratchet.contracts.columns import ACCEPTED, LABELS, MEMBERS, TRUSTED, WINDOW, members_schema
from ratchet.contracts.lineage import canonical_json, digest_of
from ratchet.contracts.seams import Append
from ratchet.errors import NoCandidate
from tasks import economics, show
from tasks.cycle import Cycle, cpu_seconds

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.lineage import Decision
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
    found, reasons = [], []
    planned = core.moments(declared, definition, known.labelled, known.cut, cycle.window.end)
    if definition.economics is not None:
        planned = economics.due(cycle, known, planned)
    for moment in planned:
        try:
            found.append(kept(cycle, known, moment))
        except NoCandidate as reason:
            reasons.append(f"{moment.member.name}: {reason}")
            show.log(f"without {reasons[-1]}")
    if not found:
        raise NoCandidate("; ".join(reasons))
    return found


def kept(
    cycle: Cycle, known: Evidence, moment: core.Moment, bill: str = "training"
) -> core.Trained:
    """The model of this training: from the table where it is there, else trained and put there.

    Args:
        bill: the item of the cycle's bill that a training is charged to.

    Raises:
        NoCandidate: as :func:`train`.
    """
    import pyarrow as pa

    if (row := stored(cycle.workspace, known, moment)) is not None:
        facts = json.loads(row["facts"])
        if bill == "training":
            _charge(cycle, "avoided", facts["cpu"])
        return _read(moment, facts, row["model"])
    key = training_key(cycle.workspace, known, moment)
    window = cycle.workspace.calendar.window_of(moment.as_of - 1).index
    started = cpu_seconds()
    part = train(cycle.workspace.definition, known, moment, as_of=cycle.window.end)
    spent = _charge(cycle, bill, cpu_seconds() - started)
    facts = {
        "rows": part.rows,
        "data": part.data_digest,
        "categories": dict(part.categories),
        "cpu": spent,
    }
    row = {WINDOW: window, "training": key, "facts": canonical_json(facts), "model": part.model}
    table = pa.Table.from_pylist([row], schema=members_schema())
    cycle.workspace.tables.append(Append(MEMBERS, table, f"member/{key}"))
    return part


def stored(workspace: Workspace, known: Evidence, moment: core.Moment) -> Mapping[str, Any] | None:
    """The row of the table ``members`` that holds the model of this training, if it is there."""
    window = workspace.calendar.window_of(moment.as_of - 1).index
    rows = workspace.tables.read(MEMBERS, windows=(window, window + 1))
    if not rows.num_rows:
        return None
    key = training_key(workspace, known, moment)
    return next((row for row in rows.to_pylist() if row["training"] == key), None)


def _charge(cycle: Cycle, what: str, seconds: float) -> float:
    cycle.bill[what] = round(cycle.bill.get(what, 0.0) + seconds, 4)
    return round(seconds, 4)


def _read(moment: core.Moment, facts: Mapping[str, Any], model: bytes) -> core.Trained:
    categories = {name: tuple(values) for name, values in facts["categories"].items()}
    return core.Trained(moment, model, facts["rows"], facts["data"], categories)


def train(definition: Definition, known: Evidence, moment: core.Moment, as_of: int) -> core.Trained:
    """Train a member as of its moment.

    Args:
        known: what was read from the tables, as of ``as_of`` (ticks).

    Raises:
        NoCandidate: too few rows, one class only, and so on.
    """
    from tasks.self_train import labelled_at

    labelled = known.labelled
    if moment.as_of != as_of:
        labelled, _ = labelled_at(definition, known.rows, known.labels, known.trusted, moment.as_of)
    history = core.encode_history(definition, labelled, moment.train_before, moment.train_from)
    training = core.training_set(history, definition, moment.member)
    model = core.train(training, definition, moment.member)
    return core.Trained(moment, model, training.rows, training.data_digest, training.categories)


def weigh(
    definition: Definition, history: Sequence[Decision], names: Sequence[str]
) -> core.Weighing:
    """Weights from what the decisions so far, oldest first, saw of these members."""
    seen = [{n: v for n, v in d.recipe_losses.items() if n in names} for d in history]
    known = [losses for losses in seen if losses]
    return core.weigh(names, core.nats(definition.label.objective, known))


def temper(definition: Definition, history: Sequence[Decision]) -> core.Temperature:
    """The temperature from what the decisions so far, oldest first, saw of the mixture."""
    if definition.label.objective == "regression":
        return core.Temperature(1.0, "values have no temperature")
    return core.temper([d.sharpness_losses for d in history if d.sharpness_losses])


def training_key(workspace: Workspace, known: Evidence, moment: core.Moment) -> str:
    """The digest of everything that decides the member's bytes.

    Tables only grow, so the number of rows by window says which rows there are.
    """
    end = workspace.calendar.window_of(moment.as_of - 1).index + 1
    sizes = {
        name: sorted((w, n) for w, n in tables.windows(name).items() if w < end)
        for tables, name in (
            (workspace.tables, ACCEPTED),
            (workspace.tables, LABELS),
            (workspace.landing_tables, TRUSTED),
        )
    }
    return digest_of(
        {
            "member": moment.member.model_dump(mode="json"),
            "times": [moment.as_of, moment.train_from, moment.train_before],
            "tables": sizes,
            "revocations": known.revocations_version,
            "sealed": known.sealed_share,
            "definition": workspace.definition.digest,
            "code": code_digest(),
        }
    )
