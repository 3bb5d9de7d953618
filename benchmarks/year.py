"""A year of flights through the whole loop: what served each week, how well, and what it cost.

    make bench-year                                # as shipped, and all retrained each week
    python -m benchmarks.year --prices 4e-6 0.05 --policies always declared   # where it pays

Undamaged weeks, no server, no reports: ``ratchet backfill flights --policy ...`` in a scratch
directory. :mod:`tasks.policies` says how a week is scored.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import flights_scratch
from ratchet.settings import prepare_environment, quiet_logs


def main() -> None:
    """Run the year under each policy and print the table."""
    prepare_environment()
    quiet_logs()
    from ratchet.contracts.economics import Economics
    from ratchet.contracts.recipes import POLICIES
    from ratchet.self_train import account, units_of
    from tasks.policies import compare, under

    asked = argparse.ArgumentParser(description=__doc__)
    shipped = ["declared", "full", "shallow"]
    asked.add_argument("--policies", nargs="+", choices=POLICIES, default=shipped)
    asked.add_argument("--weeks", type=int, default=None)
    prices = ("LOSS_WORTH", "CPU_HOUR")
    asked.add_argument("--prices", nargs=2, type=float, metavar=prices, help="[economics]")
    given = asked.parse_args()
    from flows.retrain import run_windows
    from ratchet.cli.policies import show
    from tasks import windows

    played = []
    with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        landed = flights_scratch.workspace(Path(scratch), given.weeks)
        if given.prices:
            worth, hour = given.prices
            update = {"economics": Economics(loss_worth=worth, cpu_hour=hour)}
            landed = replace(landed, definition=landed.definition.model_copy(update=update))
        for policy in given.policies:
            workspace, made = under(landed, policy), []
            for decision in run_windows(workspace, windows.undecided(workspace, None, None)):
                made.append(decision)
                told = f"\r{policy} {decision.window} {decision.outcome:10}"
                print(told, end="", file=sys.stderr, flush=True)
            played.append((policy, workspace, made))
        show(compare(played))
    for policy, _, made in played:
        if units := units_of(made):
            print(policy, {name: float(f"{v:.4g}") for name, v in account(units).items()})


if __name__ == "__main__":
    main()
