"""One cycle: one window of one pipeline, through the whole loop.

>>> retrain("flights", "2013-03-05")                                  # doctest: +SKIP

Run again after success it does nothing and says so; after a crash it resumes from what was
committed; of two at once one wins and the other reports that it lost.
"""

from __future__ import annotations

import os
import socket

from prefect import flow

from ratchet.contracts.clock import Window
from ratchet.contracts.lineage import Decision
from tasks import windows
from tasks.cycle import run_stage
from tasks.drift import drift
from tasks.gate import gate
from tasks.ingest import ingest
from tasks.progress import announce
from tasks.recover import already_decided, begin, recover
from tasks.register import register
from tasks.revoke import answer_alarms
from tasks.self_train import self_train
from tasks.validate import validate
from tasks.workspace import Workspace, open_workspace


def one_cycle(workspace: Workspace, window: Window) -> Decision:
    """The loop, for one window. Works inside a Prefect flow run and without one.

    Raises:
        LeaseHeld: another run works on this pipeline.
        Refused: a later window was already decided; use a replay to look at the past.
    """
    with workspace.lease.hold(f"{socket.gethostname()}:{os.getpid()}"):
        recover(workspace)
        answer_alarms(workspace)
        if decided := already_decided(workspace, window):
            return decided
        cycle = begin(workspace, window)
        run_stage(ingest, cycle)
        run_stage(validate, cycle)
        if cycle.may_learn:
            run_stage(self_train, cycle)
            run_stage(drift, cycle)
            run_stage(gate, cycle)
        run_stage(register, cycle)
        answer_alarms(workspace)
        return cycle.concluded()


def run_name() -> str:
    """Pipeline and window, as Prefect's run page shows them."""
    from prefect.runtime import flow_run

    asked = flow_run.parameters
    return f"{asked['pipeline']} {asked.get('window') or 'newest'}"


@flow(name="retrain", flow_run_name=run_name, persist_result=False)
def retrain(pipeline: str, window: str | None = None) -> str:
    """Run one cycle; ``window`` holds any time inside it, the newest complete one by default.

    Returns the outcome: promoted, held, blocked, no_data or error.
    """
    workspace = open_workspace(pipeline)
    chosen = windows.named(workspace, window) if window else windows.newest(workspace)
    decision = one_cycle(workspace, chosen)
    announce(decision)
    return decision.outcome
