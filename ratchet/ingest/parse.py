"""One landed object in, typed rows with provenance and both times out.

>>> parsed = parse_object(data, "features/2013-01-01.parquet", digest, arrived, "features",
...                       definition, watermark=0, zone_name="landing")   # doctest: +SKIP
>>> parsed.rows.num_rows, parsed.rejected                                # doctest: +SKIP
(6099, ())

Promise: the same bytes give the same rows, whatever arrived before them; no row is lost, none is
invented, and a missing label is never a negative.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.contracts.columns import EVENT, KNOWN, LABEL, ROW, WINDOW, rows_schema
from ratchet.contracts.definition import Definition
from ratchet.errors import TooLarge, Unreadable
from ratchet.ingest.columns import category, colliding, not_finite, number, unsafe_text
from ratchet.ingest.declared import declared_for, with_true_objective
from ratchet.ingest.formats import decode
from ratchet.ingest.labels import labels_apart, labels_beside
from ratchet.ingest.landed import (
    NEVER,
    Landed,
    Stamps,
    keys_of,
    known_of,
    misshapen_of,
    naming,
    refuse_future,
    rejects_of,
    table_of,
    ticks_of,
    unsafe_reason,
)
from ratchet.ingest.raw import Raw
from ratchet.ingest.sieve import Sieve
from ratchet.ingest.values import Limits, Parsed, Role, RowReject, shown

if TYPE_CHECKING:
    import pyarrow as pa


def parse_object(
    data: bytes,
    key: str,
    sha256: str,
    arrived_tick: int | None,
    role: Role,
    definition: Definition,
    *,
    watermark: int,
    zone_name: str,
) -> Parsed:
    """Parse one object of the landing zone.

    Args:
        data: the object's bytes.
        key: its key; the ending names the format.
        sha256: digest of ``data`` (hex).
        arrived_tick: when it arrived, in ticks; None on an integer clock.
        role: what it holds (:func:`ratchet.ingest.role_of`).
        definition: the pipeline.
        watermark: tick of the end of the last decided window (``NEVER`` or less: none was). What
            lands now could not be known before it, so ``known`` is at least this.
        zone_name: who sent it (:func:`ratchet.ingest.source_of`), or the address of the landing
            zone; becomes ``_source``.

    Returns:
        Rows and labels sorted by (event, key, row), and what was rejected. ``known`` of a row is
        the latest of its event, the watermark and (``source.known = "arrival"``) the arrival; of a
        label, the latest of its declared time (``label.known_column``, else event + delay), the
        watermark and the arrival likewise. Labels that come apart and without the time column
        have ``known_column`` minus the delay as their event. A trusted object gives its rows with
        their labels in one table, known when the label is (values of the true objective come as
        labels); a row whose label is missing is known
        at its event + delay likewise, for it came in the same file. What is rejected of a trusted
        object is of kind ``trusted``.

    Raises:
        Unreadable: damaged, not UTF-8, of an unknown format, or without the declared columns.
        TooLarge: over a cap of the definition.
    """
    import pyarrow as pa

    if role == "trusted":  # one file with everything, whatever the stream does
        source = definition.source.model_copy(update={"labels": None})
        definition = definition.model_copy(update={"source": source})
    if role == "true_objective":
        definition = with_true_objective(definition)
    declared = declared_for(role, definition)
    raw = decode(data, key, declared.wanted, declared.check, Limits.of(definition))
    landed = Landed(key, sha256, arrived_tick, watermark, zone_name, definition, raw)
    try:
        return _parsed(landed, role)
    except MemoryError as error:
        raise TooLarge(f"its rows need more memory than there is: {error}") from error
    except (pa.ArrowException, OverflowError) as error:
        raise Unreadable(f"its columns cannot be converted: {shown(str(error), 200)}") from error


def parse_record(table: pa.Table, definition: Definition) -> pa.Table:
    """Rows of a source of record, typed as ingest types a trusted object.

    Args:
        table: columns under the definition's names, of any Arrow type that ingest reads.
        definition: the pipeline.

    Raises:
        Unreadable: a column is missing or of a type that cannot hold what it should; rows that
            cannot be read are left out, as a record that says nothing.
    """
    declared = declared_for("trusted", definition)
    declared.check([*table.column_names])
    columns = {name: table[name] for name in declared.wanted}
    raw = Raw(columns, np.arange(table.num_rows), text=True)
    landed = Landed("record", "record", None, NEVER, "record", definition, raw)
    found = _parsed(landed, "trusted").rows
    assert found is not None  # noqa: S101  a trusted object always gives rows
    return found


def _parsed(landed: Landed, role: Role) -> Parsed:
    raw = landed.raw
    notes: dict[str, Any] = dict(raw.notes)
    if role in ("labels", "true_objective"):
        labels, rejected = labels_apart(landed)
        rejected = misshapen_of(landed, "label") + rejected
        if role == "true_objective":
            rejected = tuple(replace(reject, kind="trusted") for reject in rejected)
        return Parsed(None, labels, _ordered(rejected), notes)
    sieve, stamps, rows = _rows(landed, notes)
    rejected = misshapen_of(landed, "row") + rejects_of(landed, stamps, sieve, "row")
    if role == "features":
        return Parsed(rows, None, _ordered(rejected), notes)
    labels, more, unlabelled = labels_beside(landed, sieve, stamps)
    if unlabelled:
        notes["unlabelled"] = unlabelled
    if role == "trusted":
        apart = tuple(replace(reject, kind="trusted") for reject in rejected + more)
        return Parsed(_labelled(landed, rows, labels), None, _ordered(apart), notes)
    return Parsed(rows, labels, _ordered(rejected + more), notes)


def _labelled(landed: Landed, rows: pa.Table, labels: pa.Table) -> pa.Table:
    """Rows with their label (null: none), known when the label is or, without one, would be."""
    import pyarrow as pa
    import pyarrow.compute as pc

    calendar, delay = landed.definition.calendar, landed.definition.label_delay
    where = pc.index_in(rows[ROW], value_set=labels[ROW].combine_chunks())
    mature = known_of(landed, np.asarray(rows[EVENT]) + delay)
    known = pc.coalesce(labels[KNOWN].take(where), pa.array(mature))
    windows = np.clip(calendar.indices_of(np.asarray(known)), -(2**31), 2**31 - 1).astype(np.int32)
    for name, values in ((KNOWN, known), (WINDOW, pa.array(windows))):
        place = rows.column_names.index(name)
        rows = rows.set_column(place, rows.schema.field(name), values)
    return rows.append_column(LABEL, labels[LABEL].take(where))


def _rows(landed: Landed, notes: dict[str, Any]) -> tuple[Sieve, Stamps, pa.Table]:
    definition, sieve = landed.definition, Sieve(landed.size)
    keys = keys_of(landed, sieve)
    found = ticks_of(landed, definition.time.column, sieve)
    refuse_future(landed, found, found.values, sieve)
    known = known_of(landed, found.values)
    stamps = Stamps(keys, found.values, known, found.missing | found.gap)
    features = _features(landed, sieve, notes)
    rows = table_of(landed, stamps, features, rows_schema(dict(definition.features)), sieve.kept)
    return sieve, stamps, rows


def _features(landed: Landed, sieve: Sieve, notes: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    above: dict[str, int] = {}
    for name, kind in landed.definition.features.items():
        column = landed.raw.columns[name]
        with naming(name):
            found = number(column, landed.raw.text) if kind == "number" else category(column)
        out[name] = found.values
        if kind == "number":
            sieve.drop(found.bad, "type", f"{name}: not a number", name)
            wrong = not_finite(found.values)
            sieve.drop(wrong, "not_finite", f"{name}: infinite or beyond float32", name)
            if count := colliding(found.values):
                above[name] = count
        else:
            wrong = unsafe_text(found.values, landed.definition.source.max_cell_chars)
            sieve.drop(wrong, "unsafe_text", unsafe_reason(landed, name), name)
    if above:
        notes["above_2_24"] = above
    return out


def _ordered(rejected: tuple[RowReject, ...]) -> tuple[RowReject, ...]:
    return tuple(sorted(rejected, key=lambda r: (r.row, r.kind)))
