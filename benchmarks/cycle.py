"""One cycle over a week of flights on a history of 46, against its physical limit, in one run.

    make bench

Server-less, in a warm process: an untimed cycle runs first, so that imports, MLflow's database and
the catch-up over history are not counted. The limit reads the same rows from Parquet and trains the
same boosters with bare XGBoost. Seconds differ from machine to machine; the ratio is what counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import flights_scratch
from benchmarks.cycle_limit import Seconds, limit, write_rows
from ratchet.self_train import moments
from ratchet.settings import prepare_environment, quiet_logs

if TYPE_CHECKING:
    from ratchet.contracts.clock import Window
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.recipes import Recipe
    from tasks.self_train import Evidence

HISTORY = 46  # windows before the one that is measured: about 297,000 rows
REPEATS = 3


def main() -> None:
    """Measure and print the table."""
    prepare_environment()
    with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        quiet_logs()
        measure(Path(scratch))


def measure(scratch: Path) -> None:
    """Catch up untimed, then time ``REPEATS`` cycles, each followed by its limit."""
    from flows.retrain import one_cycle
    from tasks.cycle import peak_mib
    from tasks.self_train import read_evidence

    workspace = flights_scratch.workspace(scratch)
    print(f"catching up over {HISTORY} windows, untimed ...", flush=True)
    for index in (HISTORY - 2, HISTORY - 1):
        one_cycle(workspace, workspace.calendar.window(index))
    for repeat in range(REPEATS):
        window = workspace.calendar.window(HISTORY + repeat)
        wall, cpu = time.perf_counter(), time.process_time()
        decision = one_cycle(workspace, window)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        known = read_evidence(workspace, window)
        folder = scratch / f"limit-{repeat}"
        rows = write_rows(known.labelled, workspace.definition, known.cut, folder)
        bare = limit(folder, workspace.definition, due(workspace.definition, known, window))
        print_table(decision, wall, cpu, bare, rows)
    print(f"peak memory of this process: {peak_mib():,.0f} MiB")


def due(definition: Definition, known: Evidence, window: Window) -> Sequence[Recipe]:
    """What this cycle trains: every recipe, or the members whose turn it is."""
    if definition.mixture is None:
        return definition.recipes
    planned = moments(definition.mixture.members, definition, known.labelled, known.cut, window.end)
    return [moment.member for moment in planned if moment.as_of == window.end]


def print_table(decision: object, wall: float, cpu: float, bare: Seconds, rows: int) -> None:
    """One line a stage of the cycle beside the limit's, and the ratio."""
    seconds = dict(decision.seconds)  # type: ignore[attr-defined]
    seconds["rest of register, lease"] = wall - sum(seconds.values())
    label, outcome = decision.window, decision.outcome  # type: ignore[attr-defined]
    read, trained = bare.wall["read"] + bare.wall["encode"], 0.0
    trained = sum(v for k, v in bare.wall.items() if k.startswith("train"))
    print(f"\n{label}: {outcome}; {rows:,} training rows")
    print(f"  {'stage':26}{'cycle, wall s':>14}{'limit, wall s':>15}")
    for name, value in seconds.items():
        against = f"{read + trained:15.2f}" if name == "self_train" else f"{'':15}"
        print(f"  {name:26}{value:14.2f}{against}")
    total, least = sum(bare.wall.values()), sum(bare.cpu.values())
    print(f"  {'whole':26}{wall:14.2f}{total:15.2f}   ratio {wall / total:.2f} wall")
    print(f"  {'CPU seconds':26}{cpu:14.2f}{least:15.2f}   ratio {cpu / least:.2f} CPU")


if __name__ == "__main__":
    sys.exit(main())
