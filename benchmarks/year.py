"""A year of flights through the whole loop: what served each week, how well, and what it cost.

    make bench-year                                # both ways to train, one after the other

Undamaged weeks, no server, no reports. Each week is scored with the champion that served when it
began, once all labels are known: ``served``. ``frozen`` is the first champion all year. ``newest``
is each week's candidate on the week that was held out from it, whether it was promoted or not. All
three over the same weeks: those that had a champion.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import flights_scratch
from ratchet.contracts.recipes import Mixture
from ratchet.settings import prepare_environment, quiet_logs

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace

WAYS = ("recipes", "mixture")


def main() -> None:
    """Run the year each way and print a line each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    asked.add_argument("--weeks", type=int, default=None)
    given = asked.parse_args()
    prepare_environment()
    quiet_logs()
    for way in given.ways:
        with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
            workspace = trained_by(flights_scratch.workspace(Path(scratch), given.weeks), way)
            started = time.process_time()
            made = play(workspace)
            show(way, workspace, made, time.process_time() - started)


def trained_by(workspace: Workspace, way: str) -> Workspace:
    """The pipeline as it is shipped, or with the standard mixture, on a registry of folders."""
    from ratchet.adapters.local_registry import LocalRegistry

    if way == "mixture":
        changed = workspace.definition.model_copy(update={"recipes": (), "mixture": Mixture()})
        workspace = replace(workspace, definition=changed)
    workspace.__dict__["registry"] = LocalRegistry(workspace.settings.state / "registry")
    return workspace


def play(workspace: Workspace) -> list[Decision]:
    """Decide every window, in order."""
    from flows.retrain import run_windows
    from tasks import windows

    made = []
    for decision in run_windows(workspace, windows.undecided(workspace, None, None)):
        made.append(decision)
        print(f"\r{decision.window} {decision.outcome:10}", end="", file=sys.stderr, flush=True)
    return made


def show(way: str, workspace: Workspace, made: list[Decision], cpu: float) -> None:
    """Mean log loss of what served, of the first champion and of the candidates; the bill."""
    served, frozen, newest = losses(workspace, made)
    weeks = sorted(served)
    shared = [w for w in weeks if w in newest]
    bill = {n: sum(d.bill.get(n, 0.0) for d in made) for n in ("training", "avoided")}
    promoted = sum(d.outcome == "promoted" for d in made)
    print(
        f"\n{way}: {len(made)} weeks, {promoted} promoted; log loss over {len(weeks)} weeks: "
        f"served {mean(served, weeks):.4f}, frozen {mean(frozen, weeks):.4f}; over {len(shared)}: "
        f"served {mean(served, shared):.4f}, newest {mean(newest, shared):.4f}; CPU {cpu:.0f} s, "
        f"training {bill['training']:.0f} s, avoided {bill['avoided']:.0f} s",
        flush=True,
    )


def losses(
    workspace: Workspace, made: list[Decision]
) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
    """Window index to mean log loss: of what served, of the first champion, of the candidates."""
    from ratchet.contracts.metrics import row_losses
    from ratchet.contracts.score import predict
    from tasks.self_train import read_evidence

    labelled = read_evidence(workspace, workspace.calendar.window(made[-1].window_index)).labelled
    served: dict[int, float] = {}
    frozen: dict[int, float] = {}
    newest: dict[int, float] = {}
    versions = [d.champion_after for d in made if d.champion_after is not None]
    for decision, before in zip(made[1:], made, strict=False):
        window = workspace.calendar.window(decision.window_index)
        rows, labels = labelled.between(window.start, window.end)
        if "loss" in decision.candidate and decision.lineage is not None:
            held_out = workspace.calendar.window_of(decision.lineage.train_before).index
            newest[held_out] = decision.candidate["loss"]
        if before.champion_after is None or not rows.num_rows:
            continue
        for found, version in ((served, before.champion_after), (frozen, versions[0])):
            scores = predict(workspace.registry.load(workspace.name, version), rows)
            found[window.index] = float(row_losses("binary", labels, scores).mean())
    return served, frozen, newest


def mean(found: dict[int, float], weeks: list[int]) -> float:
    """Over these weeks, each counted once; not a number where there are none."""
    return math.fsum(found[w] for w in weeks) / len(weeks) if weeks else math.nan


if __name__ == "__main__":
    main()
