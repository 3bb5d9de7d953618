"""A trusted control and the rest of the batch it was drawn from, as one pool of numbers.

>>> pool = pooled(batch, control, definition, keyed=True)                       # doctest: +SKIP
>>> pool.control.sum(), len(pool.labels)                                        # doctest: +SKIP
(1000, 6429)

**Why this cancels drift.** The control is a random sample of the very window that the batch holds.
If the batch is honest, control and rest are a random split of one population, whatever that
population looks like this week, and however its rows depend on one another: what is random is who
was drawn (Fisher 1935; Neyman 1934). Every test here asks only whether the split looks random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.columns import KEY

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.validate.sample import Sample

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Coded = tuple[Ints, int]  # small integers, and how many there could be

BINS = 16  # of a number with many values
FEW = 64  # values that are told apart one by one
OFTEN = 16  # rows that make a value worth a code of its own
TERCILES = 3


@dataclass(frozen=True, eq=False)
class Pool:
    """Control and rest together; every array has one entry a row, the control's rows first.

    Attributes:
        names: the features.
        kinds: ``number`` or ``category``, one a feature.
        values: shape (rows, features): numbers, and the codes of categories; missing is NaN.
        labels: class index or target.
        scores: the champion's, shape (rows,) or (rows, classes); None without one.
        outcome: small integer that stands for the label: the class, or the tercile of a target.
        residual: label minus what the champion expects (without one: minus the mean).
        variance: of the residual, as the champion expects it.
        control: whether the row is the control's.
        origin: position in the batch, or, for the control's rows, in the control.
        older: shape (earlier rows, features): values of earlier rows, coded alike.
        categories: for each feature the values that its codes stand for; empty for a number.
        disjoint: whether no row stands on both sides, as keys can tell.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    values: Floats
    labels: Floats
    scores: Floats | None
    outcome: Ints
    residual: Floats
    variance: Floats
    control: NDArray[np.bool_]
    origin: Ints
    older: Floats
    categories: tuple[tuple[str, ...], ...]
    disjoint: bool

    @property
    def rows(self) -> int:
        """How many rows both hold together."""
        return len(self.labels)

    def words(self, feature: int, rows: NDArray[np.bool_] | Ints) -> str:
        """What these rows (a mask, or their places) hold in a feature, such as ``carrier = YV`` or
        ``seats = 130 to 140``."""
        import numpy as np

        name, column = self.names[feature], self.values[rows, feature]
        if np.isnan(column).all():
            return f"{name} missing"
        low, high = float(np.nanmin(column)), float(np.nanmax(column))
        if known := self.categories[feature]:
            return f"{name} = {known[int(low)]}"
        return f"{name} = {low:g}" if low == high else f"{name} = {low:g} to {high:g}"

    def table(self, rows: Ints) -> pa.Table:
        """The features of these rows (their places) as a table, as a model takes them."""
        import numpy as np
        import pyarrow as pa

        columns = {}
        for i, name in enumerate(self.names):
            held = self.values[rows, i]
            missing = np.isnan(held)
            if self.kinds[i] == "category":
                codes = pa.array(np.where(missing, 0, held).astype(np.int32), mask=missing)
                columns[name] = pa.array(self.categories[i], pa.string()).take(codes)
            else:
                columns[name] = pa.array(held, mask=missing)
        return pa.table(columns)


def pooled(
    batch: Sample,
    control: Sample,
    definition: Definition,
    *,
    keyed: bool,
    history: pa.Table | None = None,
) -> Pool:
    """Pool the control with the labelled rows of the batch that the control does not hold.

    Rows without a label are left out on both sides. A control that carries the stream's keys
    (``keyed``) keeps only rows whose label the batch knows too, so that labels that are missing for
    a reason shift both sides alike (their absence is a test of its own). ``history`` holds earlier
    rows, against which density is measured.
    """
    ours, theirs = apart(batch, control, keyed)
    return pool_of(batch, control, ours, theirs, definition, keyed=keyed, history=history)


def pool_of(
    batch: Sample,
    control: Sample,
    ours: Ints,
    theirs: Ints,
    definition: Definition,
    *,
    keyed: bool,
    history: pa.Table | None = None,
) -> Pool:
    """The pool of these rows of the batch (``ours``) and of the control (``theirs``): places that
    :func:`apart` found, or some of them."""
    import numpy as np
    import pyarrow as pa

    names = tuple(definition.features)
    parts = [
        control.rows.select(names).take(pa.array(theirs)),
        batch.rows.select(names).take(pa.array(ours)),
        *([] if history is None else [history.select(names)]),
    ]
    table = pa.concat_tables(parts)
    values, categories = values_of(table, definition)
    labels = np.concatenate([control.labels[theirs], batch.labels[ours]])
    scores = None
    if batch.scores is not None and control.scores is not None:
        scores = np.concatenate([control.scores[theirs], batch.scores[ours]])
    objective = definition.label.objective
    residual, variance = expectation(objective, labels, scores)
    return Pool(
        names,
        tuple(definition.features.values()),
        values[: len(labels)],
        labels,
        scores,
        outcome_of(objective, labels),
        residual,
        variance,
        np.arange(len(labels)) < len(theirs),
        np.concatenate([theirs, ours]),
        values[len(labels) :],
        categories,
        keyed,
    )


def apart(batch: Sample, control: Sample, keyed: bool) -> tuple[Ints, Ints]:
    """Positions of labelled rows: the batch's that the control does not hold; the control's."""
    import numpy as np
    import pyarrow.compute as pc

    mine = np.isfinite(batch.labels)
    true = np.isfinite(control.labels)
    if keyed:
        where = pc.index_in(control.rows[KEY], value_set=batch.rows[KEY].combine_chunks())
        found = pc.fill_null(where, -1).to_numpy().astype(np.int64)
        true[true] = _at(mine, found[true])
        mine[found[found >= 0]] = False
    return np.flatnonzero(mine), np.flatnonzero(true)


def _at(mask: NDArray[np.bool_], where: Ints) -> NDArray[np.bool_]:
    """The mask at these positions; False for position -1."""
    import numpy as np

    return np.append(mask, False)[where]


def codes(column: Floats, kind: str, ranked: tuple[Ints, Floats] | None = None) -> Coded:
    """A column as small integers, 0 for missing, and how many there are.

    Categories and numbers of few values keep each value. Of other numbers the most frequent values
    keep their own code, because a planted one is repeated; the rest falls into bins of equal mass.
    ``ranked`` is what :func:`ranks` says of the column, where it is known.
    """
    import numpy as np

    place, values = ranks(column) if ranked is None else ranked
    size = len(values)
    if kind == "category" or size <= FEW:
        return place, size + 1
    counts = np.bincount(place, minlength=size + 1)[1:]
    order = np.argsort(-counts, kind="stable")[:FEW]
    frequent = order[counts[order] >= OFTEN]
    own = np.zeros(size + 1, dtype=np.int64)
    own[frequent + 1] = np.arange(1, len(frequent) + 1)
    out = own[place]
    rest = np.flatnonzero((out == 0) & (place > 0))
    out[rest] = equal_mass(column[rest], BINS) + 1 + len(frequent)
    return out, len(frequent) + BINS + 1


def crossed(coded: Sequence[Coded]) -> Coded:
    """The cell of each row in all of these columns, and how many cells there could be."""
    cell, size = coded[0]
    for code, more in coded[1:]:
        cell, size = cell * more, size * more
        cell += code
    return cell, size


def ranks(column: Floats) -> tuple[Ints, Floats]:
    """Each entry's rank among the distinct values, from 1, 0 for missing; and these in order.

    Values are told apart by a hash table and only the distinct ones are sorted.
    """
    import numpy as np
    import pandas as pd

    found, values = pd.factorize(column)
    order = np.argsort(values)
    rank = np.zeros(len(values) + 1, dtype=np.int64)  # -1, which stands for missing, finds the last
    rank[order] = np.arange(1, len(values) + 1)
    return rank[found], values[order]


def values_of(
    table: pa.Table, definition: Definition
) -> tuple[Floats, tuple[tuple[str, ...], ...]]:
    """Features as numbers, shape (rows, features), and the categories that codes stand for."""
    import numpy as np
    import pyarrow.compute as pc

    out = np.empty((table.num_rows, len(definition.features)), order="F")  # read by column
    categories: list[tuple[str, ...]] = []
    for i, (name, kind) in enumerate(definition.features.items()):
        column: Any = table[name]
        known: tuple[str, ...] = ()
        if kind == "category":
            coded = pc.dictionary_encode(column.combine_chunks())
            known, column = tuple(coded.dictionary.to_pylist()), pc.cast(coded.indices, "float64")
        out[:, i] = pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False)
        categories.append(known)
    return out, tuple(categories)


def outcome_of(objective: str, labels: Floats) -> Ints:
    """Small integers that stand for labels: the class, or the tercile of a target."""
    import numpy as np

    if objective == "regression":
        return equal_mass(labels, TERCILES)
    return labels.astype(np.int64)


def expectation(objective: str, y: Floats, scores: Floats | None) -> tuple[Floats, Floats]:
    """What the label has beyond expectation, and that residual's variance, each shape (rows,)."""
    import numpy as np

    if objective == "multiclass":
        if scores is None:
            scores = np.tile(np.bincount(y.astype(int)) / max(len(y), 1), (len(y), 1))
        hit = scores[np.arange(len(y)), y.astype(np.int64)]
        expected = (scores**2).sum(axis=1)
        return expected - hit, np.maximum((scores**3).sum(axis=1) - expected**2, 1e-6)
    if scores is None:
        scores = np.full(len(y), y.mean() if len(y) else 0.0)
    residual = y - scores
    if objective == "binary":
        return residual, np.maximum(scores * (1 - scores), 1e-6)
    return residual, np.full(len(y), max(float((residual**2).mean()), 1e-12) if len(y) else 1.0)
