"""What became known in each window, and where what is refused goes.

>>> for window in windows_of(cycle, rows, labels):                              # doctest: +SKIP
...     mine, refused = without_revoked(cycle, window, part_of(rows, window), "row")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ratchet import ingest as core
from ratchet import validate as rules
from ratchet.contracts.columns import (
    EVENT,
    KEY,
    KNOWN,
    OBJECT,
    OBJECTS,
    QUARANTINE,
    REVOCATIONS,
    ROW,
    SOURCE,
    WINDOW,
)
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.revocation import revoked_now
from ratchet.contracts.seams import Append
from tasks.cycle import Cycle
from tasks.ingest import AT_LANDING
from tasks.reach import masked

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.clock import Window

NAMED = 3  # objects that a sentence names


def windows_of(cycle: Cycle, *tables: pa.Table) -> Iterator[Window]:
    """Every window that something became known in, in order; the cycle's own in any case."""
    import pyarrow.compute as pc

    found = {cycle.window.index}
    for table in tables:
        if table.num_rows:
            found.update(pc.unique(table[WINDOW]).to_pylist())
    for index in sorted(found):
        yield cycle.workspace.calendar.window(index)


def part_of(table: pa.Table, window: Window) -> pa.Table:
    """The rows that became known in a window."""
    import pyarrow.compute as pc

    if not table.num_rows:
        return table
    return table.filter(pc.equal(table[WINDOW], window.index)).combine_chunks()


def earlier(cycle: Cycle, name: str, batch: pa.Table) -> pa.Table:
    """What was accepted before under a key of this batch, but for the batch's own earlier attempt.

    Mostly no key occurs twice, and only keys are read, of windows whose keys lie around these.
    """
    import pyarrow.compute as pc

    tables = cycle.workspace.tables
    keys = tables.read(name, columns=[KEY], keys=batch[KEY])
    if not keys.num_rows or not core.find_keys(keys[KEY], batch[KEY]).any():
        return batch.slice(0, 0)
    history = tables.read(name, keys=batch[KEY])
    found = history.filter(core.find_keys(history[KEY], batch[KEY]))
    own = pc.is_in(_place(found), value_set=_place(batch).combine_chunks())
    return found.filter(pc.invert(own))


def windows_before(
    cycle: Cycle,
    window: Window,
    batch: pa.Table,
    name: str,
    columns: Sequence[str],
    most: int = rules.BEFORE,
) -> list[pa.Table]:
    """What the batch's own sources gave to each of the last windows, oldest first, and nobody
    revoked; the columns asked for with event time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    needed = dict.fromkeys([*columns, KEY, EVENT, KNOWN, SOURCE, OBJECT, WINDOW])
    span = (window.index - most, window.index)
    rows = cycle.workspace.tables.read(name, list(needed), span)
    if not rows.num_rows:
        return []
    mine = pc.is_in(rows[SOURCE], value_set=pc.unique(batch[SOURCE]))
    taken = revoked_now(cycle.workspace.tables.read(REVOCATIONS))
    rows = rows.filter(pc.and_(mine, pa.array(~masked(cycle.workspace, rows, taken))))
    return [part_of(rows, cycle.workspace.calendar.window(i)) for i in range(*span)]


def _place(rows: pa.Table) -> pa.ChunkedArray:
    """Object and row number as one string: where a row came from."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(rows[OBJECT], pc.cast(rows[ROW], pa.string()), "#")


def without_revoked(
    cycle: Cycle, window: Window, table: pa.Table, kind: core.Kind
) -> tuple[pa.Table, list[core.RowReject]]:
    """What revoked sources still send goes to quarantine unread."""
    lines = cycle.workspace.tables.read(REVOCATIONS, windows=(None, window.index + 1))
    revoked = revoked_now(lines)
    if not revoked or not table.num_rows:
        return table, []
    mask = masked(cycle.workspace, table, revoked)
    reason = "its source is revoked; see 'ratchet source list'"
    rejects = core.reject_rows(table.filter(mask), kind, "source.revoked", reason)
    return table.filter(~mask).combine_chunks(), list(rejects)


def of_revoked(refused: Sequence[core.RowReject], kind: core.Kind) -> list[Evidence]:
    """Evidence that says why a batch lacks what its revoked sources sent."""
    if not refused:
        return []
    text = f"{len(refused):,} {kind}s of revoked sources went to quarantine unread"
    return [Evidence("source.revoked", Verdict.WARN, text, float(len(refused)), 0.0)]


def put_away(
    cycle: Cycle,
    window: Window,
    rejects: Sequence[core.RowReject],
    evidence: dict[str, Evidence],
    what: str,
) -> None:
    """Put rejected rows or labels into quarantine, with the evidence they go there with."""
    if not rejects:
        return
    lines = core.quarantine_lines(
        rejects,
        window=window.index,
        window_label=cycle.workspace.calendar.label(window),
        at=datetime.now(UTC),
        evidence=evidence,
    )
    cycle.workspace.tables.append(Append(QUARANTINE, lines, txn(window, f"quarantine-{what}")))


def count_refused_at_landing(cycle: Cycle, span: tuple[int | None, int]) -> list[Evidence]:
    """Rows that ingest refused count as arrived and quarantined in the window they belong to.

    Returns:
        ``rows.refused`` and ``labels.refused``, warnings that say how many and why, where any were.
    """
    columns = ["entry", "kind", "status", "check", "reason", WINDOW, SOURCE]
    table = cycle.workspace.landing_tables.read(QUARANTINE, columns, span)
    found: dict[str, list[dict[str, Any]]] = {"rows": [], "labels": []}
    for line in table.to_pylist():
        if not line["entry"].startswith(AT_LANDING) or line["status"] != "quarantined":
            continue
        if line[WINDOW] == cycle.window.index:
            what = "labels" if line["kind"] == "label" else "rows"
            found[what].append(line)
            _add(cycle, what, line[SOURCE], 1)
    cycle.labels_in += len(found["labels"])
    cycle.labels_quarantined += len(found["labels"])
    cycle.rows_in += len(found["rows"])
    cycle.quarantined += len(found["rows"])
    arrived = {"rows": cycle.rows_in, "labels": cycle.labels_in}
    return [_refused(what, lines, arrived[what]) for what, lines in found.items() if lines]


def _refused(what: str, lines: list[dict[str, Any]], arrived: int) -> Evidence:
    """How many were refused at landing, by check with the first reason of each."""
    first: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: str(line["reason"])):
        first.setdefault(line["check"], line["reason"])
    many = Counter(line["check"] for line in lines)
    shown = "; ".join(f"{many[check]:,} {check}: {first[check]}" for check in sorted(many))
    text = f"{len(lines):,} of {arrived:,} {what} were refused as they landed: {shown}"
    return Evidence(f"{what}.refused", Verdict.WARN, text, float(len(lines)), 0.0)


def set_aside(cycle: Cycle) -> list[Evidence]:
    """``objects.refused``: objects that this window's cycle put into quarantine whole, by name."""
    index = cycle.window.index
    table = cycle.workspace.landing_tables.read(OBJECTS, windows=(index, index + 1))
    lines = [line for line in table.to_pylist() if line["status"] == "quarantined"]
    if not lines:
        return []
    lines.sort(key=lambda line: str(line["object_key"]))
    named = "; ".join(f"{line['object_key']} ({line['reason']})" for line in lines[:NAMED])
    rest = f"; and {len(lines) - NAMED:,} more" if len(lines) > NAMED else ""
    one = len(lines) == 1
    text = f"{len(lines):,} object{' was' if one else 's were'} set aside whole: {named}{rest}"
    return [Evidence("objects.refused", Verdict.WARN, text, float(len(lines)), 0.0)]


def count_sources(cycle: Cycle, what: str, table: pa.Table) -> None:
    """How many rows or labels each source sent, before any of them is judged."""
    import pyarrow.compute as pc

    if table.num_rows:
        for one in pc.value_counts(table[SOURCE].combine_chunks()).to_pylist():
            _add(cycle, what, one["values"], one["counts"])


def _add(cycle: Cycle, what: str, source: str | None, count: int) -> None:
    counts = cycle.sources.setdefault(source or "(unknown)", {"rows": 0, "labels": 0})
    counts[what] += count


def txn(window: Window, what: str) -> str:
    """The application transaction of one write of this stage."""
    return f"validate/{window.index}/{what}"
