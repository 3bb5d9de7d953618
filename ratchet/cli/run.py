"""``ratchet retrain`` and ``ratchet backfill``: run the loop."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

import click

from ratchet.cli.screen import DecisionPrinter, json_line, summary
from ratchet.contracts.recipes import POLICIES
from ratchet.settings import quiet_logs

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision


@click.command()
@click.argument("pipeline")
@click.argument("window", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the decision as one JSON object.")
def retrain(pipeline: str, window: str | None, as_json: bool) -> None:
    """Run what is due for PIPELINE: every complete window not decided yet, or just WINDOW."""
    from tasks.workspace import open_workspace

    workspace = open_workspace(pipeline)
    if window:
        workspace.calendar.parse(window)  # a wrong time is said here, in our words
    quiet_logs()
    from flows.retrain import retrain as flow
    from tasks.progress import listening

    made: list[Decision] = []
    with listening(made.append):
        flow(pipeline, window)
    for decision in made:
        if as_json:
            click.echo(json_line(decision))
        else:
            DecisionPrinter(total=1).show(decision)


@click.command()
@click.argument("pipeline")
@click.option("--from", "start", help="First time (inclusive); default: the first that landed.")
@click.option("--to", "end", help="Last time (exclusive); default: the newest complete window.")
@click.option(
    "--retrain/--replay",
    "retraining",
    default=True,
    show_default=True,
    help="For good, or as-of each window in isolation.",
)
@click.option("--name", help="Name of the replay; running the same name again resumes it.")
@click.option("--dry-run", is_flag=True, help="Say what would run and cost, and run nothing.")
@click.option("--remote", is_flag=True, help="On the Prefect server, and follow it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a window, on stdout.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(list(POLICIES)),
    help="Replay under this way to train, and print how it did; give it twice to compare.",
)
def backfill(
    pipeline: str,
    start: str | None,
    end: str | None,
    retraining: bool,
    name: str | None,
    dry_run: bool,
    remote: bool,
    as_json: bool,
    policies: tuple[str, ...],
) -> None:
    """Run every undecided window of PIPELINE, in order."""
    if policies:
        if name or dry_run or remote:
            raise click.UsageError("--policy replays here, under its own name: leave out the rest")
        from ratchet.cli.policies import run_policies

        run_policies(pipeline, tuple(dict.fromkeys(policies)), start, end, as_json=as_json)
        return
    if name and retraining:
        raise click.UsageError("--name names a replay: add --replay")
    replay = None if retraining else name or "default"
    if remote:
        quiet_logs()
        from ratchet.cli.remote import run_remote

        asked = {"start": start, "end": end, "replay": replay, "dry_run": dry_run}
        run_remote(f"backfill/{pipeline}", {"pipeline": pipeline, **asked})
        return
    run_backfill(pipeline, start, end, replay, dry_run=dry_run, as_json=as_json)


def warm_up(reports: bool) -> None:
    """Import what the stages need while Prefect's API starts, which takes as long."""
    heavy = ["xgboost", "great_expectations", "mlflow", *(["evidently.presets"] if reports else [])]

    def load() -> None:
        for name in heavy:
            importlib.import_module(name)

    threading.Thread(target=load, daemon=True, name="warm-up").start()


def run_backfill(
    pipeline: str,
    start: str | None,
    end: str | None,
    replay: str | None = None,
    *,
    dry_run: bool = False,
    as_json: bool = False,
) -> list[Decision]:
    """Run a backfill on this machine and print each decision as it is made."""
    from tasks.workspace import open_workspace

    workspace = open_workspace(pipeline, replay)
    quiet_logs()
    from tasks.windows import undecided

    windows = undecided(workspace, start, end)
    if dry_run or not windows:
        from ratchet.register import estimate
        from tasks import decisions

        labels = [workspace.calendar.label(w) for w in windows]
        shown = estimate(decisions.done(workspace, decisions.RECENT), len(windows))
        click.echo("\n".join([shown, *labels]), err=as_json)  # stdout is for JSON alone
        return []
    from flows.backfill import backfill as flow
    from tasks.progress import listening

    warm_up(reports=replay is None)
    made: list[Decision] = []
    with DecisionPrinter(total=len(windows), as_json=as_json) as printer:

        def on_decision(decision: Decision) -> None:
            made.append(decision)
            printer.show(decision)

        with listening(on_decision):
            flow(pipeline, start, end, replay)
    if not as_json:
        summary(made)
    return made
