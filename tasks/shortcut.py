"""What candidate and champion lean on, which recent rows were known only with their label, and what
is in doubt until a person has answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ratchet import gate as core
from ratchet.contracts.columns import ACCEPTED, EVENT, KEY, KNOWN, LABEL, LABELS
from ratchet.contracts.evidence import Evidence
from tasks.cycle import Cycle
from tasks.labelled import labelled
from tasks.sealed import sealed_mask

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

RECENT = 8  # windows, the held-out ones last
LEDGER = "doubts"


def shortcut_input(cycle: Cycle) -> core.ShortcutInput:
    """The rows with a label of the last windows of a cycle that has a candidate."""
    import numpy as np
    import pyarrow as pa

    # Of a champion that has lost features all others would seem to have jumped.
    cut, champion = cycle.judged_cut(), cycle.witness
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
        window=cycle.label,
        doubted=cycle.ledger.get(LEDGER, {}),
    )


def keep_doubts(cycle: Cycle, evidence: Iterable[Evidence]) -> None:
    """Enter what is in doubt, for the cycles to come, until a person approves of it."""
    found = {n: since for e in evidence for n, since in e.details.get("doubted", {}).items()}
    if found:
        cycle.ledger[LEDGER] = {**cycle.ledger.get(LEDGER, {}), **found}


def settle_doubts(cycle: Cycle) -> None:
    """A person approved of this candidate, and so of what it leans on."""
    leaning = {n for e in cycle.gate_evidence for n in e.details.get("doubted", {})}
    kept = {n: since for n, since in cycle.ledger.get(LEDGER, {}).items() if n not in leaning}
    cycle.ledger.pop(LEDGER, None)
    if kept:
        cycle.ledger[LEDGER] = kept


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
