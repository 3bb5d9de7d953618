"""A real PostgreSQL for tests: the stack's own, on a free port, in a directory of its own.

>>> def test_something(postgres):                                       # doctest: +SKIP
...     with postgres.connect() as connection: ...
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.local import postgres as local
from infra.local.member import Running
from infra.local.secrets import load
from tests.s3_server import free_ports

READY_SECONDS = 60


class PostgresServer:
    """A running server; ``connect`` enters it as its superuser."""

    def __init__(self, home: Path) -> None:
        (self.port,) = free_ports(1)
        self.password = load(home).postgres
        (home / "logs").mkdir()
        self._running = Running(local.member(home, self.port, load(home)), home / "logs")

    def start(self) -> None:
        self._running.start()
        deadline = time.monotonic() + READY_SECONDS
        while not self._running.check():
            assert time.monotonic() < deadline, self._running.trouble
            time.sleep(0.1)

    def stop(self) -> None:
        self._running.end()

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator[Any]:
        """A cursor whose statements take effect at once."""
        import psycopg2

        opened = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=local.SUPERUSER,
            password=self.password,
            dbname=database,
        )
        with closing(opened) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A running PostgreSQL, the same for all tests of this process."""
    home = tmp_path_factory.mktemp("postgres")
    pass_through(home)
    server = PostgresServer(home)
    server.start()
    yield server
    server.stop()


def pass_through(home: Path) -> None:
    """Started by root, PostgreSQL runs as nobody, who has to get into pytest's directories."""
    if os.geteuid() == 0:
        for directory in (home, *home.parents):
            if not directory.stat().st_mode & 0o001:
                directory.chmod(directory.stat().st_mode | 0o001)
