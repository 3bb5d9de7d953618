"""What the whole shield costs for one week of flights, on 10 and on 50 windows of history.

    make bench-shield-cost

One process, one champion, the same tables that the loop writes: rows and labels of the window are
judged as a cycle judges them (suite, columns, quotas, comparison, look-back, accounts), then the
gate's probe is asked about a candidate. History is written unjudged, because only its length
matters here. CPU seconds of all threads, the median of several runs in tables of their own; a
first window is judged untimed, so that imports are not counted. On shared cores, and from one
machine to the next, the same work takes more or fewer CPU seconds: so the load is printed, and
beside the shield a yardstick, a plain XGBoost model (100 rounds, depth 6, one thread) trained on
the labelled rows of the window before. What can be compared between machines is their ratio.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import flights_scratch
from ratchet.settings import prepare_environment, quiet_logs

if TYPE_CHECKING:
    from tasks.cycle import Cycle
    from tasks.workspace import Workspace

WARM = 1  # windows judged before the timed one
YARDSTICK = "yardstick"


@contextmanager
def timed(bill: dict[str, float], name: str) -> Iterator[None]:
    """Add the CPU seconds of what runs inside."""
    started = time.process_time()
    yield
    bill[name] = bill.get(name, 0.0) + time.process_time() - started


def main() -> None:
    """Measure each length of history and print a table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--history", type=int, nargs="+", default=[10, 50], help="windows")
    asked.add_argument("--runs", type=int, default=3)
    given = asked.parse_args()
    prepare_environment()
    quiet_logs()
    print(f"{'windows of history':<20}{'rows':>8}  CPU s per 10,000 rows, median of {given.runs}")
    for windows in given.history:
        shares = [_shares(windows) for _ in range(given.runs)]
        parts = {name: median(of[name] for of in shares) for name in shares[0]}
        said = ", ".join(f"{name} {parts[name]:.2f}" for name in list(parts)[1:])
        totals = sorted(sum(of.values()) - of["rows"] - of[YARDSTICK] for of in shares)
        print(
            f"{windows:<20}{parts['rows']:>8,.0f}  {median(totals):.2f} ({totals[0]:.2f} to "
            f"{totals[-1]:.2f}): {said}; {median(totals) / parts[YARDSTICK]:.1f} yardsticks; "
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
            flush=True,
        )


def _shares(windows: int) -> dict[str, float]:
    """Rows of the timed window, and CPU seconds per 10,000 of them by part."""
    with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        rows, bill = measure(Path(scratch), windows)
    return {"rows": rows, **{name: 1e4 * seconds / rows for name, seconds in bill.items()}}


def measure(scratch: Path, windows: int) -> tuple[int, dict[str, float]]:
    """Rows of the timed window, and CPU seconds by part of the shield."""
    from ratchet.contracts.seams import ModelVersion
    from tasks.cycle import Cycle
    from tasks.ingest import take_in
    from tasks.self_train import self_train

    workspace = flights_scratch.workspace(scratch, windows + WARM + 1)
    take_in(workspace)
    _history(workspace, windows)
    learner = Cycle(workspace, workspace.calendar.window(_first(workspace) + windows - 1))
    self_train.fn(learner)
    champion = learner.candidates[learner.chosen or ""]
    version = ModelVersion("flights", 1, "run", "key", {}, ("champion",))
    bill: dict[str, float] = {}
    rows = 0
    for index in range(windows, windows + WARM + 1):
        window = workspace.calendar.window(_first(workspace) + index)
        # Opened anew: a scheduled run is a process of its own and remembers no read of others.
        fresh = replace(workspace)
        cycle = Cycle(fresh, window, champion=version, champion_bundle=champion)
        bill.clear()
        rows = _judge(cycle, bill)
    cycle.candidates, cycle.chosen, cycle.cut = learner.candidates, learner.chosen, learner.cut
    from tasks.gate import _probe

    with timed(bill, "probe"):
        _probe(cycle)
    _yardstick(cycle, bill)
    return rows, bill


def _judge(cycle: Cycle, bill: dict[str, float]) -> int:
    """Rows and labels of one window, as a cycle judges them."""
    from ratchet.contracts.columns import LANDED, LANDED_LABELS
    from tasks.validate import judge_labels, judge_rows

    workspace, index = cycle.workspace, cycle.window.index
    rows = workspace.landing_tables.read(LANDED, windows=(index, index + 1))
    labels = workspace.landing_tables.read(LANDED_LABELS, windows=(index, index + 1))
    with timed(bill, "rows (suite, columns)"):
        judge_rows(cycle, cycle.window, rows)
    with timed(bill, "labels (comparison, look-back)"):
        judge_labels(cycle, cycle.window, labels)
    return int(rows.num_rows)


def _yardstick(cycle: Cycle, bill: dict[str, float]) -> None:
    """Time the training of a plain model on the labelled rows of the window before."""
    import numpy as np
    import xgboost as xgb

    from ratchet.contracts.score import encode
    from tasks.labelled import labelled

    last = cycle.window.index - 1  # the newest whose labels have come
    rows, labels = labelled(cycle, cycle.window, (last, last), None)
    assert cycle.champion_bundle is not None
    manifest = cycle.champion_bundle.manifest
    known = np.isfinite(labels)
    values = encode(rows, manifest.features, manifest.categories)[known]
    options = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    with timed(bill, YARDSTICK):
        xgb.train(options, xgb.DMatrix(values, label=labels[known]), num_boost_round=100)


def _first(workspace: Workspace) -> int:
    from ratchet.contracts.columns import LANDED, WINDOW

    found = workspace.landing_tables.read(LANDED, columns=[WINDOW])[WINDOW]
    return int(min(found.unique().to_pylist()))


def _history(workspace: Workspace, windows: int) -> None:
    """Rows and labels of the first windows as if each had been accepted by a cycle of its own."""
    from ratchet.contracts.columns import ACCEPTED, LABELS, LANDED, LANDED_LABELS
    from ratchet.contracts.seams import Append

    first = _first(workspace)
    for index in range(first, first + windows):
        for source, target in ((LANDED, ACCEPTED), (LANDED_LABELS, LABELS)):
            rows = workspace.landing_tables.read(source, windows=(index, index + 1))
            if rows.num_rows:
                workspace.tables.append(Append(target, rows, f"validate/{index}/{target}"))


if __name__ == "__main__":
    main()
