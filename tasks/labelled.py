"""What the shield looks at: rows with the labels known by now, and the trusted rows beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ratchet import validate as rules
from ratchet.contracts.columns import (
    ACCEPTED,
    EVENT,
    KEY,
    KNOWN,
    LABEL,
    LABELS,
    OBJECT,
    REVOCATIONS,
    SOURCE,
    TRUSTED,
    trusted_schema,
)
from ratchet.contracts.metrics import spread
from ratchet.contracts.revocation import revoked_now
from ratchet.contracts.score import predict
from tasks.cycle import Cycle
from tasks.reach import masked

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.clock import Window

MAIN = 0.2  # share of the fresh labels from which a window of events is compared
EARLIER = 4  # windows before it whose rows say how dense a cell usually is
SAMPLE = 5000  # of those


@dataclass(frozen=True, eq=False)
class Batch:
    """The labelled rows of some windows of events, and the trusted rows of the same ones.

    ``before`` are the labelled rows of the windows before, and ``history`` a sample of the last of
    them.
    """

    sample: rules.Sample
    control: rules.Sample | None
    before: rules.Sample
    history: rules.Sample | None
    seed: int


def windows_of_labels(
    cycle: Cycle, window: Window, labels: pa.Table
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The window of events of each label, and whether its row is there, each shape (labels,).

    The row says when it was; what a label says of it counts only until its row comes.
    """
    import numpy as np

    at, there = window_indices(cycle, labels), np.zeros(labels.num_rows, dtype=bool)
    first = int(at.min(initial=window.index))
    for known in ((first, window.index + 1), (None, first)):
        if not there.all():
            _place(cycle, labels, known, at, there)
    return at, there


def _place(
    cycle: Cycle,
    labels: pa.Table,
    known: tuple[int | None, int],
    at: NDArray[np.int64],
    there: NDArray[np.bool_],
) -> None:
    """Look up the rows of the labels that none was found for so far."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    left = np.flatnonzero(~there)
    keys = labels[KEY].take(pa.array(left)).combine_chunks()
    rows = cycle.workspace.tables.read(ACCEPTED, [KEY, EVENT], known, keys=pa.chunked_array([keys]))
    if not rows.num_rows:
        return
    where = pc.index_in(keys, value_set=rows[KEY].combine_chunks())
    found = left[np.asarray(where.is_valid())]
    there[found] = True
    at[found] = window_indices(cycle, rows.take(where.drop_null()))


def span_of(cycle: Cycle, at: NDArray[np.int64]) -> tuple[int, int] | None:
    """First and last window of events that a good part of the fresh labels belong to; without keys
    by which the others could be compared, of all but a few.

    ``at`` has the window of each, shape (labels,).
    """
    import numpy as np

    if not len(at):
        return None
    trusted = cycle.workspace.definition.trusted
    alone = trusted is None or trusted.keyed
    found, counts = np.unique(at, return_counts=True)
    main = found[counts >= (MAIN * len(at) if alone else rules.FEWEST)]
    main = main if len(main) else found[np.argmax(counts)][None]
    return int(main.min()), int(main.max())


def gather(cycle: Cycle, window: Window, fresh: pa.Table, span: tuple[int, int]) -> Batch | None:
    """The rows of the span with every label known by now, and what they are compared with."""
    rows, labels = labelled(cycle, window, span, fresh)
    if not rows.num_rows:
        return None
    control = trusted_rows(cycle, window, span)
    sample = scored(cycle, rows, labels)
    trusted = scored(cycle, control, numbers(control[LABEL])) if control.num_rows else None
    before = rules.Sample(*labelled(cycle, window, windows_before(cycle, span), None))
    history = _history(cycle, before, span)
    return Batch(sample, trusted, before, history, seed_of(cycle, window, rows, control))


def scored(cycle: Cycle, rows: pa.Table, labels: NDArray[np.float64]) -> rules.Sample:
    """Labelled rows with the champion's scores, where there is one that can be asked."""
    champion = cycle.witness
    return rules.Sample(rows, labels, predict(champion, rows) if champion else None)


def windows_before(cycle: Cycle, span: tuple[int, int]) -> tuple[int, int]:
    """First and last of the windows before a span that are looked at beside it."""
    reach = EARLIER if cycle.workspace.definition.trusted is None else rules.LOOK_BACK - 1
    return span[0] - reach, span[0] - 1


def labelled(
    cycle: Cycle,
    window: Window,
    span: tuple[int, int],
    fresh: pa.Table | None,
    *,
    revoked: bool = True,
) -> tuple[pa.Table, NDArray[np.float64]]:
    """Accepted rows of a span of events that have a label or should have one, and their labels.

    ``revoked`` False leaves out what may no longer be learned from.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    workspace, definition = cycle.workspace, cycle.workspace.definition
    known = (span[0], window.index + 1)
    taken = () if revoked else revoked_now(workspace.tables.read(REVOCATIONS))
    origin = [KNOWN, SOURCE, OBJECT] if taken else []  # a third of the cost of reading
    columns = list(dict.fromkeys([KEY, EVENT, *origin, SOURCE, OBJECT, *definition.features]))
    rows = workspace.tables.read(ACCEPTED, columns, known)
    if not rows.num_rows:
        return rows, np.empty(0)
    earlier = workspace.tables.read(LABELS, [KEY, LABEL, *origin], known)
    if taken:
        rows, earlier = (
            t.filter(pa.array(~masked(workspace, t, taken))) if t.num_rows else t
            for t in (rows, earlier)
        )
    parts = [t.select([KEY, LABEL]) for t in (earlier, fresh) if t is not None and t.num_rows]
    if not parts:
        return rows.slice(0, 0), np.empty(0)
    every = pa.concat_tables(parts)
    where = pc.index_in(rows[KEY], value_set=every[KEY].combine_chunks())
    labels = numbers(every[LABEL].combine_chunks().take(where.combine_chunks()))
    events = rows[EVENT].to_numpy()
    start, end = _bounds(cycle, span)
    mature = events < window.end - definition.label_delay
    keep = (events >= start) & (events < end) & (np.isfinite(labels) | mature)
    return only(rows, keep), labels[keep]


def rows_of_labels(
    cycle: Cycle, window: Window, labels: pa.Table, columns: Sequence[str]
) -> tuple[pa.Table, NDArray[np.bool_]]:
    """The rows accepted by the end of a window that labels belong to, in the labels' order, and
    which of the labels have one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    at, there = windows_of_labels(cycle, window, labels)
    if not there.any():
        return pa.table({}), there
    known = (int(at[there].min()), window.index + 1)
    rows = cycle.workspace.tables.read(ACCEPTED, [KEY, *columns], known)
    where = pc.index_in(labels[KEY], value_set=rows[KEY].combine_chunks()).combine_chunks()
    return rows.take(where.drop_null()), there


def only(rows: pa.Table, keep: NDArray[np.bool_]) -> pa.Table:
    """The rows of a mask; those of one stretch, as most are, without a copy of each value."""
    import numpy as np
    import pyarrow as pa

    places = np.flatnonzero(keep)
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return rows.slice(places[0], len(places)).combine_chunks()
    return rows.filter(pa.array(keep)).combine_chunks()


def window_indices(cycle: Cycle, rows: pa.Table) -> NDArray[np.int64]:
    """The window of events of each row, shape (rows,); a table without rows may lack columns."""
    import numpy as np

    if not rows.num_rows:
        return np.empty(0, dtype=np.int64)
    return cycle.workspace.calendar.indices_of(rows[EVENT].to_numpy())


def by_window(cycle: Cycle, sample: rules.Sample, span: tuple[int, int]) -> list[rules.Sample]:
    """One sample for each window of the span, oldest first."""
    import numpy as np
    import pyarrow as pa

    rows, labels, at = sample.rows, sample.labels, window_indices(cycle, sample.rows)
    if (np.diff(at) < 0).any():  # they lie in order but for late ones
        order = np.argsort(at, kind="stable")
        rows, labels, at = rows.take(pa.array(order)), labels[order], at[order]
    ends = np.searchsorted(at, np.arange(span[0], span[1] + 2))
    return [
        rules.Sample(rows.slice(start, end - start).combine_chunks(), labels[start:end])
        for start, end in pairwise(ends.tolist())
    ]


def trusted_rows(cycle: Cycle, window: Window, span: tuple[int, int]) -> pa.Table:
    """The trusted rows of a span of events that were known by the end of the window."""
    definition = cycle.workspace.definition
    none = trusted_schema(definition.features).empty_table()
    if definition.trusted is None:
        return none
    rows = cycle.workspace.landing_tables.read(TRUSTED, windows=(span[0], window.index + 1))
    if not rows.num_rows:
        return none
    start, end = _bounds(cycle, span)
    events, known = rows[EVENT].to_numpy(), rows[KNOWN].to_numpy()
    keep = (events >= start) & (events < end) & (known < window.end)
    return only(rows, keep) if keep.any() else none


def _bounds(cycle: Cycle, span: tuple[int, int]) -> tuple[int, int]:
    """Start and end of a span of windows, in event time."""
    calendar = cycle.workspace.calendar
    return calendar.window(span[0]).start, calendar.window(span[1]).end


def _history(cycle: Cycle, before: rules.Sample, span: tuple[int, int]) -> rules.Sample | None:
    """A sample of what was learned from in the windows before.

    Scores are needed only where it stands in for a control that is not there.
    """
    import numpy as np
    import pyarrow as pa

    if not before.rows.num_rows:
        return None
    start, _ = _bounds(cycle, (span[0] - EARLIER, span[0] - 1))
    late = before.rows[EVENT].to_numpy() >= start
    if not late.any():
        return None
    chosen = np.flatnonzero(late)[spread(int(late.sum()), SAMPLE)]
    rows, labels = before.rows.take(pa.array(chosen)), before.labels[chosen]
    if cycle.workspace.definition.trusted is not None:
        return rules.Sample(rows, labels)
    return scored(cycle, rows, labels)


def seed_of(cycle: Cycle, window: Window, *tables: pa.Table) -> int:
    """From what no single sender knows beforehand: the contents of every object concerned."""
    import pyarrow.compute as pc

    state = hashlib.sha256(f"{cycle.workspace.name}/{window.index}".encode())
    for table in tables:
        for digest in sorted(pc.unique(table[OBJECT]).to_pylist()):
            state.update(digest.encode())
    return int.from_bytes(state.digest()[:4], "big") >> 1


def numbers(column: Any) -> NDArray[np.float64]:
    """An Arrow column as floats, null as NaN."""
    import numpy as np
    import pyarrow.compute as pc

    filled = pc.fill_null(column, float("nan"))
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)
