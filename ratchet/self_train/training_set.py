"""A training set: what the rows say to XGBoost, and the digest that proves which rows they were.

>>> history = encode_history(definition, labelled, cut)                   # doctest: +SKIP
>>> training_set(history, definition, recipe).data_digest[:8]             # doctest: +SKIP
'5f0c8a21'

Promise: history is encoded once for all recipes; each recipe's matrix is a view of it, but for a
short one whose rows lack categories that older rows have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY
from ratchet.contracts.lineage import canonical_json
from ratchet.contracts.metrics import spread
from ratchet.contracts.score import encode
from ratchet.errors import NoCandidate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.recipes import Recipe
    from ratchet.self_train.rows import Labelled

Categories = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class History:
    """All rows before the cut, encoded once, in order of event time.

    Attributes:
        matrix: shape (rows, features), float32; missing is NaN; categories are indexes.
        labels: shape (rows,).
        events: shape (rows,), ascending ticks.
        categories: for each category feature the values that the indexes stand for, sorted.
        labelled: where the rows came from.
        first: which of the labelled rows is the first here.
        train_before: ticks; every event lies before it.
    """

    matrix: NDArray[np.float32]
    labels: NDArray[np.float64]
    events: NDArray[np.int64]
    categories: Categories
    labelled: Labelled
    first: int
    train_before: int
    _digests: dict[int, bytes] = field(default_factory=dict, repr=False)

    def digest_from(self, first: int) -> bytes:
        """SHA-256 over keys, labels, matrix and categories of the rows from ``first`` on."""
        if first not in self._digests:
            state = hashlib.sha256(canonical_json([self.matrix.shape[1], *self._names]).encode())
            positions = self.positions[first:]
            hash_strings(state, self.labelled.rows[KEY], positions)
            for part in (self.labels[first:], self.matrix[first:]):
                state.update(part.view("uint8").data)
            self._digests[first] = state.digest()
        return self._digests[first]

    @property
    def positions(self) -> NDArray[np.int64]:
        """Shape (rows,): where each lies in the table that was joined."""
        return self.labelled.positions[self.first : self.first + len(self.labels)]

    @cached_property
    def _names(self) -> list[object]:
        return [[name, list(values)] for name, values in sorted(self.categories.items())]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What one recipe learns from, in order of event time.

    Attributes:
        matrix: shape (rows, features), float32; missing is NaN; categories are indexes.
        labels: shape (rows,): class index or target, float32.
        weights: shape (rows,), float32; 1 for the newest, never negative.
        features: name to kind, in the order of the matrix's columns.
        categories: for each category feature the values that occur, sorted.
        data_digest: SHA-256 (hex) over keys, labels, weights, matrix and categories, in order.
        train_from: ticks; None for all history.
        train_before: ticks.
        reference: an evenly spaced sample of the rows' raw features, for drift; of true rows alone.
        origin: shape (rows,): where each label is from (0: true, 1: a teacher); None: all true.
    """

    matrix: NDArray[np.float32]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    features: Mapping[str, str]
    categories: Categories
    data_digest: str
    train_from: int | None
    train_before: int
    reference: pa.Table
    origin: NDArray[np.uint8] | None = None

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.labels)

    @property
    def true(self) -> NDArray[np.bool_]:
        """Shape (rows,): which have a true label."""
        import numpy as np

        return np.ones(self.rows, dtype=bool) if self.origin is None else self.origin == 0


def best_constant(labels: NDArray[np.floating], classes: int) -> NDArray[np.float64]:
    """The best score that is the same for every row: the mean label, shape (); class shares, shape
    (classes,), if more than two classes."""
    import numpy as np

    if classes > 2:
        counts = np.bincount(labels.astype(np.int64), minlength=classes)
        return np.asarray(counts / max(len(labels), 1), dtype=np.float64)
    return np.asarray(labels.mean(dtype=np.float64))


def encode_history(
    definition: Definition, labelled: Labelled, before: int, since: int | None = None
) -> History:
    """Every labelled row with an event in ``[since, before)`` as one matrix, column by column.

    ``before`` is the cut, in ticks; ``since`` None: from the first row.

    Category features keep the ``train.max_categories`` most frequent values (ties by value); the
    others count as missing.

    Raises:
        NoCandidate: no row lies there.
        ModelError: a feature's column is missing.
    """
    import numpy as np
    import pyarrow as pa

    found = labelled.within(since, before)
    if found.stop == found.start:
        show = definition.calendar.clock.show
        raise NoCandidate(
            f"no labelled row before {show(before)}: all are held out for the gate; "
            "the next windows bring more"
        )
    positions = labelled.positions[found]
    whole = len(positions) == labelled.rows.num_rows and bool(np.all(np.diff(positions) == 1))
    matrix = np.empty((len(positions), len(definition.features)), dtype=np.float32)
    categories = {}
    for i, (name, kind) in enumerate(definition.features.items()):
        column = labelled.rows.select([name] if name in labelled.rows.column_names else [])
        column = column if whole else column.take(pa.array(positions))
        if kind == "category":
            categories[name] = _frequent(column[name], definition.train.max_categories)
        matrix[:, i : i + 1] = encode(column, {name: kind}, categories)
    labels, events = labelled.labels[found], labelled.events[found]
    return History(matrix, labels, events, categories, labelled, found.start, before)


def training_set(history: History, definition: Definition, recipe: Recipe) -> TrainingSet:
    """The rows, weights and categories of one recipe.

    ``recipe.history`` windows before the cut count (None: all). A row of age a windows weighs
    ``0.5 ** (a / half_life)``, its age counted from the cut.
    """
    import numpy as np

    length = definition.calendar.length
    train_from = None if recipe.history is None else history.train_before - recipe.history * length
    first = 0 if train_from is None else int(history.events.searchsorted(train_from))
    weights = np.ones(len(history.labels) - first, dtype=np.float32)
    if recipe.half_life is not None:
        ages = (history.train_before - history.events[first:]) / length
        weights = np.exp2(-ages / recipe.half_life).astype(np.float32)
    matrix, categories = _own_categories(history, definition.features, first)
    digest = hashlib.sha256(history.digest_from(first))
    digest.update(weights.view("uint8").data)
    return TrainingSet(
        matrix=matrix,
        labels=history.labels[first:].astype(np.float32),
        weights=weights,
        features=definition.features,
        categories=categories,
        data_digest=digest.hexdigest(),
        train_from=train_from,
        train_before=history.train_before,
        reference=reference(history.labelled, history.positions[first:], definition),
    )


def reference(labelled: Labelled, positions: NDArray[np.int64], definition: Definition) -> pa.Table:
    """An evenly spaced sample of the raw features of these rows, at most ``drift.sample``."""
    import pyarrow as pa

    chosen = positions[spread(len(positions), definition.drift.sample)]
    return labelled.rows.select(list(definition.features)).take(pa.array(chosen))


def _own_categories(
    history: History, features: Mapping[str, str], first: int
) -> tuple[NDArray[np.float32], Categories]:
    """The recipe's matrix and the categories that occur in it.

    A value that only older rows hold must be unknown to the model, so that it is scored as missing.
    """
    import numpy as np

    matrix, categories, copied = history.matrix[first:], dict(history.categories), False
    for i, (name, kind) in enumerate(features.items()):
        if kind != "category" or first == 0:
            continue
        codes = matrix[:, i]
        held = np.unique(codes[~np.isnan(codes)]).astype(np.int64)
        known = categories[name]
        if len(held) == len(known):
            continue
        if not copied:
            matrix, copied = matrix.copy(), True
        new = np.full(len(known) + 1, np.nan, dtype=np.float32)
        new[held] = np.arange(len(held))
        matrix[:, i] = new[np.where(np.isnan(codes), len(known), codes).astype(np.int64)]
        categories[name] = tuple(known[j] for j in held)
    return matrix, categories


def _frequent(column: pa.ChunkedArray, most: int) -> tuple[str, ...]:
    import pyarrow.compute as pc

    counted = pc.value_counts(pc.drop_null(column))
    pairs = zip(
        counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
    )
    ranked = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    return tuple(sorted(value for value, _ in ranked[:most]))


def hash_strings(
    state: hashlib._Hash, column: pa.ChunkedArray, positions: NDArray[np.int64]
) -> None:
    """Feed the strings at these positions to a digest, with where each ends."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    taken = pc.cast(column, pa.large_string()).combine_chunks().take(pa.array(positions))
    _, offsets, data = taken.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[: len(taken) + 1]
    state.update(ends.view("uint8").data)
    state.update(memoryview(data)[: int(ends[-1])] if data is not None else b"")
