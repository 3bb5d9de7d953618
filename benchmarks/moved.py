"""Worlds that turn at once, and labels turned around, where no trusted source can be asked.

    make bench-moved

``ratchet init`` over a stream of River's generators (a window's labels come a window later), then
the whole loop. Rules that change for good at windows 18 and 34 of 40: how many windows are blocked
(``labels.agreement``), with and without ``validate.moved_after``. Labels of which a share is turned
around at random from window 20 on: is any window believed to be a world that moved?
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import engine_streams as streams
from ratchet import profile
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.settings import Settings, prepare_environment, quiet_logs
from tasks.workspace import Workspace
from tests.streams import quick

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision

WINDOWS, LENGTH = 40, 1000
ATTACKED = 20  # first window whose labels are turned around
WORLDS = ("sine", "mixed", "agrawal")
VICTIMS = ("sea", "agrawal", "hyperplane")  # the first concept alone, where there are several
SHARES = (0.35, 0.4, 0.5)
CHECK = "labels.agreement"


@dataclass(frozen=True)
class Seen:
    """Window numbers by what became of them."""

    blocked: list[int]
    believed: list[int]
    promoted: list[int]


def main() -> None:
    """Print both tables."""
    prepare_environment()
    quiet_logs()
    print("| rules change at 18 and 34 | moved_after | blocked | learned from | promoted |")
    print("|---|---|---|---|---|")
    for name in WORLDS:
        stream = streams.STREAMS[name](seed=11)
        for after in (0, 3):
            seen = play(stream, after)
            print(f"| `{name}` | {after} | {_row(seen)} |", flush=True)
    print("\n| turned around from 20 on | share | blocked | learned from | promoted |")
    print("|---|---|---|---|---|")
    for name in VICTIMS:
        stream = streams.STREAMS[name](seed=12)
        if stream.drifts:
            stream = replace(stream, windows=stream.windows[: stream.drifts[0]] * 3)
        for share in SHARES:
            print(f"| `{name}` | {share:g} | {_row(play(stream, 3, share))} |", flush=True)


def _row(seen: Seen) -> str:
    cells = (seen.blocked, seen.believed, seen.promoted)
    return " | ".join(f"{len(c)}: {', '.join(map(str, c))}" if c else "0" for c in cells)


def play(stream: streams.Stream, moved_after: int, share: float = 0.0) -> Seen:
    """The whole loop over the stream, a share of the labels turned around from ATTACKED on."""
    from flows.retrain import run_windows
    from tasks import windows

    with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        space = workspace_of(Path(scratch), table_of(stream, share), moved_after)
        made = list(run_windows(space, windows.undecided(space, None, None)))
    return Seen(
        [d.window_index for d in made if _agreement(d, lambda e: e.verdict is Verdict.BLOCK)],
        [d.window_index for d in made if _agreement(d, lambda e: "foretold" in e.details)],
        [d.window_index for d in made if d.outcome == "promoted"],
    )


def _agreement(decision: Decision, holds: Callable[[Evidence], bool]) -> bool:
    return any(e.check == CHECK and holds(e) for e in decision.evidence)


def table_of(stream: streams.Stream, share: float = 0.0, windows: int = WINDOWS) -> pa.Table:
    """The stream as one table, its windows LENGTH ticks apart."""
    rng, parts = np.random.default_rng(5), []
    for index, window in enumerate(stream.windows[:windows]):
        n, y = len(window.labels), window.labels.astype(np.int64)
        if index >= ATTACKED and share:
            y = np.where(rng.random(n) < share, 1 - y, y)
        columns = {f"f{i}": column.astype(float) for i, column in enumerate(window.matrix.T)}
        times = index * LENGTH + np.sort(rng.integers(0, LENGTH, n))
        keys = [f"{index}-{i}" for i in range(n)]
        parts.append(pa.table({"id": keys, "t": times, **columns, "y": y}))
    return pa.concat_tables(parts)


def workspace_of(scratch: Path, table: pa.Table, moved_after: int = 3) -> Workspace:
    """What ``ratchet init`` makes of the table, in a directory of its own."""
    landing = scratch / "landing"
    landing.mkdir()
    pq.write_table(table, landing / "stream.parquet")
    asked = profile.InitOptions(
        name="stream",
        path=landing,
        is_file=False,
        label="y",
        time="t",
        key="id",
        window=str(LENGTH),
        label_delay=str(LENGTH),
    )
    inferred = profile.infer(table, asked)
    definition = parse(profile.pipeline_toml(inferred))
    validate = definition.validate_.model_copy(update={"moved_after": moved_after})
    definition = definition.model_copy(update={"validate_": validate})
    where = Settings(home=scratch, root=str(scratch / "tables"), state=scratch / "state")
    where.state.mkdir()
    return quick(Workspace(definition, profile.suite_json(inferred, table), where))


if __name__ == "__main__":
    sys.exit(main())
