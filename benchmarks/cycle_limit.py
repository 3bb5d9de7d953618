"""The physical limit of a cycle: read the rows from Parquet, train the boosters, nothing else.

>>> write_rows(labelled, definition, cut, directory)                  # doctest: +SKIP
>>> show(limit(directory, definition, recipes))                        # doctest: +SKIP

Bare pyarrow, NumPy and XGBoost with the recipes' own parameters: no digest, no join, no check, no
report, no registry. What a whole cycle takes beyond this is the price of its promises.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.contracts.columns import EVENT, LABEL

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.recipes import Recipe
    from ratchet.self_train import Cut, Labelled

OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}


@dataclass
class Seconds:
    """Wall and CPU seconds by stage, in the order in which they ran."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside; CPU counts every thread of the process."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] = time.perf_counter() - wall
        self.cpu[name] = time.process_time() - cpu


def write_rows(labelled: Labelled, definition: Definition, cut: Cut, directory: Path) -> int:
    """Write the training rows with their labels, one file for each window; returns their number.

    Not timed: it gives the limit the very rows that the cycle trains on, in as many files.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, y = labelled.between(-(2**62), cut.train_before)
    table = rows.select([EVENT, *definition.features]).append_column(LABEL, pa.array(y))
    events = table[EVENT].to_numpy()
    directory.mkdir(parents=True, exist_ok=True)
    for window in definition.calendar.between(int(events[0]), cut.train_before):
        first, end = events.searchsorted(window.start), events.searchsorted(window.end)
        part = table.slice(int(first), int(end - first))
        pq.write_table(part, directory / f"{window.index:08d}.parquet")
    return int(table.num_rows)


def limit(directory: Path, definition: Definition, recipes: Sequence[Recipe]) -> Seconds:
    """Read the rows that :func:`write_rows` wrote and train a booster for each of the recipes."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import xgboost as xgb

    seconds, train = Seconds(), definition.train
    with seconds.stage("read"):
        table = pq.read_table(directory)
    with seconds.stage("encode"):
        matrix = np.empty((table.num_rows, len(definition.features)), dtype=np.float32)
        for i, (name, kind) in enumerate(definition.features.items()):
            column = table[name]
            if kind == "category":
                values = pc.unique(column).drop_null().sort()
                column = pc.index_in(column, value_set=values)
            matrix[:, i] = column.to_numpy()
        labels, events = table[LABEL].to_numpy(), table[EVENT].to_numpy()
        end = definition.calendar.window_of(int(events[-1])).end
    types = ["c" if kind == "category" else "q" for kind in definition.features.values()]
    for recipe in recipes:
        with seconds.stage(f"train {recipe.name}"):
            windows = recipe.history
            first = (
                0 if windows is None else events.searchsorted(end - windows * _length(definition))
            )
            weights = None
            if recipe.half_life is not None:
                weights = np.exp2(-(end - events[first:]) / _length(definition) / recipe.half_life)
            data = xgb.QuantileDMatrix(
                matrix[first:],
                labels[first:],
                weight=weights,
                feature_types=types,
                enable_categorical=True,
                max_bin=recipe.max_bin,
                nthread=train.threads,
            )
            chosen = recipe.model_dump(exclude={"name", "history", "half_life", "rounds", "every"})
            chosen |= {"objective": OBJECTIVES[definition.label.objective], "tree_method": "hist"}
            chosen |= {"seed": train.seed, "nthread": train.threads}
            if definition.label.objective == "multiclass":
                chosen["num_class"] = len(definition.label.classes)
            xgb.train(chosen, data, recipe.rounds).save_raw("ubj")
    return seconds


def show(seconds: Seconds) -> None:
    """Print one line a stage, and the sum."""
    print(f"{'stage':28}{'wall s':>10}{'CPU s':>10}")
    for name, wall in seconds.wall.items():
        print(f"{name:28}{wall:10.3f}{seconds.cpu[name]:10.3f}")
    print(f"{'sum':28}{sum(seconds.wall.values()):10.3f}{sum(seconds.cpu.values()):10.3f}")


def _length(definition: Definition) -> int:
    return definition.calendar.length
