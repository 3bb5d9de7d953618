"""A range of windows, in order, each one a cycle. Resumable: decided windows are passed over.

>>> backfill("flights", start="2013-03-01", end="2013-06-01", replay="audit-1")  # doctest: +SKIP

With ``replay`` the same cycles run as-of each window in isolation: the pipeline's accepted rows,
decisions and champion stay as they are.
"""

from __future__ import annotations

from prefect import flow

from flows.retrain import run_windows
from tasks import observe, windows
from tasks.workspace import open_workspace


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
    pipeline: str, start: str | None = None, end: str | None = None, replay: str | None = None
) -> dict[str, int]:
    """Run every window of ``[start, end)`` that is not decided yet; all that landed by default.

    Returns how many cycles ended in each outcome.
    """
    workspace = open_workspace(pipeline, replay)
    counts: dict[str, int] = {}
    for decision in run_windows(workspace, windows.undecided(workspace, start, end)):
        counts[decision.outcome] = counts.get(decision.outcome, 0) + 1
    return counts
