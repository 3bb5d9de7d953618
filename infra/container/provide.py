"""What has to be there before the stack works, made where it is missing; each part runs once.

    python -m infra.container.provide databases postgres 5432
    python -m infra.container.provide buckets https://s3:8333
    python -m infra.container.provide accounts http://mlflow:5000
    python -m infra.container.provide deployments --pool-option=--type --pool-option=process

Secrets come from the environment, where the entry point has put them. Run again, nothing changes.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import click

from infra.local import postgres, s3
from infra.local.secrets import FEWEST, StackError
from infra.local.servers import deploy, mlflow_ready

SIDE_DOORS = (8080, 8888, 9333, 18080, 18888, 19333)  # the S3 server's inner parts, by default


@click.group(help="Set up a part of the stack.")
def main() -> None:
    """Sets nothing up by itself."""


@main.command()
@click.argument("host")
@click.argument("port", type=int)
def databases(host: str, port: int) -> None:
    """Make the roles and databases of Prefect and MLflow."""
    owners = {
        "prefect": _secret("PREFECT_DATABASE_PASSWORD"),
        "mlflow": _secret("MLFLOW_DATABASE_PASSWORD"),
    }
    postgres.provide(host, port, _secret("POSTGRES_PASSWORD"), owners)


@main.command()
@click.argument("endpoint")
def buckets(endpoint: str) -> None:
    """Make the buckets; refuse an S3 server whose inner parts can be reached."""
    check_side_doors(urlsplit(endpoint).hostname or "")
    s3.make_buckets(s3.client(endpoint, "admin", _secret("S3_ADMIN_SECRET_KEY")))
    s3.check_round_trip(s3.client(endpoint, "ratchet", _secret("RATCHET_S3_SECRET_KEY")))


@main.command()
@click.argument("base")
def accounts(base: str) -> None:
    """Make MLflow's user ratchet; refuse a server that answers strangers."""
    mlflow_ready(base, _secret("MLFLOW_ADMIN_PASSWORD"), _secret("MLFLOW_TRACKING_PASSWORD"))


@main.command()
@click.option("--pool-option", "options", multiple=True, help="for 'prefect work-pool create'")
def deployments(options: tuple[str, ...]) -> None:
    """Make the work pool and every deployment of prefect.yaml."""
    deploy(Path.cwd(), os.environ, options)  # noqa: TID251 - passed on as it is


def check_side_doors(host: str, ports: tuple[int, ...] = SIDE_DOORS) -> None:
    """Prove that only the S3 gateway of a server can be reached.

    Raises:
        StackError: another part of it takes connections.
    """
    for port in ports:
        try:
            socket.create_connection((host, port), timeout=3).close()
        except OSError:
            continue
        raise StackError(
            f"S3: {host}:{port} takes connections; its inner parts serve anybody who reaches them, "
            "so they must listen on the server's own 127.0.0.1 (-ip.bind)"
        )


def _secret(name: str) -> str:
    found = os.environ.get(name, "")  # noqa: TID251 - put there by the entry point
    if len(found) < FEWEST:
        raise StackError(
            f"{name}: missing, or shorter than {FEWEST} characters; the stack does not start with "
            "a password that can be guessed"
        )
    return found


if __name__ == "__main__":
    main()
