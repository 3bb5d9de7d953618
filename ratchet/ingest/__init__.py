"""Ingest: what arrived, from whom, and have we seen it before?

>>> parsed = parse_object(data, key, sha256, arrived_tick, role, definition,
...                       watermark=watermark, zone_name=zone.name)      # doctest: +SKIP

Pure functions from bytes to rows: :func:`role_of` and :func:`new_objects` choose what to read,
:func:`parse_object` reads it, :func:`dedupe` leaves one row a key, and :func:`quarantine_lines`
keeps whole what was blocked.

Promise: an object is taken in exactly once by content, no row is lost, and nothing that is
damaged, oversized or ambiguous gets as far as training.
"""

from ratchet.ingest.columns import split_key
from ratchet.ingest.dedupe import dedupe, find_keys
from ratchet.ingest.entries import (
    cell,
    escape_cell,
    object_line,
    payload_json,
    payload_row,
    quarantine_lines,
    quarantined_object,
    reject_rows,
    rows_from_payload,
)
from ratchet.ingest.followed import complete, followed
from ratchet.ingest.labels import check_classes
from ratchet.ingest.landed import NEVER
from ratchet.ingest.objects import (
    new_objects,
    role_of,
    seen_content,
    source_of,
    transaction_of,
)
from ratchet.ingest.parse import parse_object, parse_record
from ratchet.ingest.values import Kind, Limits, Parsed, Role, RowReject

__all__ = [
    "NEVER",
    "Kind",
    "Limits",
    "Parsed",
    "Role",
    "RowReject",
    "cell",
    "check_classes",
    "complete",
    "dedupe",
    "escape_cell",
    "find_keys",
    "followed",
    "new_objects",
    "object_line",
    "parse_object",
    "parse_record",
    "payload_json",
    "payload_row",
    "quarantine_lines",
    "quarantined_object",
    "reject_rows",
    "role_of",
    "rows_from_payload",
    "seen_content",
    "source_of",
    "split_key",
    "transaction_of",
]
