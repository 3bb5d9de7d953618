"""Calls to MLflow that end in bounded time and never tell a secret.

>>> calls = Calls("sqlite:////data/mlflow.db")                        # doctest: +SKIP
>>> calls("open the run", lambda: client.create_run("1"))             # doctest: +SKIP

MLflow waits up to 20 s for a locked SQLite database in each statement and logs a traceback each
time; here a lock is waited for first, for ``patience`` seconds, then reported in one sentence.
"""

from __future__ import annotations

import logging
import re
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from ratchet.errors import NotFound, StorageError

T = TypeVar("T")
logger = logging.getLogger("ratchet.mlflow")
PATIENCE_SECONDS = 10.0
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_TRANSIENT = "TEMPORARILY_UNAVAILABLE"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def secrets_of(uri: str) -> tuple[str, ...]:
    """Every part of an address that must not be shown: user info and the query's values."""
    parts = urlsplit(uri)
    found: list[str] = []
    if "@" in parts.netloc:
        userinfo = parts.netloc.rpartition("@")[0]
        found += [userinfo, userinfo.partition(":")[2]]
    found += [pair.partition("=")[2] for pair in parts.query.split("&")]
    found += [unquote(secret) for secret in found]
    return tuple(sorted({s for s in found if s}, key=len, reverse=True))


def masked(text: object, uri: str) -> str:
    """The text without the secrets of the address."""
    shown = str(text)
    for secret in secrets_of(uri):
        shown = shown.replace(secret, "***")
    return shown


def without_user(uri: str) -> str:
    """The address without user info, fit for a link: it is stored in every decision."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class Calls:
    """Runs actions against one MLflow address.

    Attributes:
        uri: the tracking address; its secrets never appear in an error.
        patience: seconds to wait for a locked database or a server that does not answer. MLflow's
            own wait inside one statement (20 s) comes on top, when the lock is taken just then.
    """

    def __init__(self, uri: str, patience: float = PATIENCE_SECONDS) -> None:
        self.uri = uri
        self.patience = patience

    def __call__(self, what: str, action: Callable[[], T]) -> T:
        """The action's result.

        Args:
            what: what is being done, for the error: ``"open the run"``.

        Raises:
            NotFound: MLflow says that it does not exist.
            StorageError: locked, unreachable, disk full, refused; the sentence says which.
        """
        import sqlalchemy.exc
        from mlflow.exceptions import MlflowException

        deadline, said = time.monotonic() + self.patience, False
        while True:
            self.wait_unlocked(what, deadline)
            try:
                return action()
            except (MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
                # "from None": the chained error would print the address with its password.
                if getattr(error, "error_code", "") == _ABSENT:
                    raise NotFound(self._said(what, error)) from None
                if not _transient(error) or time.monotonic() >= deadline:
                    raise StorageError(self._said(what, error)) from None
                if not said:
                    logger.warning("trying again: %s", self._said(what, error))
                said = True
            time.sleep(0.2)

    def wait_unlocked(self, what: str, deadline: float) -> None:
        """Return once nobody holds the SQLite database.

        Raises:
            StorageError: it was still locked at the deadline (``time.monotonic()``).
        """
        path = self._sqlite_file()
        while path and path.is_file() and _locked(path):
            if time.monotonic() >= deadline:
                raise StorageError(
                    f"could not {what}: the MLflow database {path} was locked for more than "
                    f"{self.patience:g} s; expected it to be free. Another process writes to it: "
                    "end that one, or run this again later; nothing was lost."
                )
            time.sleep(0.05)

    def reach(self) -> None:
        """Return once a database server answers; MLflow itself would try for minutes.

        Raises:
            StorageError: nothing listens there.
        """
        parts = urlsplit(self.uri)
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if not parts.hostname or not port or parts.scheme.startswith("http"):
            return
        deadline = time.monotonic() + self.patience
        while True:
            try:
                socket.create_connection((parts.hostname, port), timeout=self.patience).close()
                return
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise StorageError(
                        f"the MLflow database at {parts.hostname}:{port} does not answer "
                        f"({error}); start it, or correct RATCHET_MLFLOW_URI"
                    ) from None
            time.sleep(0.2)

    def _sqlite_file(self) -> Path | None:
        if not self.uri.startswith("sqlite:///"):
            return None
        return Path(self.uri.removeprefix("sqlite:///").partition("?")[0])

    def _said(self, what: str, error: Exception) -> str:
        text = " ".join(str(error).split())
        said = f"could not {what} in MLflow ({self.uri}): {text[:500]}{_advice(text)}"
        return masked(said, self.uri)


_ADVICE = (
    (r"error code 40[13]", ". Correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
    (
        r"Max retries|refused|timed out|aborted|too many 50\d error|error code 50\d",
        ". Check that the MLflow server is up, then run again: nothing is done twice",
    ),
)


def _advice(text: str) -> str:
    """What to do about a server that does not answer as it should; empty for other errors."""
    return next((said for pattern, said in _ADVICE if re.search(pattern, text)), "")


def _locked(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=0.1, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return "locked" in str(error)  # read-only or damaged: MLflow's own call says so better
    return False


def _transient(error: Exception) -> bool:
    return getattr(error, "error_code", "") == _TRANSIENT or "database is locked" in str(error)


def quiet() -> None:
    """Keep the creation of the database, and tracebacks of what is raised anyway, off the log."""
    for name in ("alembic", "mlflow.store", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
