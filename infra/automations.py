"""What the Prefect server does by itself: a run that gives no sign of life is marked Crashed.

    python -m infra.automations        # with PREFECT_API_URL set; run again it changes nothing

A flow process that is killed is seen by its worker at once; when the worker (or the machine) dies
too, nothing tells the server, and the run would keep its deployment's only slot for ever
(PrefectHQ/prefect#7239). Runs send a heartbeat each :data:`BEAT_SECONDS`; any event of the run is a
sign of life, so a named final state such as ``Blocked`` ends the watch too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ratchet.settings import prepare_environment

if TYPE_CHECKING:
    from prefect.events.schemas.automations import AutomationCore

BEAT_SECONDS = 30  # the least that Prefect allows; PREFECT_FLOWS_HEARTBEAT_FREQUENCY of the worker
SILENT_SECONDS = 90  # more than two beats may be late on a busy machine
NAME = "A run without a sign of life has crashed"


def silent_runs_crash() -> AutomationCore:
    """The automation: no event of a run for :data:`SILENT_SECONDS` after one that said it lives."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    return AutomationCore(
        name=NAME,
        description="Its worker or machine died. The slot is free, and the deployment runs again.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            after={
                "prefect.flow-run.heartbeat",
                "prefect.flow-run.Pending",
                "prefect.flow-run.Running",
            },
            expect={"prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                force=False,
                state=StateType.CRASHED,
                message=f"No sign of life for {SILENT_SECONDS} s: its worker or machine died.",
            )
        ],
    )


def apply() -> None:
    """Create the automation on the server, or bring it up to date."""
    from prefect.client.orchestration import get_client

    wanted = silent_runs_crash()
    with get_client(sync_client=True) as client:
        known = client.read_automations_by_name(NAME)
        if known:
            client.update_automation(known[0].id, wanted)
        else:
            client.create_automation(wanted)


if __name__ == "__main__":
    prepare_environment()
    apply()
