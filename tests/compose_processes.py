"""Runs the services of ``infra/compose.yaml`` as processes, where no container engine is at hand.

Command, environment, secrets and health check of each come from the file, and the environment of
the image from the Dockerfile. What a process cannot have is replaced: the names of containers by
``localhost``, their ports by free ones, ``/run/secrets`` and ``/tmp`` by directories, and
PostgreSQL's own image by the stack's PostgreSQL. So limits, networks and the read-only root are not
part of it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from infra.container import credentials, entrypoint
from infra.local import postgres
from infra.local.member import Member, Running
from infra.local.secrets import load
from tests.postgres_server import pass_through
from tests.s3_server import free_ports

INFRA = Path(__file__).parents[1] / "infra"
PATIENCE_SECONDS = 180.0
INNER = (
    *("s3.port.grpc", "master.port", "master.port.grpc"),
    *("volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"),
)


class Engine:
    """The services of the file, started in the order of their needs.

    Args:
        home: a directory for everything that they write; also the project they work on.
        gateway: where the S3 gateway listens, apart from its inner parts on 127.0.0.1.
    """

    def __init__(self, home: Path, gateway: str = "127.0.0.1") -> None:
        self.home, self.gateway = home, gateway
        self.services: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())[
            "services"
        ]
        names = ("postgres:5432", "s3:8333", "mlflow:5000", "prefect:4200", "127.0.0.1:8080")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.inner = dict(zip(INNER, free_ports(len(INNER)), strict=True))
        self.credentials = home / "credentials"
        credentials.write(self.credentials)
        (home / "tmp").mkdir()
        (home / "data").mkdir()
        (home / "logs").mkdir()
        self.running: dict[str, Running] = {}

    def port(self, service: str) -> int:
        return next(p for name, p in self.ports.items() if name.startswith(f"{service}:"))

    def up(self, *services: str) -> None:
        """Start these and all that they need; each server is healthy, each task done, in turn."""
        for name in services:
            self.up(*(s for s in self.services[name].get("depends_on", {}) if not self._done(s)))
            if not self._done(name):
                self._start(name)

    def down(self) -> None:
        for each in reversed(self.running.values()):
            each.end()

    def environment(self, name: str) -> dict[str, str]:
        """All variables of one service's process."""
        given = {**_image_environment(), **self.services[name].get("environment", {})}
        plain = {key: self._here(str(value), name) for key, value in given.items()}
        plain.update(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        plain.update(RATCHET_HOME=str(self.home))
        return entrypoint.with_secrets(plain, self._secrets(name))

    def command(self, name: str) -> tuple[str, ...]:
        """Program and arguments of one service."""
        return self._words(self.services[name]["command"], name)

    def _words(self, words: list[str], name: str) -> tuple[str, ...]:
        found = [self._here(word, name) for word in words]
        if found[0] == "python":
            found[0] = sys.executable
        if name == "s3" and found[0] == "weed":
            found += [f"-{flag}={port}" for flag, port in self.inner.items()]
        return tuple(found)

    def _start(self, name: str) -> None:
        if name == "postgres":
            return self._postgres()
        if self.services[name]["restart"].startswith("on-failure"):
            done = subprocess.run(
                self.command(name),
                env=self.environment(name),
                cwd=self.home,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
            assert done.returncode == 0, (name, done.stdout[-2000:], done.stderr[-2000:])
            self.running[name] = Running(Member(name, (), {}, _nothing, ""), self.home)
            return None
        healthy = self._words(self.services[name]["healthcheck"]["test"][1:], name)
        environment = self.environment(name)

        def ready() -> None:
            subprocess.run(healthy, env=environment, cwd=self.home, check=True, capture_output=True)

        return self._wait(Member(name, self.command(name), environment, ready, ""))

    def _postgres(self) -> None:
        secrets, port = load(self.credentials), self.port("postgres")
        own = postgres.member(self.home, port, secrets)

        def ready() -> None:
            import psycopg2

            place = {"host": "127.0.0.1", "port": port, "dbname": "postgres"}
            psycopg2.connect(user=postgres.SUPERUSER, password=secrets.postgres, **place).close()

        pass_through(self.home)
        self._wait(dataclasses.replace(own, ready=ready))

    def _wait(self, member: Member) -> None:
        self.running[member.name] = each = Running(member, self.home / "logs")
        each.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not each.check():
            log = (self.home / "logs" / f"{member.name}.log").read_text(errors="replace")
            assert each.alive() and time.monotonic() < deadline, (member.name, log[-3000:])
            time.sleep(0.3)

    def _done(self, name: str) -> bool:
        return name in self.running

    def _secrets(self, name: str) -> Path:
        """The service's own directory of secrets, as its container would see it."""
        place = self.home / "secrets" / name
        place.mkdir(parents=True, exist_ok=True)
        for given in self.services[name].get("secrets", []):
            source = given if isinstance(given, str) else given["source"]
            target = given if isinstance(given, str) else given["target"]
            text = (self.credentials / source).read_text()
            (place / target).write_text(self._here(text, name) if len(text) < 4000 else text)
        return place

    def _here(self, text: str, name: str) -> str:
        """A text of the file as it is on this machine; each part is replaced once."""
        ports = {place.split(":")[1]: port for place, port in self.ports.items()}
        table = {
            r"/run/secrets\b": str(self.home / "secrets" / name),
            r"(?<![\w/])/data\b": str(self.home / "data"),
            r"(?<![\w/])/tmp\b": str(self.home / "tmp"),
            r"\bpostgres:5432\b": f"127.0.0.1:{ports['5432']}",
            r"127\.0\.0\.1:8333\b": f"{self.gateway}:{ports['8333']}",
            r"^postgres$": "127.0.0.1",
            r"(?<=-s3\.ip\.bind=)0\.0\.0\.0": self.gateway,
            r"\b0\.0\.0\.0\b": "127.0.0.1",  # never beyond this machine
            **{
                rf"\b{host}:{number}\b": f"localhost:{ports[number]}"
                for host, number in (place.split(":") for place in self.ports)
                if not host.startswith("127.")
            },
            **{rf"(?:(?<=port=)|(?<=0\.1:)|^){n}\b": str(port) for n, port in ports.items()},
        }
        while "${" in text:  # nobody has set a variable, so the defaults hold
            text = re.sub(r"\$\{\w+:-([^${}]*)\}", r"\g<1>", text)
        every = "|".join(f"({pattern})" for pattern in table)
        values = list(table.values())
        return re.sub(every, lambda found: values[(found.lastindex or 1) - 1], text)


def _image_environment() -> dict[str, str]:
    """The variables that the Dockerfile's last stage sets, without its own paths of programs."""
    text = (INFRA / "Dockerfile").read_text().split("FROM ")[-1]
    block = re.search(r"^ENV (PATH=.*?[^\\])\n(?! )", text, re.S | re.M)
    assert block
    pairs = dict(re.findall(r"(\w+)=(\S+)", block[1]))
    return {name: value for name, value in pairs.items() if name != "PATH"}


_nothing: Callable[[], None] = lambda: None  # noqa: E731
