"""What ingest hands over: rows that may go on, and rows that may not, with the reason.

>>> Parsed(rows=None, labels=None).rejected
()

Promise: every row of an object is in ``rows``, in ``labels`` or in ``rejected``; none is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ratchet.contracts.definition import Definition

if TYPE_CHECKING:
    import pyarrow as pa

Role = Literal["features", "labels", "both", "trusted", "true_objective"]
Kind = Literal["row", "label", "batch", "trusted"]
MIB = 2**20


@dataclass(frozen=True)
class RowReject:
    """One row that was blocked, kept whole.

    Attributes:
        kind: ``row``, ``label``, (for a row of a blocked batch) ``batch``, or ``trusted`` (a row
            of a trusted object or of the true objective: nobody can release it into what is
            learned from).
        check: stable name of the check that failed, such as ``not_finite``.
        reason: the sentence a person reads.
        row: row number inside the object, from 0.
        payload: column to value, as it was found.
        key, event, known: filled in where they could be read; ``event`` and ``known`` are ticks.
        source, object, object_key: landing zone, SHA-256 of the object and its key.
    """

    kind: Kind
    check: str
    reason: str
    row: int
    payload: Mapping[str, Any]
    key: str | None = None
    event: int | None = None
    known: int | None = None
    source: str = ""
    object: str = ""
    object_key: str = ""


@dataclass(frozen=True)
class Parsed:
    """One object, parsed.

    Attributes:
        rows: feature rows of ``columns.rows_schema``, sorted by (event, key, row); of a trusted
            object rows of ``columns.trusted_schema``; None for an object that holds labels only.
        labels: labels of ``columns.labels_schema``, sorted the same way; None for features only.
        rejected: rows and labels that were blocked, by row number.
        notes: what was seen but does not block, JSON-serialisable: ``above_2_24`` (column to count
            of integers that float32 cannot hold), ``ignored`` (columns), ``unlabelled`` (rows),
            ``no_page_checksums`` and ``no_final_newline`` (true).
    """

    rows: pa.Table | None
    labels: pa.Table | None
    rejected: tuple[RowReject, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """Caps on one object: bytes as delivered, bytes once decoded, characters of one cell."""

    object_bytes: int
    decoded_bytes: int
    cell_chars: int

    @classmethod
    def of(cls, definition: Definition) -> Limits:
        """The caps that a pipeline declares."""
        source = definition.source
        return cls(source.max_object_mib * MIB, source.max_decoded_mib * MIB, source.max_cell_chars)


def shown(value: Any, limit: int = 60) -> str:
    """A value for a message: its ``repr`` in ASCII, cut to ``limit`` characters."""
    text = ascii(value[: 2 * limit] if isinstance(value, str | bytes) else value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def names_shown(names: list[str], limit: int = 8) -> str:
    """Column names for a message, at most ``limit`` of them."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(shown(name) for name in names[:limit]) + more
