"""Which rows may be learned from, as-of a time, and which are held out for the gate.

>>> labelled = join_labels(definition, accepted, labels, as_of)           # doctest: +SKIP
>>> cut = split(definition, as_of, labelled.events)                       # doctest: +SKIP

Promise: only what was known before ``as_of`` counts, and no row is on both sides of the cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import EVENT, KEY, KNOWN, LABEL
from ratchet.errors import NoCandidate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition


@dataclass(frozen=True)
class Cut:
    """Where training ends and the holdout begins. Ticks of event time, half-open.

    Training rows: events before ``train_before``. Holdout: ``[holdout_from, holdout_before)``.
    """

    holdout_from: int
    holdout_before: int
    train_before: int


@dataclass(frozen=True, eq=False)
class Labelled:
    """The rows that have a mature label, in order of event time, without copying the table.

    Attributes:
        rows: the table that was joined, whole and untouched.
        positions: shape (labelled,): position in ``rows`` of each labelled row.
        labels: shape (labelled,): class index or target.
        events: shape (labelled,): event ticks, ascending.
        mature: shape (mature,): event ticks, ascending, of every row that should have a label.
    """

    rows: pa.Table
    positions: NDArray[np.int64]
    labels: NDArray[np.float64]
    events: NDArray[np.int64]
    mature: NDArray[np.int64]

    def between(self, start: int, end: int) -> tuple[pa.Table, NDArray[np.float64]]:
        """Copies of the labelled rows with events in ``[start, end)``, and their labels."""
        found = self.within(start, end)
        return self.rows.take(_indices(self.positions[found])), self.labels[found]

    def within(self, start: int | None, end: int) -> slice:
        """The labelled rows with events in ``[start, end)``; None: from the first."""
        first = 0 if start is None else int(self.events.searchsorted(start))
        return slice(first, int(self.events.searchsorted(end)))

    def mature_rows(self, start: int, end: int) -> int:
        """How many rows with events in ``[start, end)`` should have a label by now."""
        return int(self.mature.searchsorted(end) - self.mature.searchsorted(start))


def join_labels(definition: Definition, rows: pa.Table, labels: pa.Table, as_of: int) -> Labelled:
    """Rows joined with the labels that were known.

    A row counts when it was known before ``as_of`` and its event is more than the label delay
    before it; a label when it was known before ``as_of``. Of several labels for one key the first
    known counts (among equals the first of the table). Rows without a label are left out: they
    are no negatives.

    Args:
        definition: gives the label delay.
        rows: the accepted table: key, event, known and the features; in any order.
        labels: the labels table: key, known and label.
        as_of: ticks.
    """
    import numpy as np
    import pyarrow.compute as pc

    known = labels.filter(pc.and_(pc.less(labels[KNOWN], as_of), pc.is_valid(labels[LABEL])))
    known = _first_known_first(known.select([KEY, KNOWN, LABEL]))
    event = rows[EVENT].to_numpy()
    ripe = (event < as_of - definition.label_delay) & (rows[KNOWN].to_numpy() < as_of)
    found = pc.index_in(rows[KEY], value_set=known[KEY].combine_chunks())
    index = pc.fill_null(found, -1).to_numpy()
    positions = np.flatnonzero(ripe & (index >= 0))
    positions = positions[np.argsort(event[positions], kind="stable")]
    values = known[LABEL].to_numpy().astype(np.float64, copy=False)
    return Labelled(
        rows, positions, values[index[positions]], event[positions], np.sort(event[ripe])
    )


def stand_in(
    definition: Definition, rows: pa.Table, labels: pa.Table, trusted: pa.Table, as_of: int
) -> tuple[pa.Table, pa.Table, int]:
    """Let trusted rows stand for windows whose labels were kept out.

    Whoever tampers with a little of every batch would otherwise stop all learning, and a model that
    never learns gets old. Of a window of events of which less than ``label.min_labelled_share`` has
    an accepted label, only the trusted rows count, with their labels: few, but a random sample that
    no sender can choose. A window without a trusted label stays as it is.

    Args:
        definition: gives the calendar, the label delay and the share.
        rows: the accepted table: key, event, known and the features.
        labels: the labels table: key, event, known and label.
        trusted: the trusted table: key, event, known, the features and label.
        as_of: ticks; what was known later is left out.

    Returns:
        Rows and labels, with the columns that came in, and how many trusted labels they hold.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    before, calendar = as_of - definition.label_delay, definition.calendar
    known = pc.and_(pc.less(trusted[KNOWN], as_of), pc.less(trusted[EVENT], before))
    trusted = trusted.filter(known)
    if not trusted.num_rows:
        return rows, labels, 0

    def window(table: pa.Table) -> NDArray[np.int64]:
        return calendar.indices_of(table[EVENT].to_numpy())

    def lies_in(table: pa.Table, wanted: NDArray[np.int64]) -> pa.Array:
        return pa.array(np.isin(window(table), wanted))

    ripe = rows.filter(pc.and_(pc.less(rows[KNOWN], as_of), pc.less(rows[EVENT], before)))
    given = labels.filter(pc.and_(pc.less(labels[KNOWN], as_of), pc.is_valid(labels[LABEL])))
    has = pc.is_in(ripe[KEY], value_set=given[KEY].combine_chunks()).to_numpy()
    sure = trusted.filter(pc.is_valid(trusted[LABEL]))
    lacking = [
        w
        for w in np.unique(window(sure)).tolist()
        if not (mine := window(ripe) == w).any()
        or has[mine].mean() < definition.label.min_labelled_share
    ]
    if not lacking:
        return rows, labels, 0
    wanted = np.array(lacking, dtype=np.int64)
    parts = []
    for table, more in ((rows, trusted), (labels, sure)):
        kept = table.filter(pc.invert(lies_in(table, wanted)))
        extra = more.filter(lies_in(more, wanted)).select(table.column_names)
        parts.append(pa.concat_tables([kept, extra.cast(table.schema)]).combine_chunks())
    return parts[0], parts[1], int(pc.sum(lies_in(sure, wanted)).as_py())


def split(definition: Definition, as_of: int, events: NDArray[np.int64]) -> Cut:
    """Hold out the newest windows that have labels; train on what happened before them.

    ``train.holdout_windows`` windows of the calendar are held out, newest first, that hold at
    least one labelled row; windows without any (blocked ones) are passed over. Where these hold
    fewer than ``gate.min_rows`` rows, older windows join them until there are enough to judge on.
    Where the label delay is no multiple of the window, the newest window is mature only in part: it
    is held out too, but counts only if at least half of it is mature, so that the gate never
    starves.

    Args:
        definition: gives the calendar, the label delay and the number of windows.
        as_of: ticks.
        events: shape (rows,), ascending: event ticks of the rows with mature labels.

    Raises:
        NoCandidate: no row has a mature label yet.
    """
    before = as_of - definition.label_delay
    events = events[: events.searchsorted(before)]
    if len(events) == 0:
        show = definition.calendar.clock.show
        raise NoCandidate(
            f"no accepted row before {show(before)} has a label as of {show(as_of)}; "
            "labels are still to come, or do not match the rows' keys"
        )
    wanted = definition.train.holdout_windows
    start = before
    enough = len(events) - definition.gate.min_rows
    while (i := int(events.searchsorted(start))) > 0 and (wanted > 0 or i > enough > 0):
        window = definition.calendar.window_of(int(events[i - 1]))
        start = window.start
        wanted -= (min(window.end, before) - window.start) * 2 >= definition.calendar.length
    return Cut(holdout_from=start, holdout_before=before, train_before=start)


def overlap(labelled: Labelled, cut: Cut) -> int:
    """How many keys of the holdout occur among the training rows too; must be 0."""
    import pyarrow.compute as pc

    keys = labelled.rows[KEY]
    held = labelled.within(cut.holdout_from, cut.holdout_before)
    trained = labelled.within(None, cut.train_before)
    held_keys = keys.take(_indices(labelled.positions[held])).combine_chunks()
    found = pc.is_in(keys.take(_indices(labelled.positions[trained])), value_set=held_keys)
    return int(pc.sum(found).as_py() or 0)


def _first_known_first(labels: pa.Table) -> pa.Table:
    import numpy as np

    known = labels[KNOWN].to_numpy()
    if np.all(known[1:] >= known[:-1]):
        return labels
    return labels.take(_indices(np.argsort(known, kind="stable")))


def _indices(positions: NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    return pa.array(positions, pa.int64())
