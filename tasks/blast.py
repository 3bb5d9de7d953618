"""What hangs on a source, or on a part of what it sent: rows, table versions, models.

>>> blast_radius(workspace, Reach("meters-7")).versions                # doctest: +SKIP
(3, 4)

Nothing is written here; ``tasks/revoke.py`` acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import ratchet.contracts.revocation as core
from ratchet.contracts.columns import (
    ACCEPTED,
    ADDED,
    EVENT,
    KEY,
    KNOWN,
    LABELS,
    OBJECT,
    REVOCATIONS,
    SOURCE,
    WINDOW,
)
from ratchet.contracts.lineage import Lineage
from ratchet.contracts.trace import Trace
from ratchet.errors import ModelError, NotFound
from tasks import decisions
from tasks.reach import check_reached
from tasks.rollback import prove
from tasks.traces import traces

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
        tables: which versions of each table hold any of it.
        learned: of each of ``versions``, the table versions that its lineage names.
        left_out_by: version of the table ``revocations`` that keeps every training from it; None
            where it is not revoked.
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
    tables: tuple[Trace, ...] = ()
    learned: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    left_out_by: int | None = None

    @property
    def span(self) -> str:
        """Between which times it is revoked, in words."""
        return f"from {self.since} until {self.until}" if self.until else f"since {self.since}"

    @property
    def reached(self) -> str:
        """The source or the object, and what confines it, in words."""
        found = self.object or self.source
        return f"rows of {found} with {self.where}" if self.where else found

    @property
    def since_versions(self) -> str:
        """From which version on each table that training reads holds any of it, in words."""
        read = [t for t in self.tables if t.table in (ACCEPTED, LABELS) and t.first is not None]
        said = " and ".join(f"{t.table} from version {t.first} on" for t in read)
        return f"; in {said}" if said else ""

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""
        tables = {trace.table: trace.as_json() for trace in self.tables}
        return {**asdict(self), "span": self.span, "tables": tables}


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
    sent = _sent(workspace, cells)
    tables = [table for table in sent.values() if table.num_rows]
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
    found = traces(workspace, reach, sorted(tainted), sent)
    counts = {
        t: int(m.sum()) for t, m in zip((n for n in sent if sent[n].num_rows), masks, strict=True)
    }
    return Blast(
        source=reach.source,
        object=reach.object,
        known_from=reach.known_from,
        known_until=reach.known_until,
        since=calendar.clock.show(since),
        rows=counts.get(ACCEPTED, 0),
        labels=counts.get(LABELS, 0),
        windows=tuple(calendar.label(calendar.window(i)) for i in ends),
        versions=tuple(sorted(tainted)),
        champion=before,
        restored=restored,
        note=note,
        where=core.show_where(reach.where),
        until="" if reach.known_until is None else calendar.clock.show(reach.known_until),
        tables=found,
        learned={version: _read_by(lineages[version]) for version in sorted(tainted)},
        left_out_by=_left_out_by(workspace, reach),
    )


def _read_by(lineage: Lineage) -> dict[str, int]:
    """The table versions that a training read."""
    return {ACCEPTED: lineage.accepted_version, LABELS: lineage.labels_version}


def _left_out_by(workspace: Workspace, reach: core.Reach) -> int | None:
    """The version of the table of revocations, where it says so already."""
    done = reach in core.revoked_now(workspace.tables.read(REVOCATIONS))
    return workspace.tables.version(REVOCATIONS) if done else None


def _sent(workspace: Workspace, cells: list[str]) -> dict[str, pa.Table]:
    """Accepted rows and labels, with the versions that added them and the cells of the rows."""
    columns = [SOURCE, EVENT, KNOWN, OBJECT, WINDOW, ADDED, *([KEY] if cells else [])]
    rows = workspace.tables.read(ACCEPTED, [*columns, *cells])
    labels = workspace.tables.read(LABELS, columns)
    if labels.num_rows:
        labels = core.with_cells(labels, rows, cells)
    return {ACCEPTED: rows, LABELS: labels}


def _lineages(workspace: Workspace) -> dict[int, Lineage]:
    """Every version that ever became champion, and what it was made of."""
    found: dict[int, Lineage] = {}
    for decision in decisions.done(workspace):
        version = decision.champion_after
        if version is not None and version != decision.champion_before and decision.lineage:
            found.setdefault(version, decision.lineage)
    return found


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
