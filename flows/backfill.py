"""A range of windows, in order, each one a cycle. Resumable: decided windows are passed over.

>>> backfill("flights", start="2013-03-01", end="2013-06-01", replay="audit-1")  # doctest: +SKIP

With ``replay`` the same cycles run as-of each window in isolation: the pipeline's accepted rows,
decisions and champion stay as they are. Cancelled or killed between any two writes it leaves what
was decided; run again it goes on.
"""

from __future__ import annotations

from prefect import State, flow
from prefect.states import Completed

from flows.forms import Pipeline, Replay, Time
from flows.retrain import ended, run_all
from ratchet.register import estimate
from tasks import decisions, observe, show, windows
from tasks.workspace import open_workspace, run_patience


def run_name() -> str:
    """Pipeline and range, as Prefect's run page shows them."""
    from prefect.runtime import flow_run

    asked = flow_run.parameters
    span = f"{asked.get('start') or 'first'} to {asked.get('end') or 'newest'}"
    replay = f" (replay {asked['replay']})" if asked.get("replay") else ""
    return f"{asked['pipeline']} {span}{replay}"


@flow(name="backfill", flow_run_name=run_name, persist_result=False)
@observe.observed
def backfill(
    pipeline: Pipeline,
    start: Time | None = None,
    end: Time | None = None,
    replay: Replay | None = None,
    dry_run: bool = False,
) -> State[dict[str, int]]:
    """Run every window of ``[start, end)`` that is not decided yet; all that landed by default.

    Returns how many cycles ended in each outcome.

    Args:
        pipeline: The name of a file in pipelines/, without .toml.
        start: First time (inclusive): a date, a UTC time, or a number where the pipeline counts.
            Left out: the first that landed.
        end: Last time (exclusive). Left out: the newest complete window.
        replay: A name: run as-of each window in isolation; the same name again resumes it. Left
            out: for good.
        dry_run: Say which windows would run and what they would cost, and run nothing.
    """
    workspace = open_workspace(pipeline, replay, patience=run_patience())
    chosen = windows.undecided(workspace, start, end)
    if not dry_run:
        return ended(workspace, run_all(workspace, chosen))
    labels = [workspace.calendar.label(window) for window in chosen]
    bill = estimate(decisions.done(workspace, decisions.RECENT), len(chosen))
    show.entitle(f"{pipeline} {run_name().removeprefix(pipeline).strip()}: dry run", ("dry-run",))
    show.summary_table(pipeline, [{"window": label} for label in labels], bill)
    return Completed(message=f"dry run: {bill}", data={})
