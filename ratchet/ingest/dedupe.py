"""Equal and conflicting copies of a key, within one batch and against what was accepted before.

>>> batch, rejected, dropped = dedupe(batch, earlier)                   # doctest: +SKIP

An equal copy is dropped and counted. Copies of one key that say different things are all rejected:
nobody can tell which is true. What was accepted earlier stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ratchet.contracts import columns as c
from ratchet.ingest.entries import reject_rows
from ratchet.ingest.sieve import Mask
from ratchet.ingest.values import Kind, RowReject

if TYPE_CHECKING:
    import pyarrow as pa


def find_keys(history_keys: pa.ChunkedArray, batch_keys: pa.ChunkedArray) -> Mask:
    """Where the history holds a key of the batch; shape (history,), bool.

    Filter the history's rows by it to get ``earlier`` for :func:`dedupe`.
    """
    import pyarrow.compute as pc

    return np.array(pc.is_in(history_keys, value_set=batch_keys.combine_chunks()), dtype=bool)


def dedupe(batch: pa.Table, earlier: pa.Table) -> tuple[pa.Table, tuple[RowReject, ...], int]:
    """One row a key.

    Args:
        batch: rows (``rows_schema``) or labels (``labels_schema``), in a deterministic order.
        earlier: rows accepted before, of the same schema; only those whose key is in the batch
            matter (:func:`find_keys`). A table without columns will do for none.

    Returns:
        The batch's rows that go on, in order; rejects (check ``conflicting_key``); how many equal
        copies were dropped. Two copies are equal when event and features (for labels: the label)
        are; a missing value equals a missing value.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_labels = c.LABEL in batch.column_names
    compared = [n for n in batch.column_names if n not in c.PROVENANCE]
    compared += [] if is_labels else [c.EVENT]
    columns = [c.KEY, *compared]
    before = earlier.select(columns) if earlier.num_columns else batch.select(columns).slice(0, 0)
    both = pa.concat_tables([before, batch.select(columns)])
    groups = np.asarray(pc.dictionary_encode(both[c.KEY]).combine_chunks().indices)
    rows = np.arange(len(groups))
    first = np.full(groups.max(initial=-1) + 1, len(groups))
    np.minimum.at(first, groups, rows)
    copies = np.flatnonzero((first[groups] != rows) & (rows >= before.num_rows))
    if not len(copies):
        return batch, (), 0
    differs = np.zeros(len(groups), dtype=bool)
    differs[copies] = _differ(both.select(compared), copies, first[groups[copies]])
    return _split(batch, before.num_rows, groups, first, copies, differs)


def _differ(table: pa.Table, left: NDArray[np.int64], right: NDArray[np.int64]) -> Mask:
    """Where rows ``left`` and ``right`` of a table are not the same in every column."""
    import pyarrow.compute as pc

    out = np.zeros(len(left), dtype=bool)
    for column in table.columns:
        a, b = column.take(left), column.take(right)
        same = pc.fill_null(pc.equal(a, b), False)
        out |= ~np.array(pc.or_(same, pc.and_(pc.is_null(a), pc.is_null(b))), dtype=bool)
    return out


def _split(
    batch: pa.Table,
    before: int,
    groups: NDArray[np.int32],
    first: NDArray[np.int64],
    copies: NDArray[np.int64],
    differs: Mask,
) -> tuple[pa.Table, tuple[RowReject, ...], int]:
    import pyarrow as pa

    rows = np.arange(len(groups))
    conflicted = np.zeros(len(first), dtype=bool)
    conflicted[groups[differs]] = True
    new = first >= before  # groups that no earlier row holds: all their copies are in doubt
    rejected = differs | (conflicted & new)[groups]
    dropped = np.zeros(len(groups), dtype=bool)
    dropped[copies] = True
    dropped &= ~rejected
    kind: Kind = "label" if c.LABEL in batch.column_names else "row"
    mine = rows >= before
    against = np.where(new[groups[mine]], "another row of this batch", "an earlier row")
    out = rejected[mine]
    reasons = [f"the key also stands for different values in {text}" for text in against[out]]
    rejects = reject_rows(batch.filter(pa.array(out)), kind, "conflicting_key", reasons)
    kept = batch.filter(pa.array(~(rejected | dropped)[mine]))
    return kept, rejects, int(dropped.sum())
