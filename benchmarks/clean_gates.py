"""How often do the gate's searches stop what is clean? Leaks, shortcuts and weak slices.

    make bench-clean-gates        # BANK=FILE adds bank calls

A clean year of flights, bank calls and three of River's generators through the whole loop with
``gate.shortcuts`` and ``gate.discover``. Nothing is tampered with, so whatever one of them blocks
is a false alarm; of the other gates the number of candidates that they stopped is printed beside.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import engine_streams as streams
from benchmarks import flights_scratch
from benchmarks.moved import table_of, workspace_of
from ratchet.contracts.evidence import Verdict
from ratchet.settings import prepare_environment, quiet_logs
from tests.streams import quick

if TYPE_CHECKING:
    from tasks.workspace import Workspace

SEARCHES = ("gate.shortcut", "gate.discovered", "gate.watched")
GENERATORS = ("sea", "hyperplane", "prior")


def main() -> None:
    """Print a line a stream."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    asked.add_argument("--streams", nargs="+", default=["flights", "bank", *GENERATORS])
    given = asked.parse_args()
    prepare_environment()
    quiet_logs()
    print(
        f"| stream | candidates | {' | '.join(SEARCHES)} | wait for a person | stopped by others |"
    )
    print("|---|---|" + "---|" * (len(SEARCHES) + 2))
    with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        for name, space in _spaces(Path(scratch), Path(given.bank), given.streams):
            print(f"| {name} | {play(space)} |", flush=True)


def _spaces(scratch: Path, bank: Path, names: Sequence[str]) -> Iterator[tuple[str, Workspace]]:
    for name in names:
        home = scratch / name
        home.mkdir()
        if name == "flights":
            yield name, quick(flights_scratch.workspace(home))
        elif name != "bank" or bank.is_file():
            stream = streams.bank(bank) if name == "bank" else streams.STREAMS[name](seed=21)
            yield name, workspace_of(home, table_of(stream, windows=len(stream.windows)))


def play(space: Workspace) -> str:
    """The loop over all of it: candidates, then what each search said of them."""
    from flows.retrain import run_windows
    from tasks import windows

    gate = space.definition.gate.model_copy(update={"shortcuts": True, "discover": True})
    searching = replace(space, definition=space.definition.model_copy(update={"gate": gate}))
    made = list(run_windows(quick(searching), windows.undecided(searching, None, None)))
    candidates = [d for d in made if d.lineage is not None]
    said: dict[str, Counter[str]] = {name: Counter() for name in SEARCHES}
    others: Counter[str] = Counter()
    for decision in candidates:
        for evidence in decision.evidence:
            if evidence.check in said:
                doubt = evidence.details.get("doubt")
                said[evidence.check]["doubt" if doubt else str(evidence.verdict)] += 1
            elif evidence.check.startswith("gate.") and evidence.verdict is Verdict.BLOCK:
                others[evidence.check.removeprefix("gate.")] += 1
    cells = [", ".join(f"{n} {v}" for v, n in said[name].items()) for name in SEARCHES]
    stopped = ", ".join(f"{name} {n}" for name, n in others.most_common()) or "none"
    asked = sum(d.awaits_approval for d in made)
    return " | ".join([str(len(candidates)), *cells, str(asked), stopped])


if __name__ == "__main__":
    sys.exit(main())
