"""``ratchet rollback``, ``verify`` and ``ui``: the models and their registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import click
from rich.console import Console

from ratchet.cli.look import only_pipeline
from ratchet.settings import quiet_logs


@click.command()
@click.option("-p", "--pipeline")
@click.option("--to", "version", type=int, help="Left out: the champion before this one.")
@click.option("--by", required=True, help="Who decides; recorded.")
@click.option("--reason", required=True, help="Why; recorded.")
def rollback(pipeline: str | None, version: int | None, by: str, reason: str) -> None:
    """Put an earlier champion back, after proving that it loads and predicts."""
    quiet_logs()
    from tasks.notify import tell
    from tasks.rollback import rollback as put_back
    from tasks.workspace import open_workspace

    workspace = open_workspace(only_pipeline(pipeline))
    decision = put_back(workspace, version, by=by, reason=reason)
    tell(workspace)
    click.echo(f"Champion: version {decision.champion_before} -> {decision.champion_after}.")


@click.command()
@click.argument("window", required=False)
@click.option("-p", "--pipeline")
@click.option("--by", required=True, help="Who decides; recorded.")
@click.option("--reason", required=True, help="Why; recorded.")
@click.option("--refuse", is_flag=True, help="Say no instead.")
def approve(window: str | None, pipeline: str | None, by: str, reason: str, refuse: bool) -> None:
    """Approve the candidate of WINDOW (the newest) that waits for a person."""
    quiet_logs()
    from flows.retrain import settle
    from ratchet.cli.screen import line
    from tasks.workspace import open_workspace

    workspace = open_workspace(only_pipeline(pipeline))
    decision = settle(workspace, window, approve=not refuse, by=by, reason=reason)
    Console(highlight=False).print(line(decision))


@click.command()
@click.argument("version", type=int)
@click.option("-p", "--pipeline")
@click.option("--json", "as_json", is_flag=True)
def verify(version: int, pipeline: str | None, as_json: bool) -> None:
    """Rebuild VERSION from its lineage: same rows, same bytes?"""
    from tasks.verify import verify as rebuild
    from tasks.workspace import open_workspace

    evidence = rebuild(open_workspace(only_pipeline(pipeline)), version)
    if as_json:
        click.echo(json.dumps([e.as_json() for e in evidence]))
    else:
        for one in evidence:
            click.echo(f"  {one.verdict:<6} {one.check:<18} {one.arithmetic}")
    if not all(e.verdict.lets_through for e in evidence):
        sys.exit(1)


@click.command()
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
def ui(port: int) -> None:
    """Serve the MLflow UI of this project on loopback, until interrupted."""
    from ratchet.adapters.mlflow_calls import without_user
    from ratchet.settings import mlflow_ui_environment, settings

    where = settings()
    if where.tracking_uri.startswith(("http://", "https://")):
        click.echo(f"MLflow is served already: {without_user(where.tracking_uri)}")
        return
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--default-artifact-root", where.artifact_root.as_uri()),
        *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
    ]
    click.echo(f"MLflow: http://127.0.0.1:{port}  (Ctrl-C ends it)")
    _serve(command, mlflow_ui_environment())
    click.echo("stopped")


def _serve(command: list[str], environment: dict[str, str]) -> None:
    """Run a server until it ends, or Ctrl-C or SIGTERM does; its workers end with it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    # In a session of its own: a signal to its group reaches the workers, and nobody else.
    process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603
    try:
        process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        _end(process)
        signal.signal(signal.SIGTERM, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
