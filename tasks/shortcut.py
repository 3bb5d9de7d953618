"""What candidate and champion lean on, and which recent rows were known only with their label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet import gate as core
from ratchet.contracts.columns import ACCEPTED, EVENT, KEY, KNOWN, LABEL, LABELS
from tasks.cycle import Cycle
from tasks.labelled import labelled
from tasks.sealed import sealed_mask

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

RECENT = 8  # windows, the held-out ones last


def shortcut_input(cycle: Cycle) -> core.ShortcutInput:
    """The rows with a label of the last windows of a cycle that has a candidate."""
    import numpy as np
    import pyarrow as pa

    cut, champion = cycle.judged_cut(), cycle.champion_bundle
    last = cycle.workspace.calendar.window_of(cut.holdout_before - 1).index
    span = (last - RECENT + 1, last)
    rows, labels = labelled(cycle, cycle.window, span, None, revoked=False)
    events = rows[EVENT].to_numpy() if rows.num_rows else np.empty(0, dtype=np.int64)
    kept = np.isfinite(labels) & (events < cut.holdout_before)
    kept &= ~sealed_mask(cycle.workspace, rows)
    rows = rows.filter(pa.array(kept)).combine_chunks()
    return core.ShortcutInput(
        y=labels[kept],
        events=events[kept],
        rows=rows,
        late=_late(cycle, rows, (span[0], cycle.window.index + 1)),
        held=events[kept] >= cut.holdout_from,
        before=champion.manifest.gains if champion else None,
        after=cycle.candidates[cycle.chosen or ""].manifest.gains,
    )


def _late(cycle: Cycle, rows: pa.Table, known: tuple[int, int]) -> NDArray[np.bool_]:
    """Shape (rows,): known no earlier than the first label that was known of the row."""
    import numpy as np
    import pyarrow.compute as pc

    tables = cycle.workspace.tables
    labels = tables.read(LABELS, [KEY, KNOWN, LABEL], known)
    if not labels.num_rows or not rows.num_rows:
        return np.zeros(rows.num_rows, dtype=bool)
    labels = labels.filter(pc.is_valid(labels[LABEL]))
    times = []
    for table in (tables.read(ACCEPTED, [KEY, KNOWN], known), labels):
        first = table.sort_by(KNOWN).combine_chunks()  # the first of a key counts
        where = pc.index_in(rows[KEY], value_set=first[KEY].combine_chunks())
        times.append(first[KNOWN].combine_chunks().take(where.combine_chunks()))
    late = pc.fill_null(pc.greater_equal(*times), False)
    return np.asarray(late.to_numpy(zero_copy_only=False), dtype=bool)
