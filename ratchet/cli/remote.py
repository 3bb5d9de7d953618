"""Runs a deployment on the Prefect server that this shell points at, and follows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from uuid import UUID

POLL_SECONDS = 2.0


def run_remote(deployment: str, parameters: dict[str, Any]) -> None:
    """Start a run of ``flow/name`` there and print its progress until it ends.

    Interrupted, it stops following; the run goes on.

    Raises:
        click.ClickException: no server is configured or it does not know the deployment, or the run
            did not complete.
    """
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    if not PREFECT_API_URL.value():
        raise click.ClickException(
            "--remote needs a Prefect server: source the credentials that 'make up' printed, or "
            "set PREFECT_API_URL"
        )
    given = {name: value for name, value in parameters.items() if value is not None}
    try:
        run: Any = run_deployment(deployment, parameters=given, timeout=0)
    except ObjectNotFound:
        raise click.ClickException(
            f"deployment {deployment!r} is not known to {PREFECT_API_URL.value()}: add it to "
            "prefect.yaml and run 'prefect deploy --all'"
        ) from None
    click.echo(f"{PREFECT_UI_URL.value() or ''}/runs/flow-run/{run.id}")
    try:
        with get_client(sync_client=True) as client:
            _follow(client, run.id)
    except KeyboardInterrupt:
        click.echo(f"The run goes on. To end it: prefect flow-run cancel {run.id}")


def _follow(client: Any, run_id: UUID) -> None:
    said = ""
    while True:
        run = client.read_flow_run(run_id)
        now = _progress(client, run_id) or str(run.state_name)
        if now != said:
            click.echo(f"  {now}")
            said = now
        if run.state is not None and run.state.is_final():
            click.echo(f"{run.name}: {run.state_name}. {run.state.message or ''}")
            if not run.state.is_completed():
                raise click.ClickException("the run did not complete; what was decided stays")
            return
        time.sleep(POLL_SECONDS)


def _progress(client: Any, run_id: UUID) -> str | None:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    found = client.read_artifacts(artifact_filter=mine)
    shown = [a.description for a in found if a.type == "progress"]
    return str(shown[0]) if shown and shown[0] else None
