"""The system columns of the stored tables, and their schemas.

Every row of ``landed``, ``labels``, ``accepted`` and ``quarantine`` carries its provenance and both
of its times. Payload columns (the declared features) follow them under their own names, typed
``float64`` (number) or ``string`` (category). A missing number is null in storage, never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

KEY = "_key"  # string: the row's key; several key columns are joined by "|"
EVENT = "_event"  # int64 tick: when it happened
KNOWN = "_known"  # int64 tick: when it could be known
WINDOW = "_window"  # int32: index of the window in which it became known; the partition
SOURCE = "_source"  # string: the landing zone it came from
OBJECT = "_object"  # string: SHA-256 of the object's bytes
ROW = "_row"  # int64: row number inside the object, from 0
ADDED = "_added"  # int64: the version of the table that added the row; told by the log, not stored
LABEL = "_label"  # float64: class index or regression target
PROVENANCE = (KEY, EVENT, KNOWN, WINDOW, SOURCE, OBJECT, ROW)

LANDED = "landed"
LANDED_LABELS = "landed_labels"  # labels as they arrived; LABELS holds those that were accepted
LABELS = "labels"
ACCEPTED = "accepted"
QUARANTINE = "quarantine"
OBJECTS = "objects"
DECISIONS = "decisions"
INCIDENTS = "incidents"
TRUSTED = "trusted"  # rows with their labels by the independent path; never trained on
ACCOUNTS = "accounts"  # what each source's audits and comparisons showed, window by window
NOTIFICATIONS = "notifications"  # who was told of what, and whether it arrived
TRUE_OBJECTIVE = "true_objective"  # what the label stands for, of some rows; never trained on
SEAL = "seal"  # the secret that decides which rows are sealed; one line
MEMBERS = "members"  # what a mixture's members learned, by the digest of the training
REVOCATIONS = "revocations"  # what may no longer be learned from, and since when


def provenance_schema() -> pa.Schema:
    """Arrow schema of the system columns that start each row."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(KEY, pa.string(), nullable=False),
            pa.field(EVENT, pa.int64(), nullable=False),
            pa.field(KNOWN, pa.int64(), nullable=False),
            pa.field(WINDOW, pa.int32(), nullable=False),
            pa.field(SOURCE, pa.string(), nullable=False),
            pa.field(OBJECT, pa.string(), nullable=False),
            pa.field(ROW, pa.int64(), nullable=False),
        ]
    )


def rows_schema(features: Mapping[str, str]) -> pa.Schema:
    """Schema of ``landed`` and ``accepted``: provenance, then one column a feature.

    Args:
        features: column name to ``number`` or ``category``, in declared order.
    """
    import pyarrow as pa

    kinds = {"number": pa.float64(), "category": pa.string()}
    schema = provenance_schema()
    for name, kind in features.items():
        schema = schema.append(pa.field(name, kinds[kind]))
    return schema


def labels_schema() -> pa.Schema:
    """Schema of ``labels``: provenance and the encoded label."""
    import pyarrow as pa

    return provenance_schema().append(pa.field(LABEL, pa.float64(), nullable=False))


def trusted_schema(features: Mapping[str, str]) -> pa.Schema:
    """Schema of ``trusted``: a row as in ``accepted``, with its label (null: not known)."""
    import pyarrow as pa

    return rows_schema(features).append(pa.field(LABEL, pa.float64()))


def accounts_schema() -> pa.Schema:
    """Schema of ``accounts``: one line for each source and window whose data were compared.

    ``state`` is the JSON of the running account after this window.
    """
    import pyarrow as pa

    return pa.schema(
        [
            ("source", pa.string()),
            pa.field(WINDOW, pa.int32(), nullable=False),
            ("trials", pa.int64()),  # rows that were checked against the truth
            ("failures", pa.int64()),  # of those, how many differed
            ("p_value", pa.float64()),  # of the comparison with the control; null without one
            ("state", pa.string()),
            ("alarm", pa.bool_()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )


def revocations_schema() -> pa.Schema:
    """Schema of ``revocations``: what a source sent that may no longer be learned from.

    A row or label is revoked when its ``_source`` is ``source``, its ``_known`` lies in
    ``[known_from, known_until)`` (null: without an end), its ``_object`` is ``object`` (null: any),
    and the row, or the one that a label belongs to, holds each value of ``where`` (JSON object of
    column to value; null: any row). ``_window`` is the first window whose cycle honours the line.
    ``status`` is ``revoked`` or ``restored``; a restored source is free of every line before.
    """
    import pyarrow as pa

    return pa.schema(
        [
            ("source", pa.string()),
            ("status", pa.string()),
            ("known_from", pa.int64()),
            ("known_until", pa.int64()),
            ("object", pa.string()),
            ("where", pa.string()),
            pa.field(WINDOW, pa.int32(), nullable=False),
            ("reason", pa.string()),
            ("by", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )


def seal_schema() -> pa.Schema:
    """Schema of ``seal``: one line, ``secret`` in hex, drawn at random when it is first needed."""
    import pyarrow as pa

    return pa.schema([pa.field(WINDOW, pa.int32(), nullable=False), ("secret", pa.string())])


def quarantine_schema() -> pa.Schema:
    """Schema of ``quarantine``: a line for each blocked row or object, and for each action on them.

    ``entry`` groups what was blocked together (one window, one cause). ``status`` is
    ``quarantined``, ``released`` or ``discarded``; the newest status of an entry counts.
    ``payload`` is the row as JSON, so that rows which fit no schema are kept whole too.
    """
    import pyarrow as pa

    return pa.schema(
        [
            ("entry", pa.string()),
            ("status", pa.string()),
            ("kind", pa.string()),  # object | batch | row | label
            ("check", pa.string()),
            ("reason", pa.string()),
            ("evidence", pa.string()),  # JSON of one Evidence
            (KEY, pa.string()),
            (EVENT, pa.int64()),
            (KNOWN, pa.int64()),
            pa.field(WINDOW, pa.int32(), nullable=False),  # the window whose cycle blocked it
            (SOURCE, pa.string()),
            (OBJECT, pa.string()),
            (ROW, pa.int64()),
            ("object_key", pa.string()),
            ("payload", pa.string()),
            ("by", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )


def objects_schema() -> pa.Schema:
    """Schema of ``objects``: one line for each object that was looked at, and what became of it."""
    import pyarrow as pa

    return pa.schema(
        [
            ("source", pa.string()),
            ("object_key", pa.string()),
            ("etag", pa.string()),
            ("sha256", pa.string()),
            ("size", pa.int64()),
            ("arrived", pa.timestamp("us", tz="UTC")),
            ("role", pa.string()),  # features | labels
            ("status", pa.string()),  # landed | duplicate | quarantined
            ("rows", pa.int64()),
            ("reason", pa.string()),
            pa.field(WINDOW, pa.int32(), nullable=False),  # the window whose cycle took it in
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )


def decisions_schema() -> pa.Schema:
    """Schema of ``decisions``: ``phase`` is ``intent`` or ``done``; ``document`` the Decision."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("pipeline", pa.string()),
            ("kind", pa.string()),  # cycle | rollback
            ("phase", pa.string()),
            pa.field(WINDOW, pa.int32(), nullable=False),
            ("window_label", pa.string()),
            ("cycle_key", pa.string()),
            ("definition_digest", pa.string()),
            ("outcome", pa.string()),
            ("champion_before", pa.int64()),
            ("champion_after", pa.int64()),
            ("document", pa.string()),
            ("by", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )


def incidents_schema() -> pa.Schema:
    """Schema of ``incidents``: a structured record of anything blocked, rolled back or broken."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("pipeline", pa.string()),
            pa.field(WINDOW, pa.int32(), nullable=False),
            ("kind", pa.string()),
            ("summary", pa.string()),
            ("document", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )


def members_schema() -> pa.Schema:
    """Schema of ``members``: one line for each training, in the window that it was as of."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(WINDOW, pa.int32(), nullable=False),
            ("training", pa.string()),  # digest of all that decides the model
            (
                "facts",
                pa.string(),
            ),  # JSON: rows, their digest, categories, CPU seconds
            ("model", pa.binary()),  # UBJ
        ]
    )


def notifications_schema() -> pa.Schema:
    """Schema of ``notifications``: one line for each try to tell one target of one event."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),  # of the message
            ("event", pa.string()),
            ("target", pa.string()),  # its name; no address
            ("status", pa.string()),  # sent | failed
            ("trouble", pa.string()),
            ("title", pa.string()),
            pa.field(WINDOW, pa.int32(), nullable=False),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )


def as_numbers(column: Any) -> NDArray[np.float64]:
    """An Arrow column as floats, shape (rows,); null is NaN."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = pc.fill_null(pc.cast(column, pa.float64()), float("nan"))
    return np.asarray(filled.to_numpy(), dtype=np.float64)
