"""``ratchet backfill --policy``: ways to train, side by side on a pipeline's own stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ratchet.cli.screen import DecisionPrinter
from ratchet.settings import quiet_logs

if TYPE_CHECKING:
    from ratchet.self_train import Score


def run_policies(
    pipeline: str, names: Sequence[str], start: str | None, end: str | None, *, as_json: bool
) -> None:
    """Replay the windows under each policy, or what is left of them, and print the table."""
    quiet_logs()  # before Prefect is imported, which looks for its directory
    from flows.retrain import run_windows
    from tasks import decisions
    from tasks.policies import compare, under
    from tasks.windows import undecided
    from tasks.workspace import open_workspace

    played = []
    for name in names:
        workspace = under(open_workspace(pipeline), name)
        left = undecided(workspace, start, end)
        click.echo(f"{name}: {len(left)} windows to replay", err=True)
        with DecisionPrinter(total=len(left), as_json=as_json) as printer:
            for decision in run_windows(workspace, left):
                printer.show(decision)
        played.append((name, workspace, decisions.done(workspace)))
    scores = compare(played)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in scores]))
    else:
        show(scores)


def show(scores: Sequence[Score]) -> None:
    """Print a line a policy."""
    from rich.console import Console
    from rich.table import Table

    windows = scores[0].windows
    table = Table(title=f"Mean loss over the {windows} windows that all can be judged on")
    table.add_column("policy")
    for column in ("served", "first champion", "newest candidate", "promoted"):
        table.add_column(column, justify="right")
    for column in ("CPU s", "training", "avoided"):
        table.add_column(column, justify="right")
    for one in scores:
        losses = (one.served, one.frozen, one.newest)
        shown = [f"{value:.4f}" if windows else "-" for value in losses]
        bill = [f"{one.bill[name]:.0f}" for name in ("cpu", "training", "avoided")]
        table.add_row(one.policy, *shown, str(one.promoted), *bill)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # whole words in files and pipes
    console.print(table)
