"""What the search for better hyperparameters gains on a mixture, through the whole loop.

    python -m benchmarks.search_mixture                            # half an hour on one core
    python -m benchmarks.search_mixture --streams flights

Each stream is replayed twice, with ``[search]`` as it stands by default and without: flights as
shipped, River's generators as ``ratchet init`` declares them (labels a window later). Windows are
compared by the loss of their newest candidate on the rows that came after it was trained, and by
that of the champion that served. 95 % intervals over blocks of four windows.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import engine_streams as streams
from benchmarks import flights_scratch, moved
from benchmarks.engine_scores import compare
from ratchet.contracts.search import Search
from ratchet.settings import prepare_environment, quiet_logs

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision
    from ratchet.self_train import Lost
    from tasks.workspace import Workspace

GENERATED = ("sea", "recurring", "hyperplane", "prior")
SEED = 3001
POLICIES = ("unsearched", "declared")


def main() -> None:
    """Print a line a stream."""
    asked = argparse.ArgumentParser(description=__doc__)
    every = ("flights", *GENERATED)
    asked.add_argument("--streams", nargs="+", choices=every, default=every)
    given = asked.parse_args()
    prepare_environment()
    quiet_logs()
    print(
        "| stream | windows | candidate | with the search | difference | served | CPU | changes |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in given.streams:
        with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
            landed = _workspace(Path(scratch), name)
            search = landed.definition.model_copy(update={"search": Search()})
            print(_line(name, replace(landed, definition=search)), flush=True)


def _workspace(scratch: Path, name: str) -> Workspace:
    if name == "flights":
        return flights_scratch.workspace(scratch)
    table = moved.table_of(streams.STREAMS[name](seed=SEED), windows=streams.COUNT)
    return moved.workspace_of(scratch, table)


def _line(name: str, landed: Workspace) -> str:
    from tasks.policies import losses, under

    lost: dict[str, Mapping[int, Lost]] = {}
    made: dict[str, list[Decision]] = {}
    for policy in POLICIES:
        workspace = under(landed, policy)
        made[policy] = _played(name, policy, workspace)
        lost[policy] = losses(workspace, made[policy])
    plain, searched = (lost[policy] for policy in POLICIES)
    both = sorted(plain.keys() & searched.keys())
    newest = [w for w in both if None not in (plain[w].newest, searched[w].newest)]
    before, after = ([side[w].newest or math.nan for w in newest] for side in (plain, searched))
    gain, width = compare(after, before)
    served, around = compare([searched[w].served for w in both], [plain[w].served for w in both])
    training = [sum(d.bill.get("training", 0.0) for d in made[p]) for p in POLICIES]
    trials = sum(d.bill.get("search", 0.0) for d in made["declared"])
    return (
        f"| {name} | {len(newest)} | {_mean(before):.4f} | {_mean(after):.4f} | "
        f"{gain:+.4f} +- {width:.4f} | {served:+.4f} +- {around:.4f} | "
        f"{(training[1] + trials) / training[0]:.2f} | {_changes(made['declared'])} |"
    )


def _played(name: str, policy: str, workspace: Workspace) -> list[Decision]:
    from flows.retrain import run_windows
    from tasks import windows

    made = []
    for decision in run_windows(workspace, windows.undecided(workspace, None, None)):
        made.append(decision)
        told = f"\r{name} {policy} {decision.window} {decision.outcome:10}"
        print(told, end="", file=sys.stderr, flush=True)
    return made


def _changes(made: list[Decision]) -> str:
    """What was adopted, and how much was tried."""
    from ratchet.self_train import State

    state = State.from_json(made[-1].ledger.get("search", {}))
    adopted = "; ".join(f"{c.name} {c.step} at {c.window}" for c in state.changes)
    return f"{state.started} tried: {adopted or 'nothing adopted'}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
