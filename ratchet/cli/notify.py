"""``ratchet notify``: does a message arrive?"""

from __future__ import annotations

import sys

import click

from ratchet.cli.look import only_pipeline


@click.command()
@click.option("-p", "--pipeline")
def notify(pipeline: str | None) -> None:
    """Send a test message to every target of a pipeline, and say how that went."""
    from datetime import UTC, datetime

    from ratchet.contracts.notice import of_test
    from ratchet.errors import NotFound
    from tasks.notify import EACH, attempt
    from tasks.workspace import open_workspace

    workspace = open_workspace(only_pipeline(pipeline))
    if not workspace.notifiers:
        raise NotFound(
            f"{workspace.name}: nobody is told: neither [notify] webhook in its file nor "
            "RATCHET_NOTIFY_URLS in the environment"
        )
    notice, trouble = of_test(workspace.name, datetime.now(UTC)), ""
    for target in workspace.notifiers:
        said = attempt(target, notice, EACH)
        trouble = trouble or said
        click.echo(f"{target.name}: {said or 'sent'}")
    if trouble:
        sys.exit(1)
