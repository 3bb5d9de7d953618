"""Generates the passwords, keys and certificates of the container stack, one file a secret.

    python -m infra.container.credentials infra/credentials

The directory is its owner's alone (mode 0700), so nobody else on the machine gets at a file in it;
the files themselves can be read by the users inside the containers, each of which is given its own
few. Called again it keeps what there is, and renews certificates that end within 30 days.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from infra.container import certificates
from infra.local import postgres, s3
from infra.local.secrets import Secrets, load
from infra.local.servers import mlflow_accounts

DATABASE, DATABASE_PORT = "postgres", 5432  # names and ports inside the container networks
S3_HOST = "s3"


def files(secrets: Secrets) -> dict[str, str]:
    """The content of each file, by its name in ``compose.yaml``."""

    def address(driver: str, user: str, password: str, database: str) -> str:
        return postgres.url(driver, DATABASE_PORT, user, password, database, host=DATABASE)

    mlflow = secrets.postgres_mlflow
    accounts = address("psycopg2", "mlflow", mlflow, "mlflow_auth")
    return {
        "postgres": secrets.postgres,
        "postgres_prefect": secrets.postgres_prefect,
        "postgres_mlflow": mlflow,
        "prefect_database": address("asyncpg", "prefect", secrets.postgres_prefect, "prefect"),
        "mlflow_database": address("psycopg2", "mlflow", mlflow, "mlflow"),
        "prefect_auth": f"ratchet:{secrets.prefect}",
        "mlflow_auth.ini": mlflow_accounts(accounts, secrets.mlflow_admin),
        "mlflow_admin": secrets.mlflow_admin,
        "mlflow_ratchet": secrets.mlflow_ratchet,
        "mlflow_flask": secrets.mlflow_flask,
        "s3_identities.json": s3.identities(secrets),
        "s3_admin": secrets.s3_admin,
        "s3_ratchet": secrets.s3_ratchet,
        "s3_mlflow": secrets.s3_mlflow,
        "s3_sender": secrets.s3_sender,
        "s3_filer": secrets.s3_filer,
    }


def write(directory: Path) -> list[Path]:
    """Write every file; gives their paths.

    Raises:
        StackError: a secret that is there already is empty or short, or others can read it.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    made = {**files(load(directory))}
    made.update(certificates.for_server(directory, S3_HOST))
    for name, text in made.items():
        partial = directory / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        os.chmod(partial, 0o444)  # noqa: PTH101 - the directory keeps others out
        partial.replace(directory / name)
    return [directory / name for name in made]


@click.command(help="Generate what the container stack keeps secret, into DIRECTORY.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def main(directory: Path) -> None:
    """Write the files and say where they are."""
    made = write(directory)
    click.echo(f"{len(made)} files in {directory} (mode 0700). Keep them; they are not in git.")


if __name__ == "__main__":
    main()
