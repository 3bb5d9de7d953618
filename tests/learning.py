"""A small stream whose truth is known, and a pipeline for it; shared by the tests of learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ratchet import self_train
from ratchet.contracts.bundle import Bundle
from ratchet.contracts.columns import EVENT, KEY, KNOWN, LABEL
from ratchet.contracts.definition import Definition, parse
from ratchet.contracts.recipes import Recipe

TEXT = """
name = "toy"
[source]
landing = "landing"
labels = "labels/**"
key = ["id"]
[time]
column = "at"
kind = "integer"
window = 100
[label]
column = "y"
objective = "{objective}"
classes = {classes}
delay = {delay}
[features]
x = "number"
z = "number"
kind = "category"
[validate]
suite = "toy.json"
[train]
seed = 7
threads = 1
min_rows = 50
{train}
[[recipes]]
name = "all"
rounds = 12
max_depth = 3
[[recipes]]
name = "recent"
rounds = 12
max_depth = 3
history = 2
[[recipes]]
name = "decayed"
rounds = 12
max_depth = 3
half_life = 2
[drift]
sample = 1000
[gate]
resamples = 400
min_rows = 100
floor = {floor}
{gate}
"""
CLASSES = {"binary": "[0, 1]", "multiclass": '["a", "b", "c"]', "regression": "[]"}


def definition(
    objective: str = "binary",
    delay: int = 100,
    train: str = "",
    gate: str = "",
    floor: float = 0.5,
) -> Definition:
    """The toy pipeline: windows of 100 ticks, labels one window late."""
    return parse(
        TEXT.format(
            objective=objective,
            classes=CLASSES[objective],
            delay=delay,
            train=train,
            gate=gate,
            floor=floor,
        )
    )


def stream(
    rows: int = 2000, ticks: int = 1000, seed: int = 0, objective: str = "binary"
) -> tuple[pa.Table, np.ndarray[Any, Any]]:
    """Rows in order of event time, and the true label of each."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=rows), random.normal(size=rows)
    kind = random.choice(["a", "b", "c"], rows)
    signal = 1.5 * x + (kind == "a") - 0.3 * z + random.logistic(size=rows)
    if objective == "binary":
        y = (signal > 0.3).astype(float)
    elif objective == "multiclass":
        y = np.digitize(signal, [-1.0, 1.0]).astype(float)
    else:
        y = signal
    event = np.sort(random.integers(0, ticks, rows))
    table = pa.table(
        {
            KEY: pa.array([f"k{i}" for i in range(rows)]),
            EVENT: pa.array(event, pa.int64()),
            KNOWN: pa.array(event, pa.int64()),
            "x": x,
            "z": z,
            "kind": pa.array(kind.tolist()),
        }
    )
    return table, y


def labels_of(rows: pa.Table, y: Any, delay: int = 100) -> pa.Table:
    """A label for each row, known ``delay`` ticks after its event."""
    known = rows[EVENT].to_numpy() + delay
    return pa.table({KEY: rows[KEY], KNOWN: known, LABEL: np.asarray(y, dtype=float)})


def prepare(
    pipeline: Definition, rows: pa.Table, labels: pa.Table, as_of: int
) -> tuple[self_train.Labelled, self_train.Cut, self_train.History]:
    """Join, cut and encode."""
    labelled = self_train.join_labels(pipeline, rows, labels, as_of)
    cut = self_train.split(pipeline, as_of, labelled.events)
    return labelled, cut, self_train.encode_history(pipeline, labelled, cut.train_before)


def by_name(pipeline: Definition, name: str) -> Recipe:
    """The recipe of this name."""
    return next(r for r in pipeline.recipes if r.name == name)


def candidate(pipeline: Definition, history: self_train.History, recipe: str = "all") -> Bundle:
    """A trained bundle of one recipe."""
    chosen = by_name(pipeline, recipe)
    training = self_train.training_set(history, pipeline, chosen)
    return self_train.bundle_of(
        training,
        self_train.train(training, pipeline, chosen),
        pipeline,
        chosen,
        self_train.Query("900", 1000, 3, 4, code_digest="c0de", parent=None),
    )
