"""A year of flights through the whole loop: what served each week, how well, and what it cost.

    make bench-year                                # as shipped, and with the standard mixture

Undamaged weeks, no server, no reports: ``ratchet backfill flights --policy ...`` in a scratch
directory. :mod:`tasks.policies` says how a week is scored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import flights_scratch
from ratchet.settings import prepare_environment, quiet_logs


def main() -> None:
    """Run the year under each policy and print the table."""
    prepare_environment()
    quiet_logs()
    from ratchet.contracts.recipes import POLICIES
    from tasks.policies import compare, under

    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--policies", nargs="+", choices=POLICIES, default=["declared", "mixture"])
    asked.add_argument("--weeks", type=int, default=None)
    given = asked.parse_args()
    from flows.retrain import run_windows
    from ratchet.cli.policies import show
    from tasks import windows

    played = []
    with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        landed = flights_scratch.workspace(Path(scratch), given.weeks)
        for policy in given.policies:
            workspace, made = under(landed, policy), []
            for decision in run_windows(workspace, windows.undecided(workspace, None, None)):
                made.append(decision)
                told = f"\r{policy} {decision.window} {decision.outcome:10}"
                print(told, end="", file=sys.stderr, flush=True)
            played.append((policy, workspace, made))
        show(compare(played))


if __name__ == "__main__":
    main()
