"""One decoded object on its way into the tables: keys, both times, provenance, rejects.

>>> keys = keys_of(landed, sieve)                                       # doctest: +SKIP

Promise: what leaves here has a key and an event time, and says which row of which object it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.contracts import columns as c
from ratchet.contracts.definition import Definition
from ratchet.errors import Unreadable
from ratchet.ingest.columns import boolean, key, unsafe_text
from ratchet.ingest.raw import Raw
from ratchet.ingest.sieve import Mask, Sieve
from ratchet.ingest.times import Ticks, ticks
from ratchet.ingest.values import Kind, RowReject, names_shown, shown

if TYPE_CHECKING:
    import pyarrow as pa

HOUR = 3_600_000_000
NEVER = -(2**62)  # a watermark up to this: nothing was decided yet
FAR_FUTURE = 100_000  # windows
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Landed:
    """What all rows of one object share. Fields as the arguments of ``parse_object``."""

    key: str
    sha256: str
    arrived_tick: int | None
    watermark: int
    zone_name: str
    definition: Definition
    raw: Raw

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.raw.rows)


@dataclass(frozen=True)
class Stamps:
    """Key, event and known time of each row; shape (rows,). ``timeless``: the event is void."""

    keys: pa.ChunkedArray
    event: Int64s
    known: Int64s
    timeless: Mask


@contextmanager
def naming(*names: str) -> Iterator[None]:
    """Name the column in the Unreadable that the block raises."""
    try:
        yield
    except Unreadable as error:
        raise Unreadable(f"column {names_shown(list(names))}: {error}") from error


def keys_of(landed: Landed, sieve: Sieve) -> pa.ChunkedArray:
    """The rows' keys, strings of shape (rows,); rows without a safe one are dropped."""
    import pyarrow as pa

    source, raw = landed.definition.source, landed.raw
    if not source.key:
        return pa.chunked_array([pa.array([f"{landed.key}#{n}" for n in raw.rows], pa.string())])
    with naming(*source.key):
        keys = key([raw.columns[name] for name in source.key])
    column = source.key[0] if len(source.key) == 1 else None
    sieve.drop(boolean(keys.is_null()), "null_key", "the key is missing or empty", column)
    wrong = unsafe_text(keys, source.max_cell_chars)
    sieve.drop(wrong, "unsafe_text", unsafe_reason(landed, "the key"), column)
    return keys


def ticks_of(landed: Landed, column: str, sieve: Sieve, here: Mask | None = None) -> Ticks:
    """The ticks of a time column; rows (of ``here``) without one are dropped."""
    time = landed.definition.time
    with naming(column):
        found = ticks(landed.raw.columns[column], time, landed.raw.text)
    here = np.ones(landed.size, dtype=bool) if here is None else here
    sieve.drop(found.missing & here, "time", f"{column}: no time", column)
    reason = f"{column}: the clocks of {time.zone} skipped this time"
    sieve.drop(found.gap & here, "time_gap", reason, column)
    return found


def refuse_future(landed: Landed, found: Ticks, event: Int64s, sieve: Sieve) -> None:
    """Drop events after the arrival (1 hour of clock skew is fine) or absurdly far away.

    Far is counted from the watermark; before anything was decided, from the object's own median.
    """
    column, calendar = landed.definition.time.column, landed.definition.calendar
    if calendar.clock.kind == "timestamp" and landed.arrived_tick is not None:
        arrival = calendar.clock.show(landed.arrived_tick)
        reason = f"{column}: the event is over 1 hour after the object's arrival ({arrival})"
        sieve.drop(event > landed.arrived_tick + HOUR, "future_event", reason, column)
    there = event[~(found.missing | found.gap)]
    usual = int(np.median(there)) if len(there) else calendar.origin
    decided = landed.watermark > NEVER
    last = calendar.window_of(landed.watermark if decided else usual).index + FAR_FUTURE
    since = "all that was decided" if decided else "the rest of the object"
    index = calendar.indices_of(event)
    reason = f"{column}: the event is over {FAR_FUTURE} windows ahead of {since}"
    sieve.drop(index > last, "far_future", reason, column)
    reason = f"{column}: over 2^31 windows from time.origin; declare a longer time.window"
    sieve.drop(np.abs(index) >= 2**31 - 1, "window_range", reason, column)


def known_of(landed: Landed, declared: Int64s) -> Int64s:
    """When rows could be known: declared, watermark or (if so declared) arrival, the latest."""
    floor = landed.watermark
    if landed.definition.source.known == "arrival" and landed.arrived_tick is not None:
        floor = max(floor, landed.arrived_tick)
    return np.maximum(declared, floor)


def unsafe_reason(landed: Landed, what: str) -> str:
    """The sentence about a cell that failed ``unsafe_text``."""
    limit = landed.definition.source.max_cell_chars
    return f"{what}: control or bidi characters, or more than {limit} characters"


def table_of(
    landed: Landed, stamps: Stamps, payload: Mapping[str, Any], schema: pa.Schema, kept: Mask
) -> pa.Table:
    """The kept rows with provenance before their payload, sorted by (event, key, row)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    windows = landed.definition.calendar.indices_of(stamps.known)
    every = {
        c.KEY: pc.fill_null(stamps.keys, ""),
        c.EVENT: pa.array(stamps.event),
        c.KNOWN: pa.array(stamps.known),
        c.WINDOW: pa.array(np.clip(windows, -(2**31), 2**31 - 1).astype(np.int32)),
        c.SOURCE: pa.repeat(pa.scalar(landed.zone_name), landed.size),
        c.OBJECT: pa.repeat(pa.scalar(landed.sha256), landed.size),
        c.ROW: pa.array(landed.raw.rows),
        **payload,
    }
    table = pa.table(every, schema=schema).filter(pa.array(kept))
    order = [(c.EVENT, "ascending"), (c.KEY, "ascending"), (c.ROW, "ascending")]
    return table.sort_by(order).combine_chunks()


def rejects_of(
    landed: Landed, stamps: Stamps, sieve: Sieve, kind: Kind, here: Mask | None = None
) -> tuple[RowReject, ...]:
    """The dropped rows (of ``here``), whole, with the value that was at fault in the reason."""
    import pyarrow as pa

    dropped = [(i, cause) for i, cause in sieve.dropped() if here is None or here[i]]
    if not dropped:
        return ()
    where = pa.array([i for i, _ in dropped])
    cells = [_cells(column.take(where)) for column in landed.raw.columns.values()]
    payloads = [dict(zip(landed.raw.columns, row, strict=True)) for row in zip(*cells, strict=True)]
    keys = stamps.keys.take(where).to_pylist()
    out = []
    for (i, cause), payload, row_key in zip(dropped, payloads, keys, strict=True):
        found = f" (found {shown(payload[cause.column])})" if cause.column else ""
        timeless = bool(stamps.timeless[i])
        unknown = timeless or cause.check in ("time", "time_gap")
        out.append(
            RowReject(
                kind, cause.check, cause.reason + found, int(landed.raw.rows[i]), payload,
                key=row_key,
                event=None if timeless else int(stamps.event[i]),
                known=None if unknown else int(stamps.known[i]),
                source=landed.zone_name, object=landed.sha256, object_key=landed.key,
            )
        )  # fmt: skip
    return tuple(out)


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """Python values; times that Python cannot show (year 300000, unknown zone) as integers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError, KeyError):
        kind = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
        values = pc.cast(column, kind).to_pylist()
    return values


def misshapen_of(landed: Landed, kind: Kind) -> tuple[RowReject, ...]:
    """Lines that are no rows of the table, as rejects with their text."""
    return tuple(
        RowReject(
            kind, "row_shape", reason, row, {"line": text},
            source=landed.zone_name, object=landed.sha256, object_key=landed.key,
        )
        for row, reason, text in landed.raw.misshapen
    )  # fmt: skip
