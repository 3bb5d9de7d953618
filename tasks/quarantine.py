"""What was blocked: listed, shown, released or discarded by a person.

The table only grows: a release or a discard is one more line on the entry, with who and why.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ratchet import ingest as core
from ratchet.contracts.columns import (
    ACCEPTED,
    EVENT,
    KEY,
    KNOWN,
    LABELS,
    OBJECT,
    QUARANTINE,
    ROW,
    SOURCE,
    WINDOW,
    labels_schema,
    quarantine_schema,
    rows_schema,
)
from ratchet.contracts.seams import Append
from ratchet.errors import NotFound, Refused
from tasks.decisions import watermark
from tasks.keys import check_release

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.workspace import Workspace

OPEN = "quarantined"
ACTIONS = ("released", "discarded")


def entries(workspace: Workspace, only_open: bool) -> list[dict[str, Any]]:
    """One dict an entry, oldest first: entry, kind, check, window, rows, status, reason, by, found.

    ``found`` says why it was held back; ``reason`` says the same until a person gives theirs.
    """
    columns = ["entry", "status", "kind", "check", "reason", "by", WINDOW]
    found: dict[str, dict[str, Any]] = {}
    for line in workspace.tables.read(QUARANTINE, columns=columns).to_pylist():
        entry = found.setdefault(line["entry"], {**line, "rows": 0, "found": line["reason"]})
        if line["status"] == OPEN:
            entry["rows"] += 1
        else:
            entry.update(status=line["status"], by=line["by"], reason=line["reason"])
    for entry in found.values():
        index = entry.pop(WINDOW)
        entry["window"] = workspace.calendar.label(workspace.calendar.window(index))
    return [e for e in found.values() if e["status"] == OPEN or not only_open]


def lines(workspace: Workspace, entry: str) -> list[dict[str, Any]]:
    """Every line of an entry: its rows with payload and evidence, then what people did.

    An entry may be named by the beginning of its name, where only one begins so.

    Raises:
        NotFound: no such entry.
    """
    table = _lines(workspace, entry)
    names = {KEY: "key", EVENT: "event", KNOWN: "known", WINDOW: "window", SOURCE: "source"}
    names |= {OBJECT: "object", ROW: "row"}
    out = []
    for line in table.to_pylist():
        shown = {names.get(k, k): v for k, v in line.items()}
        shown["at"] = shown["at"].isoformat() if shown["at"] else None
        out.append(shown)
    return out


def _lines(workspace: Workspace, entry: str) -> pa.Table:
    import pyarrow.compute as pc

    table = workspace.tables.read(QUARANTINE)
    names = pc.unique(table["entry"]).to_pylist() if table.num_rows else []
    meant = [n for n in names if n == entry] or [n for n in names if n.startswith(entry)]
    if not meant:
        raise NotFound(f"entry {entry!r}: not in quarantine. See 'ratchet quarantine list --all'.")
    if len(meant) > 1:
        raise NotFound(f"entry {entry!r}: {len(meant)} entries begin so: {', '.join(meant[:5])}")
    return table.filter(pc.equal(table["entry"], meant[0]))


def act(workspace: Workspace, entry: str, action: str, *, by: str, reason: str) -> int:
    """Release or discard an entry; returns how many lines it held.

    Released rows may be learned from as of the next window, because that is when they became known
    to be good; no past decision changes.

    Raises:
        NotFound: no such entry.
        Refused: it was decided before, it holds an object that could not be read, or a release
            would put a second row or label under a key.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    with workspace.lease.hold(f"quarantine {action} by {by}"):
        found = lines(workspace, entry)
        entry = found[0]["entry"]
        if decided := [x for x in found if x["status"] != OPEN]:
            last = decided[-1]
            raise Refused(f"{entry}: {last['status']} by {last['by']} at {last['at']}")
        if action == "released":
            _release(workspace, entry, found[0]["kind"])
        note = _note(found[0], action, by, reason)
        workspace.tables.append(Append(QUARANTINE, note, f"quarantine/{entry}/{action}"))
        return len(found)


def waiting(workspace: Workspace, check: str, windows: tuple[int, int]) -> dict[str, Any]:
    """Open entries of labels that one check held back in these windows ``[first, end)``, whole."""
    table = workspace.tables.read(QUARANTINE, windows=windows)
    if not table.num_rows:
        return {}
    mine = [line for line in table.to_pylist() if line["kind"] == "label"]
    done = {line["entry"] for line in mine if line["status"] != OPEN}
    names = dict.fromkeys(x["entry"] for x in mine if x["check"] == check)
    return {name: _lines(workspace, name) for name in names if name not in done}


def release_by_rule(
    workspace: Workspace, entry: str, lines: pa.Table, labels: pa.Table, reason: str
) -> None:
    """Release an entry whose ``labels`` a rule found clean.

    Raises:
        Refused: it would put a second label under a key.
    """
    _append(workspace, entry, "label", labels)
    first = lines.slice(0, 1).to_pylist()[0]
    note = _note(first | {"window": first[WINDOW]}, "released", "ratchet", reason)
    workspace.tables.append(Append(QUARANTINE, note, f"quarantine/{entry}/released"))


def _release(workspace: Workspace, entry: str, kind: str) -> None:
    if kind == "object":
        raise Refused(f"{entry}: an object that could not be read has no rows; deliver it again")
    schema = labels_schema() if kind == "label" else rows_schema(workspace.definition.features)
    known = max(watermark(workspace), workspace.calendar.origin)
    window = workspace.calendar.window_of(known).index
    lines = _lines(workspace, entry)
    _append(
        workspace, entry, kind, core.rows_from_payload(lines, schema, known=known, window=window)
    )


def _append(workspace: Workspace, entry: str, kind: str, rows: pa.Table) -> None:
    table = LABELS if kind == "label" else ACCEPTED
    txn = f"quarantine/{entry}/released"
    if not workspace.tables.committed(table, txn):  # else a killed release had come so far
        check_release(workspace, table, rows, f"{entry}: {{}} of its {rows.num_rows:,} {kind}s")
    workspace.tables.append(Append(table, rows, txn))


def _note(line: dict[str, Any], action: str, by: str, reason: str) -> Any:
    import pyarrow as pa

    values = dict.fromkeys(quarantine_schema().names)
    values |= {"entry": line["entry"], "status": action, "kind": line["kind"], "reason": reason}
    values |= {"check": line["check"], WINDOW: line["window"], "by": by, "at": datetime.now(UTC)}
    return pa.Table.from_pylist([values], schema=quarantine_schema())
