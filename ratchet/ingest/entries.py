"""Lines of ``quarantine`` and ``objects``: what was blocked, whole, and how it comes back.

>>> payload_row(payload_json({"x": float("inf"), "c": "a\\0b"}))
{'c': 'a\\x00b', 'x': inf}

Promise: a row that goes into quarantine comes out as it went in (:func:`rows_from_payload`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ratchet.contracts import columns as c
from ratchet.contracts.bundle import sha256 as digest
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import canonical_json
from ratchet.contracts.seams import ObjectRef
from ratchet.errors import Refused
from ratchet.ingest.values import Kind, RowReject, shown

if TYPE_CHECKING:
    import pyarrow as pa

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def payload_json(row: Mapping[str, Any]) -> str:
    """A row as canonical JSON (ASCII), for ``quarantine.payload``.

    Numbers that JSON does not know are ``{"float": "inf"}``; bytes are ``{"bytes": hex}``; dates
    and times are their ISO text; any other value is its ``repr``.
    """
    return canonical_json({str(name): _to_json(value) for name, value in row.items()})


def payload_row(text: str) -> dict[str, Any]:
    """The inverse of :func:`payload_json`, by column name in alphabetical order."""
    row: dict[str, Any] = json.loads(text)
    return {name: _from_json(value) for name, value in row.items()}


def _to_json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return value.isoformat() if isinstance(value, date | datetime) else repr(value)


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if "float" in value else bytes.fromhex(value["bytes"])
    return value


def rows_from_payload(
    lines: pa.Table, schema: pa.Schema, *, known: int | None = None, window: int | None = None
) -> pa.Table:
    """Rows or labels for the tables again, from their lines of quarantine.

    Args:
        lines: rows of ``quarantine_schema`` of kind row, label or batch.
        schema: ``rows_schema(...)`` or ``labels_schema()``.
        known, window: when the rows count as known from now on (a released row was not known
            before its release); None keeps what the lines say.

    Raises:
        Refused: a row has no key, no event time, an infinite number, or a value that does not fit
            its column. Such a row cannot be learned from; it has to be sent again, corrected.
            Or it came in a trusted object: such rows judge what is learned from, they never are.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.any(pc.equal(lines["kind"], "trusted")).as_py():
        raise Refused(
            f"{lines['object_key'][0].as_py()!r} is a trusted object, whose rows are never learned "
            "from; deliver it again, corrected, or discard the entry"
        )
    rows = [_restored(line, schema) for line in lines.to_pylist()]
    for row in rows:
        row[c.KNOWN] = row[c.KNOWN] if known is None else known
        row[c.WINDOW] = row[c.WINDOW] if window is None else window
    return pa.Table.from_pylist(rows, schema)


def _restored(line: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    import pyarrow as pa

    what = f"row {line[c.ROW]} of {shown(line['object_key'])}"
    lost = [n for n in c.PROVENANCE if line[n] is None]
    if lost:
        raise Refused(f"{what}: it has no {', '.join(lost)}, so it cannot be released; discard it")
    payload = payload_row(line["payload"] or "{}")
    row = {name: line[name] for name in c.PROVENANCE}
    for field in schema:
        if field.name in c.PROVENANCE:
            continue
        if field.name not in payload:
            raise Refused(f"{what}: it was not read as far as {field.name}; discard it")
        convert = _number if field.type == pa.float64() else _category
        try:
            row[field.name] = convert(payload[field.name])
        except (TypeError, ValueError, OverflowError) as error:
            value = shown(payload[field.name])
            raise Refused(f"{what}: {field.name} = {value}: {error}; discard it") from error
    return row


def cell(value: Any, kind: str) -> str | float | None:
    """A quarantined value as a row of the tables would hold it; None where it could not.

    ``kind`` is ``number`` or ``category``.
    """
    try:
        return _category(value) if kind == "category" else _number(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = float(value)
    if math.isinf(number):
        raise ValueError("expected a finite number")
    return None if math.isnan(number) else number


def _category(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise ValueError("expected text or an integer")


def reject_rows(
    rows: pa.Table, kind: Kind, check: str, reasons: Sequence[str] | str
) -> tuple[RowReject, ...]:
    """Typed rows (``rows_schema`` or ``labels_schema``) as rejects, for quarantine.

    Args:
        rows: the rows that a check blocked.
        kind: ``row`` or ``label``, or ``batch`` when the whole batch is blocked.
        check: stable name of the check.
        reasons: one sentence for each row, or one for all.
    """
    texts = [reasons] * rows.num_rows if isinstance(reasons, str) else list(reasons)
    out = []
    for row, reason in zip(rows.to_pylist(), texts, strict=True):
        stamp = {name: row.pop(name) for name in c.PROVENANCE}
        out.append(
            RowReject(
                kind, check, reason, stamp[c.ROW], row, key=stamp[c.KEY], event=stamp[c.EVENT],
                known=stamp[c.KNOWN], source=stamp[c.SOURCE], object=stamp[c.OBJECT],
            )
        )  # fmt: skip
    return tuple(out)


def quarantine_lines(
    rejects: Sequence[RowReject],
    *,
    window: int,
    window_label: str,
    at: datetime,
    by: str = "ratchet",
    evidence: Mapping[str, Evidence] | None = None,
) -> pa.Table:
    """Lines of ``quarantine_schema`` for blocked rows; entry ``{window_label}/{kind}/{check}``.

    Args:
        rejects: the blocked rows.
        window, window_label: the window whose cycle blocked them.
        at, by: when and by whom (aware time).
        evidence: check name to its evidence; left out, the number of rows is the evidence.
    """
    import pyarrow as pa

    counts: dict[tuple[str, str], int] = {}
    for r in rejects:
        counts[r.kind, r.check] = counts.get((r.kind, r.check), 0) + 1
    texts = {
        k: canonical_json(_evidence(k, n, evidence or {}).as_json()) for k, n in counts.items()
    }
    lines = [
        {
            "entry": f"{window_label}/{r.kind}/{r.check}", "status": "quarantined",
            "kind": r.kind, "check": r.check, "reason": r.reason,
            "evidence": texts[r.kind, r.check], c.KEY: r.key, c.EVENT: r.event, c.KNOWN: r.known,
            c.WINDOW: window, c.SOURCE: r.source, c.OBJECT: r.object, c.ROW: r.row,
            "object_key": r.object_key, "payload": payload_json(r.payload), "by": by, "at": at,
        }
        for r in rejects
    ]  # fmt: skip
    return pa.Table.from_pylist(lines, c.quarantine_schema())


def _evidence(kind_check: tuple[str, str], count: int, given: Mapping[str, Evidence]) -> Evidence:
    kind, check = kind_check
    kind = "trusted row" if kind == "trusted" else kind
    plural = "" if count == 1 else "s"
    default = Evidence(
        f"ingest.{check}", Verdict.BLOCK, f"{count} {kind}{plural} > 0 allowed", count, 0
    )
    return given.get(check, default)


def quarantined_object(
    object_key: str,
    check: str,
    reason: str,
    *,
    source: str,
    window: int,
    at: datetime,
    sha256: str = "",
    by: str = "ratchet",
) -> pa.Table:
    """One line of ``quarantine_schema`` for a blocked object; entry ``object/{sha256[:12]}``.

    The object itself stays in the landing zone. One that was never read (an unsafe key) is named
    by the digest of its key.
    """
    import pyarrow as pa

    evidence = Evidence(f"ingest.{check}", Verdict.BLOCK, reason)
    line = {
        "entry": f"object/{(sha256 or digest(object_key.encode()))[:12]}", "status": "quarantined",
        "kind": "object", "check": check, "reason": reason,
        "evidence": canonical_json(evidence.as_json()), c.WINDOW: window, c.SOURCE: source,
        c.OBJECT: sha256 or None, "object_key": object_key, "payload": payload_json({}), "by": by,
        "at": at,
    }  # fmt: skip
    return pa.Table.from_pylist([line], c.quarantine_schema())


def object_line(
    ref: ObjectRef,
    *,
    source: str,
    sha256: str,
    role: str | None,
    status: str,
    rows: int,
    reason: str,
    window: int,
    at: datetime,
) -> pa.Table:
    """One line of ``objects_schema``: an object that was looked at, and what became of it."""
    import pyarrow as pa

    line = {
        "source": source, "object_key": ref.key, "etag": ref.etag, "sha256": sha256,
        "size": ref.size, "arrived": ref.arrived, "role": role, "status": status, "rows": rows,
        "reason": reason, c.WINDOW: window, "at": at,
    }  # fmt: skip
    return pa.Table.from_pylist([line], c.objects_schema())


def escape_cell(text: str) -> str:
    """A cell for CSV or spreadsheet exports: what would run as a formula gets a leading ``'``."""
    return f"'{text}" if text.startswith(_FORMULA) else text
