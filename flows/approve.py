"""A person's word on the candidate that waits for it, from a form in Prefect's UI.

>>> approve("flights", by="operations", reason="checked against last year")   # doctest: +SKIP
"""

from __future__ import annotations

from typing import Literal

from prefect import State, flow

from flows.forms import Person, Pipeline, Reason, Time
from flows.retrain import ended, settle
from tasks import observe
from tasks.workspace import open_workspace, run_patience


@flow(name="approve", flow_run_name="{pipeline} {answer} by {by}", persist_result=False)
@observe.observed
def approve(
    pipeline: Pipeline,
    by: Person,
    reason: Reason,
    answer: Literal["approve", "refuse"] = "approve",
    window: Time | None = None,
) -> State[dict[str, int]]:
    """Approve or refuse the newest candidate that passed every other gate (``gate.approval``).

    Args:
        pipeline: The name of a file in pipelines/, without .toml.
        by: Who decides; it is kept.
        reason: Why; it is kept.
        answer: Approve it, or refuse it.
        window: Any time of the window that is meant. Left out: the newest.
    """
    workspace = open_workspace(pipeline)
    decision = settle(
        workspace,
        window,
        approve=answer == "approve",
        by=by,
        reason=reason,
        patience=run_patience(),
    )
    return ended(workspace, [decision])
