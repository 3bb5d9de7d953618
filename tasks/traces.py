"""In which versions of which table the rows lie that a revocation reaches.

>>> [trace.show() for trace in traces(workspace, reach, (), sent)]    # doctest: +SKIP
['versions 0 to 8 hold rows of it, the newest 300 (added by 0, 3, 8)', ...]

Accepted rows and labels were read for the models' sake. Each object that landed is a transaction of
its own, so where all that a source ever sent is meant, the ledger of objects and the log tell what
landed, and no file of it is read. Else files of the windows in question are, or of those objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import ratchet.contracts.revocation as core
from ratchet import ingest
from ratchet.contracts.columns import (
    ACCEPTED,
    ADDED,
    KEY,
    KNOWN,
    LANDED,
    LANDED_LABELS,
    OBJECT,
    OBJECTS,
    QUARANTINE,
    SOURCE,
    WINDOW,
)
from ratchet.contracts.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.workspace import Workspace

ROWS = ("row", "batch", "label")  # kinds of quarantined lines that are rows of the stream
ARRIVED = (LANDED, LANDED_LABELS)
Span = tuple[int | None, int | None]


def traces(
    workspace: Workspace,
    reach: core.Reach,
    models: Iterable[int],
    sent: Mapping[str, pa.Table],
) -> tuple[Trace, ...]:
    """One trace a table: landed, landed_labels, accepted, labels, quarantine.

    Args:
        models: versions that learned from it: what they labelled descends from it too.
        sent: accepted rows and labels with ``_added`` and the cells that conditions name.
    """
    reaches = [reach, *(core.Reach(f"{core.MODEL}{version}") for version in models)]
    txns = landings(workspace, reach)
    found = [(name, landed(workspace, name, reach, sent[ACCEPTED], txns)) for name in ARRIVED]
    found += [(name, _revoked(table, reaches)) for name, table in sent.items()]
    found.append((QUARANTINE, quarantined(workspace, reach, sent[ACCEPTED])))
    # The newest version is asked for last: nothing that another run adds meanwhile is called clean.
    return tuple(
        Trace.of(
            name,
            added,
            (workspace.landing_tables if name in ARRIVED else workspace.tables).version(name),
        )
        for name, added in found
    )


def landed(
    workspace: Workspace,
    name: str,
    reach: core.Reach,
    rows: pa.Table,
    txns: list[str] | None,
) -> pa.ChunkedArray:
    """The version that added each revoked row of ``landed`` or ``landed_labels``, shape (rows,).

    Args:
        rows: the accepted ones, by which conditions hold for a label.
        txns: what :func:`landings` gives.
    """
    tables, cells = workspace.landing_tables, core.where_columns([reach])
    span, whole = span_of(workspace, reach)
    if txns is not None and whole and not cells:
        return _added(tables.read(name, [WINDOW, ADDED], span, txns=txns))
    columns = [SOURCE, KNOWN, OBJECT, ADDED, KEY]
    if name == LANDED:
        return _revoked(tables.read(name, [*columns, *cells], span, txns=txns), [reach])
    table = tables.read(name, columns, span, txns=txns)
    return _revoked(core.with_cells(table, rows, cells) if table.num_rows else table, [reach])


def landings(workspace: Workspace, reach: core.Reach) -> list[str] | None:
    """The transactions that landed the objects concerned; None where a first window is named.

    The ledger has a small file for each object there ever was: more than the windows since then.
    """
    if reach.known_from != core.ALWAYS:
        return None
    columns = ["source", "sha256", "role", "status"]
    return [
        ingest.transaction_of(line["role"], line["sha256"])
        for line in workspace.landing_tables.read(OBJECTS, columns).to_pylist()
        if line["status"] == "landed" and line["source"] == reach.source
        if reach.object in (None, line["sha256"])
    ]


def quarantined(workspace: Workspace, reach: core.Reach, rows: pa.Table) -> pa.ChunkedArray:
    """The same of the rows and labels that were blocked, released ones too; not of objects that
    could not be read, which have no rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = core.where_columns([reach])
    columns = [SOURCE, KNOWN, OBJECT, ADDED, "kind", KEY, *(["payload"] if cells else [])]
    first = span_of(workspace, reach)[0][0]  # a row is blocked in its window or later
    table = workspace.tables.read(QUARANTINE, columns, (first, None))
    if not table.num_rows:
        return _added(table)
    table = table.filter(pc.is_in(table["kind"], value_set=pa.array(ROWS)))
    known = pc.fill_null(table[KNOWN], core.ALWAYS)  # one without a time: only with all that came
    table = table.set_column(table.column_names.index(KNOWN), KNOWN, known)
    if not cells or not table.num_rows:
        return _revoked(table, [reach])
    labels = pc.equal(table["kind"], "label")
    parts = [
        core.with_cells(table.filter(labels), rows, cells),
        _with_payload(table.filter(pc.invert(labels)), workspace.definition.features, cells),
    ]
    return pa.chunked_array(
        [chunk for part in parts for chunk in _revoked(part, [reach]).chunks], pa.int64()
    )


def span_of(workspace: Workspace, reach: core.Reach) -> tuple[Span, bool]:
    """The windows ``[first, end)`` that a revocation touches, and whether it covers them whole."""
    calendar = workspace.calendar
    first = end = None
    whole = True
    if reach.known_from != core.ALWAYS:
        window = calendar.window_of(reach.known_from)
        first, whole = window.index, window.start == reach.known_from
    if reach.known_until is not None:
        window = calendar.window_of(reach.known_until - 1)
        end, whole = window.index + 1, whole and window.end == reach.known_until
    return (first, end), whole


def _with_payload(table: pa.Table, features: Mapping[str, str], cells: list[str]) -> pa.Table:
    import pyarrow as pa

    payloads = [ingest.payload_row(text or "{}") for text in table["payload"].to_pylist()]
    for name in cells:
        kind = pa.string() if features[name] == "category" else pa.float64()
        values = [ingest.cell(payload.get(name), features[name]) for payload in payloads]
        table = table.append_column(name, pa.array(values, kind))
    return table


def _revoked(table: pa.Table, reaches: Iterable[core.Reach]) -> pa.ChunkedArray:
    import pyarrow as pa

    if not table.num_rows:
        return _added(table)
    return _added(table.filter(pa.array(core.revoked_mask(table, reaches))))


def _added(table: pa.Table) -> pa.ChunkedArray:
    import pyarrow as pa

    none = pa.chunked_array([], pa.int64())
    return table[ADDED] if ADDED in table.column_names else none
