"""``ratchet``: the command line.

>>> ratchet backfill flights --to 2013-04-23                          # doctest: +SKIP

Errors that Ratchet raises on purpose are printed without a traceback and exit with 2; a lost race
exits with 3.
"""

from __future__ import annotations

import importlib
import sys

import click

from ratchet import __version__, logs
from ratchet.errors import LeaseHeld, RatchetError
from ratchet.settings import prepare_environment

COMMANDS = {
    "init": ("ratchet.cli.start", "init"),
    "demo": ("ratchet.cli.start", "demo"),
    "retrain": ("ratchet.cli.run", "retrain"),
    "backfill": ("ratchet.cli.run", "backfill"),
    "status": ("ratchet.cli.look", "status"),
    "explain": ("ratchet.cli.explain", "explain"),
    "report": ("ratchet.cli.explain", "report"),
    "quarantine": ("ratchet.cli.quarantine", "quarantine"),
    "source": ("ratchet.cli.source", "source"),
    "draw": ("ratchet.cli.draw", "draw"),
    "suite": ("ratchet.cli.suite", "suite"),
    "approve": ("ratchet.cli.models", "approve"),
    "rollback": ("ratchet.cli.models", "rollback"),
    "verify": ("ratchet.cli.models", "verify"),
    "ui": ("ratchet.cli.models", "ui"),
    "notify": ("ratchet.cli.notify", "notify"),
    "metrics": ("ratchet.cli.metrics", "metrics"),
}


class _Lazy(click.Group):
    """Loads a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ratchet")
def ratchet() -> None:
    """Continuous retraining for tabular models that only ever move forward."""
    prepare_environment()
    logs.set_up()


def main() -> None:
    """Entry point of the ``ratchet`` command."""
    try:
        ratchet(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RatchetError as error:
        click.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        sys.exit(3 if isinstance(error, LeaseHeld) else 2)
