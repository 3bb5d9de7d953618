"""Small streams with a known truth, landed as files, for tests of whole cycles."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ratchet.contracts.definition import parse
from ratchet.settings import Settings
from tasks.workspace import Workspace, read_suite

WINDOW = 1000  # ticks of the integer clock
ROWS = 400  # a window

PIPELINE = """
name = "tiny"

[source]
landing = "landing"
features = "features/**"
labels = "labels/**"
key = ["id"]

[time]
column = "t"
kind = "integer"
window = 1000

[label]
column = "y"
objective = "binary"
classes = [0, 1]
delay = 1000

[features]
x = "number"
z = "number"
c = "category"

[validate]
suite = "expectations/tiny.json"
min_rows = 50

[train]
threads = 1
min_rows = 100

[[recipes]]
name = "all_history"
rounds = 12
max_depth = 3

[[recipes]]
name = "recent"
history = 2
rounds = 12
max_depth = 3

[drift]
sample = 200

[gate]
min_rows = 100
blocks = 16
resamples = 400
max_calibration_error = 0.25
slices = ["c"]
slice_min_rows = 80
slice_margin = 0.5
"""

_RECIPES = PIPELINE[PIPELINE.index("[[recipes]]") : PIPELINE.index("[drift]")]
_MEMBERS = """
[[mixture.members]]
name = "anchor"
every = 4
rounds = 12
max_depth = 3

[[mixture.members]]
name = "fresh"
history = 1
rounds = 6
max_depth = 2

"""
# The same pipeline with a mixture instead of recipes.
MIXED = PIPELINE.replace(_RECIPES, _MEMBERS)

SUITE: dict[str, Any] = {
    "name": "tiny",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "x", "min_value": -10, "max_value": 10},
            "meta": {"level": "row", "reason": "x is a standard normal number"},
        },
        {
            "type": "expect_column_mean_to_be_between",
            "kwargs": {"column": "z", "min_value": -1, "max_value": 1},
            "meta": {"level": "batch", "reason": "z is centred"},
        },
    ],
}


def window_rows(index: int, rows: int = ROWS, slope: float = 2.0, seed: int = 7) -> pa.Table:
    """The rows of one window with their labels; ``y`` follows ``x`` with this slope."""
    rng = np.random.default_rng([seed, index])
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    y = rng.random(rows) < 1 / (1 + np.exp(-slope * x))
    times = index * WINDOW + np.sort(rng.integers(0, WINDOW, rows))
    return pa.table(
        {
            "id": [f"k{index}-{i}" for i in range(rows)],
            "t": pa.array(times),
            "x": x,
            "z": z,
            "c": rng.choice(["a", "b"], rows),
            "y": pa.array(y.astype(np.int64)),
        }
    )


def land_window(home: Path, index: int, table: pa.Table | None = None) -> None:
    """Drop one window's features, and its labels, as two files."""
    for key, data in files_of(index, table).items():
        path = home / "landing" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def files_of(index: int, table: pa.Table | None = None) -> dict[str, bytes]:
    """One window's two files, Parquet, by their keys in the landing zone."""
    table = window_rows(index) if table is None else table
    found = {}
    for folder, columns in (("features", ["id", "t", "x", "z", "c"]), ("labels", ["id", "t", "y"])):
        out = io.BytesIO()
        pq.write_table(table.select(columns), out)
        found[f"{folder}/w{index:03d}.parquet"] = out.getvalue()
    return found


def put(home: Path, key: str, table: pa.Table) -> None:
    """Drop one table into the landing zone as Parquet."""
    path = home / "landing" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    pq.write_table(table, out)
    path.write_bytes(out.getvalue())


def land_trusted(home: Path, index: int, rows: int = 120, truth: pa.Table | None = None) -> None:
    """Drop a random sample of a window's rows with their labels, as the independent path does."""
    truth = window_rows(index) if truth is None else truth
    chosen = np.random.default_rng(index).choice(truth.num_rows, rows, replace=False)
    put(home, f"trusted/w{index:03d}.parquet", truth.take(pa.array(np.sort(chosen))))


def land_sources(home: Path, index: int, senders: Mapping[str, int]) -> None:
    """Drop one window's rows as a file a sender (name to count of rows), and its labels as one.

    The files lie where ``features = "features/{source}/**"`` looks for them.
    """
    table, start = window_rows(index, rows=sum(senders.values())), 0
    for sender, count in senders.items():
        put(home, f"features/{sender}/w{index:03d}.parquet", table.slice(start, count).drop(["y"]))
        start += count
    put(home, f"labels/w{index:03d}.parquet", table.select(["id", "t", "y"]))


def project(home: Path, windows: int = 0, pipeline: str = PIPELINE) -> Workspace:
    """A project directory with the tiny pipeline, and this many landed windows."""
    for folder, name, text in (
        ("pipelines", "tiny.toml", pipeline),
        ("expectations", "tiny.json", json.dumps(SUITE)),
    ):
        (home / folder).mkdir(parents=True, exist_ok=True)
        (home / folder / name).write_text(text)
    for index in range(windows):
        land_window(home, index)
    return workspace(home)


def workspace(
    home: Path, replay: str | None = None, pipeline: str = "tiny", **settings: Any
) -> Workspace:
    """The tiny pipeline's workspace, or another's with its suite, built anew from the files."""
    definition = parse((home / "pipelines" / f"{pipeline}.toml").read_text())
    values = {"home": home, "root": str(home / "tables"), "state": home / "state", **settings}
    where = Settings(**values)
    suite = read_suite(home / "expectations" / "tiny.json")
    return Workspace(definition, suite, where, replay)


def copied(home: Path, into: Path) -> Workspace:
    """A copy of a project that has run, on the directory registry and without reports."""
    shutil.copytree(home, into, dirs_exist_ok=True)
    return quick(workspace(into))


def local_registry(space: Workspace) -> Workspace:
    """The same workspace on the directory registry instead of MLflow: starts in no time.

    A replay has one of its own already.
    """
    from ratchet.adapters.local_registry import LocalRegistry

    if space.replay is not None:
        return space
    space.__dict__["registry"] = LocalRegistry(space.settings.state / "registry")
    return space


def no_reports(space: Workspace) -> Workspace:
    """The same workspace with a reporter that draws nothing: Evidently takes seconds."""
    space.__dict__["reporter"] = BlankReporter()
    return space


def quick(space: Workspace) -> Workspace:
    """Directory registry and blank reports."""
    return no_reports(local_registry(space))


@contextmanager
def at_work(home: Path, who: str) -> Iterator[Callable[[], None]]:
    """Another run holds the lease until the block ends, or until what the block gets is called."""
    holds, done = Event(), Event()

    def other() -> None:
        with workspace(home).lease.hold(who):
            holds.set()
            done.wait(20)

    run = Thread(target=other)
    run.start()
    try:
        assert holds.wait(20)
        yield done.set
    finally:
        done.set()
        run.join()


class BlankReporter:
    """Draws an empty page."""

    def draw(self, reference: Any, current: Any, kinds: Any, verdict: str = "") -> Any:
        from ratchet.contracts.seams import Report

        return Report("<html></html>", "{}")
