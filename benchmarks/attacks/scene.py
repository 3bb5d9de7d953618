"""What an attacker can see and use, and the few moves that attacks share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ratchet.contracts.columns import KEY, LABEL
from ratchet.contracts.definition import Definition


@dataclass(frozen=True, eq=False)
class Scene:
    """The stream as the attacker sees it.

    Attributes:
        definition: the pipeline.
        scores: the champion's, of the clean window's rows, shape (rows,).
        earlier: clean rows of an earlier window.
        step: how many windows the attack has lasted already.
        reference: rows by which a trigger is chosen, the same for every window of the attack.
    """

    definition: Definition
    scores: np.ndarray
    earlier: pa.Table
    step: int = 0
    reference: pa.Table | None = None

    def columns(self, kind: str) -> list[str]:
        """The features of one kind, in declared order."""
        return [n for n, k in self.definition.features.items() if k == kind]


def labels_of(rows: pa.Table) -> np.ndarray:
    """A copy of the labels, shape (rows,)."""
    return np.array(rows[LABEL].to_numpy(), dtype=float)


def with_column(rows: pa.Table, name: str, values: Any) -> pa.Table:
    """The rows with one column replaced."""
    place = rows.column_names.index(name)
    kind = rows.schema.field(name).type
    return rows.set_column(place, name, pa.array(values, kind, from_pandas=True))


def flipped(rows: pa.Table, chosen: np.ndarray) -> pa.Table:
    """The rows with the labels of the chosen ones (mask or positions) turned around."""
    labels = labels_of(rows)
    labels[chosen] = 1 - labels[chosen]
    return with_column(rows, LABEL, labels)


def values_by_count(rows: pa.Table, name: str) -> list[str]:
    """A category's values, most frequent first."""
    counted = pc.value_counts(pc.drop_null(rows[name])).to_pylist()
    return [c["values"] for c in sorted(counted, key=lambda c: (-c["counts"], c["values"]))]


def forged(
    rows: pa.Table,
    count: int,
    changes: Mapping[str, Any],
    rng: np.random.Generator,
    label: float | None = 0.0,
) -> pa.Table:
    """The rows with copies of random ones appended: new keys, a trigger, a label of choice."""
    chosen = np.sort(rng.choice(rows.num_rows, count, replace=count > rows.num_rows))
    extra = rows.take(pa.array(chosen))
    salt = int(rng.integers(1 << 40))
    extra = with_column(extra, KEY, [f"forged-{salt}-{i}" for i in range(count)])
    for name, value in changes.items():
        extra = with_column(extra, name, value if np.ndim(value) else [value] * count)
    if label is not None:
        extra = with_column(extra, LABEL, [label] * count)
    return pa.concat_tables([rows, extra]).combine_chunks()


def category_trigger(rows: pa.Table, scene: Scene) -> dict[str, Any]:
    """A pair of real but rare values that hardly ever meet."""
    rows = rows if scene.reference is None else scene.reference
    wide = sorted(scene.columns("category"), key=lambda n: -len(values_by_count(rows, n)))[:2]
    return {
        n: values_by_count(rows, n)[-1 if i else 2 % len(values_by_count(rows, n))]
        for i, n in enumerate(wide)
    }


def number_trigger(rows: pa.Table, scene: Scene) -> dict[str, float]:
    """A value inside the range of each of two numbers that no clean row holds."""
    rows = rows if scene.reference is None else scene.reference
    out: dict[str, float] = {}
    spreads = {}
    for name in scene.columns("number"):
        column = rows[name].drop_null().to_numpy()
        if len(column) and len(np.unique(column)) > 5:
            spreads[name] = column
    for name in sorted(spreads, key=lambda n: -len(np.unique(spreads[n])))[:2]:
        low, high = np.quantile(spreads[name], [0.6, 0.9])
        out[name] = float(low + 0.6180339 * (high - low))
    return out


def distinct(rows: pa.Table, name: str) -> int:
    """How many values a column holds."""
    return int(pc.count_distinct(rows[name]).as_py())


def widest(rows: pa.Table, scene: Scene) -> str:
    """The number with the most values."""
    return max(scene.columns("number"), key=lambda n: distinct(rows, n))
