"""Takes a source, a batch or an object back out: rows, labels, and the models they taught.

The rows stay where they are; a line in ``revocations`` keeps every later training from them. Done
twice it is done once, so a crash is mended by the same command, or by the next cycle.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ratchet.contracts.revocation as core
from ratchet.contracts.columns import (
    ACCEPTED,
    ACCOUNTS,
    EVENT,
    KEY,
    KNOWN,
    LABELS,
    OBJECT,
    REVOCATIONS,
    SOURCE,
    WINDOW,
    revocations_schema,
)
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Lineage
from ratchet.contracts.seams import Append
from ratchet.errors import ModelError, NotFound, Refused
from ratchet.validate import Account
from tasks import decisions, observe
from tasks.cycle import Cycle
from tasks.reach import check_reached
from tasks.rollback import prove, put_back

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.workspace import Workspace

CHAMPION = "champion"


@dataclass(frozen=True)
class Blast:
    """What hangs on a source, or on a part of what it sent.

    Attributes:
        source: its name.
        object: digest of the one object that is meant; None for whatever it sent.
        known_from, known_until: ticks between which it is revoked; None for the open end.
        since: the first of them, for a person.
        rows, labels: accepted ones that are revoked.
        windows: the first and the last window they became known in; empty without any.
        versions: model versions that learned from them.
        champion: the champion before.
        restored: the version that serves afterwards: the champion if it is clean.
        note: what a person has to know.
        where: conditions that confine it to some rows, in words; empty for all.
        until: ``known_until``, for a person; empty for the open end.
    """

    source: str
    object: str | None
    known_from: int
    known_until: int | None
    since: str
    rows: int
    labels: int
    windows: tuple[str, ...]
    versions: tuple[int, ...]
    champion: int | None
    restored: int | None
    note: str = ""
    where: str = ""
    until: str = ""

    @property
    def span(self) -> str:
        """Between which times it is revoked, in words."""
        return f"from {self.since} until {self.until}" if self.until else f"since {self.since}"

    @property
    def reached(self) -> str:
        """The source or the object, and what confines it, in words."""
        found = self.object or self.source
        return f"rows of {found} with {self.where}" if self.where else found

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""
        return {**asdict(self), "span": self.span}


def blast_radius(workspace: Workspace, reach: core.Reach) -> Blast:
    """What a revocation would change; nothing is written.

    Raises:
        NotFound: nothing was accepted from such a source or object, or no row that it is confined
            to.
    """
    lineages = _lineages(workspace)
    excluded = {
        version: core.revoked_now(workspace.tables.read(REVOCATIONS, version=version))
        for version in {line.revocations_version for line in lineages.values()}
    }
    cells = core.where_columns([reach, *(r for kept in excluded.values() for r in kept)])
    tables = _sent(workspace, cells)
    masks = [core.revoked_mask(t, [reach]) for t in tables]
    check_reached(tables, masks, reach)
    indices = {
        index
        for table, mask in zip(tables, masks, strict=True)
        for index in table[WINDOW].filter(mask).unique().to_pylist()
    }
    calendar = workspace.calendar
    ends = sorted({min(indices), max(indices)}) if indices else []
    parts = [core.Sent.of(table, cells) for table in tables]
    tainted = core.tainted_versions(lineages, parts, [reach], excluded)
    champion = workspace.registry.alias(workspace.name, CHAMPION)
    before = champion.version if champion else None
    restored, note = _clean(workspace, lineages, tainted, before)
    since = calendar.origin if reach.known_from == core.ALWAYS else reach.known_from
    counts = [int(mask.sum()) for mask in masks] + [0]
    return Blast(
        source=reach.source,
        object=reach.object,
        known_from=reach.known_from,
        known_until=reach.known_until,
        since=calendar.clock.show(since),
        rows=counts[0],
        labels=counts[1],
        windows=tuple(calendar.label(calendar.window(i)) for i in ends),
        versions=tuple(sorted(tainted)),
        champion=before,
        restored=restored,
        note=note,
        where=core.show_where(reach.where),
        until="" if reach.known_until is None else calendar.clock.show(reach.known_until),
    )


def _sent(workspace: Workspace, cells: list[str]) -> list[pa.Table]:
    """Accepted rows and labels, as far as there are any, with the cells of the rows."""
    columns = [SOURCE, EVENT, KNOWN, OBJECT, WINDOW, *([KEY] if cells else [])]
    rows = workspace.tables.read(ACCEPTED, [*columns, *cells])
    labels = workspace.tables.read(LABELS, columns)
    if labels.num_rows:
        labels = core.with_cells(labels, rows, cells)
    return [table for table in (rows, labels) if table.num_rows]


def _lineages(workspace: Workspace) -> dict[int, Lineage]:
    """Every version that ever became champion, and what it was made of."""
    found: dict[int, Lineage] = {}
    for decision in decisions.done(workspace):
        version = decision.champion_after
        if version is not None and version != decision.champion_before and decision.lineage:
            found.setdefault(version, decision.lineage)
    return found


def revoke(workspace: Workspace, reach: core.Reach, *, by: str, reason: str) -> Blast:
    """Revoke what was sent, and put the newest champion back that never learned from it.

    For a caller that holds the lease and has recovered.

    Raises:
        NotFound: see :func:`blast_radius`.
        Refused: nobody says who or why.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    blast = blast_radius(workspace, reach)
    # The champion first: killed in between, the line is still missing, and all is done again.
    if blast.restored is not None and blast.restored != blast.champion:
        put_back(workspace, blast.restored, by=by, reason=f"{reach.show()} revoked: {reason}")
    _write(workspace, reach, core.REVOKED, by, reason)
    observe.revoked(workspace.name, blast.as_json(), by)
    return blast


def restore(workspace: Workspace, source: str, *, by: str, reason: str) -> None:
    """Let a revoked source be learned from again, from the next window on.

    Raises:
        NotFound: the source is not revoked.
        Refused: nobody says who or why.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    with workspace.lease.hold(f"source restore by {by}"):
        if source not in {reach.source for reach in revoked(workspace)}:
            raise NotFound(f"source {source!r} is not revoked; see 'ratchet source list'")
        _write(workspace, core.Reach(source), core.RESTORED, by, reason)


def revoked(workspace: Workspace) -> tuple[core.Reach, ...]:
    """All that is revoked now."""
    return core.revoked_now(workspace.tables.read(REVOCATIONS))


def answer_alarms(workspace: Workspace) -> list[Blast]:
    """Revoke each source whose account raised an alarm that nobody has answered yet.

    For a caller that holds the lease. A line in ``revocations`` after the alarm is an answer, a
    person's restoring included. Returns what was revoked.
    """
    answers: list[Blast] = []
    alarms: dict[str, dict[str, Any]] = {}
    table = workspace.tables.read(ACCOUNTS, columns=["source", "alarm", "state", WINDOW])
    for line in table.to_pylist():
        if line["alarm"]:
            alarms[line["source"]] = line
    answered: dict[str, int] = {}
    if alarms:
        for line in workspace.tables.read(REVOCATIONS).to_pylist():
            answered[line["source"]] = line[WINDOW]
    for source, line in sorted(alarms.items()):
        if answered.get(source, -(2**31)) > line[WINDOW]:
            continue
        since = Account.from_json(json.loads(line["state"])).since
        window = workspace.calendar.window(line[WINDOW] if since is None else since)
        known_from = window.start - workspace.definition.label_delay
        reason = f"the account of {source} raised an alarm in window {line[WINDOW]}"
        try:
            found = revoke(workspace, core.Reach(source, known_from), by="ratchet", reason=reason)
        except NotFound:
            continue  # nothing of it was ever accepted
        answers.append(found)
    return answers


def revocation_key(workspace: Workspace) -> str:
    """Names the state of all revocations, for the key of a cycle that learns without them."""
    return f"without-{workspace.tables.version(REVOCATIONS)}"


def note_revocation(cycle: Cycle, blast: Blast) -> None:
    """The evidence of a cycle that learns again: its data were judged before, less the revoked."""
    earlier = [d for d in cycle.history if d.window_index == cycle.window.index]
    cycle.rows_in = max((d.rows_in for d in earlier), default=0) or blast.rows + blast.labels
    cycle.data_evidence = [
        Evidence(
            "source.revoked",
            Verdict.WARN,
            f"trained again without {blast.reached} {blast.span}: "
            f"{blast.rows:,} rows and {blast.labels:,} labels revoked",
        )
    ]


def _write(workspace: Workspace, reach: core.Reach, status: str, by: str, reason: str) -> None:
    import pyarrow as pa

    if status == core.REVOKED and reach in revoked(workspace):
        return  # done before
    last = decisions.last_decided(workspace)
    first = workspace.calendar.window_of(workspace.calendar.origin).index
    line: dict[str, Any] = {
        "source": reach.source,
        "status": status,
        "known_from": reach.known_from if status == core.REVOKED else None,
        "known_until": reach.known_until,
        "object": reach.object,
        "where": core.where_json(reach.where),
        WINDOW: first if last is None else last + 1,
        "reason": reason,
        "by": by,
        "at": datetime.now(UTC),
    }
    rows = pa.Table.from_pylist([line], schema=revocations_schema())
    count = workspace.tables.read(REVOCATIONS, columns=["source"]).num_rows
    txn = f"revocations/{count}/{reach.source}/{status}"
    workspace.tables.append(Append(REVOCATIONS, rows, txn))


def _clean(
    workspace: Workspace, lineages: dict[int, Lineage], tainted: set[int], champion: int | None
) -> tuple[int | None, str]:
    """The newest version that served, learned nothing revoked, and loads."""
    if champion is None or champion not in tainted:
        return champion, ""
    for version in sorted(set(lineages) - tainted, reverse=True):
        try:
            prove(workspace, version)
        except (ModelError, NotFound):
            continue
        return version, ""
    note = (
        f"every champion so far learned from it, so version {champion} still serves; the next "
        "cycles train without it, and a person should look now"
    )
    return champion, note
