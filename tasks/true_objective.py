"""What the label stands for, of those held-out rows of which it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet import gate as core
from ratchet.contracts.columns import KEY, KNOWN, LABEL, TRUE_OBJECTIVE
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import predict
from tasks.cycle import Cycle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.bundle import Bundle


def true_input(cycle: Cycle, held: core.GateInput, anchor: Bundle | None) -> core.TrueInput:
    """Candidate, champion and an early champion on the rows whose true outcome is known.

    Args:
        cycle: gives the held-out rows.
        held: the models' scores of all of them.
        anchor: an early champion; None where there is none but the champion.
    """
    import numpy as np
    import pyarrow as pa

    known = _values(cycle)
    there = np.isfinite(known)
    rows = cycle.judged_rows().filter(pa.array(there))
    objective, proxy = cycle.workspace.definition.label.objective, 0.0
    if held.champion is not None:
        sides = (row_losses(objective, held.y, s) for s in (held.champion, held.candidate))
        before, after = (float(losses.mean()) for losses in sides)
        proxy = before - after
    return core.TrueInput(
        y=known[there],
        events=held.events[there],
        candidate=held.candidate[there],
        champion=None if held.champion is None else held.champion[there],
        anchor=predict(anchor, rows) if anchor and rows.num_rows else None,
        proxy=proxy,
    )


def _values(cycle: Cycle) -> NDArray[np.float64]:
    """Shape (held-out rows,): the true outcome as known by the end of the window; NaN: unknown."""
    import numpy as np
    import pyarrow.compute as pc

    rows = cycle.judged_rows()
    first = cycle.workspace.calendar.window_of(cycle.judged_cut().holdout_from).index
    known = (first, cycle.window.index + 1)
    found = cycle.workspace.landing_tables.read(TRUE_OBJECTIVE, windows=known)
    if not found.num_rows:
        return np.full(rows.num_rows, np.nan)
    found = found.filter(pc.less(found[KNOWN], cycle.window.end)).combine_chunks()
    where = pc.index_in(rows[KEY], value_set=found[KEY].combine_chunks())
    values = found[LABEL].combine_chunks().take(where.combine_chunks())
    return np.asarray(pc.fill_null(values, float("nan")).to_numpy(zero_copy_only=False))
