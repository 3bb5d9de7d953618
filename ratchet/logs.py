"""Log lines that say which pipeline, window, run and stage they are about.

>>> with about(pipeline="flights", window="2013-03-05"):                # doctest: +SKIP
...     logging.getLogger("ratchet.gate").info("begins")
2026-01-05T06:00:00.123Z INFO    flights 2013-03-05 ratchet.gate: begins

Promise: with ``RATCHET_LOG_FORMAT=json`` each line that Ratchet writes is one JSON object with the
same keys, on standard error; no secret that the settings know of is in it, whatever was logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from ratchet.settings import Settings, settings

ROOT = "ratchet"  # the parent of every logger here
KEYS = ("pipeline", "window", "run_id", "stage")
_ABOUT: ContextVar[Mapping[str, str] | None] = ContextVar("about", default=None)
_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_RUN_SHOWN = 8  # characters of a run's id in a line for people
_SHORTEST = 6  # characters; a shorter secret would blacken half of each line


@contextmanager
def about(**facts: str) -> Iterator[None]:
    """Every line inside the block carries these facts: pipeline, window, run_id, stage."""
    token = _ABOUT.set({**(_ABOUT.get() or {}), **facts})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def context() -> dict[str, str]:
    """What lines are about here; outside a flow run the run is this process."""
    found = _ABOUT.get() or {}
    return {key: found.get(key, "") for key in KEYS} | {"run_id": found.get("run_id") or _run()}


@lru_cache(maxsize=1)
def _run() -> str:
    return str(uuid.uuid4())


class AddContext(logging.Filter):
    """Gives each record of a handler what it is about; lets all through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the keys as attributes, where the caller has not."""
        for key, value in context().items():
            if not hasattr(record, key):
                setattr(record, key, value)
        return True


class Masked(logging.Formatter):
    """Text without the secrets of the settings, and without users in addresses."""

    def __init__(self, form: str | None = None, hidden: tuple[str, ...] | None = None) -> None:
        super().__init__(form)
        self.hidden = secrets_of(settings()) if hidden is None else hidden

    def mask(self, text: str) -> str:
        """The text with ``***`` in the place of each secret."""
        for secret in self.hidden:
            text = text.replace(secret, "***")
        return _USERINFO.sub("***@", text)

    def format(self, record: logging.LogRecord) -> str:
        """The line, masked."""
        return self.mask(super().format(record))


class Text(Masked):
    """One line for people; a traceback comes below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, pipeline, window, stage, run, logger, message."""
        what = " ".join(v[:_RUN_SHOWN] if k == "run_id" else v for k, v in _known(record))
        line = f"{_time(record)} {record.levelname:<7} {what} {record.name}: {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return self.mask(line)


class Json(Masked):
    """One JSON object a line: time, level, logger, message, the context, facts, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; what a caller passed as ``extra={"facts": {...}}`` is among its keys."""
        facts = {k: self._plain(v) for k, v in getattr(record, "facts", {}).items()}
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self.mask(record.getMessage()),
            **{key: self.mask(str(getattr(record, key, ""))) for key in KEYS},
        }
        line = {**line, **facts, **line}  # in this order, and no fact replaces what is the line's
        if record.exc_info:
            line["exception"] = self.mask(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)

    def _plain(self, value: object) -> object:
        return value if isinstance(value, bool | int | float | None) else self.mask(str(value))


def _known(record: logging.LogRecord) -> list[tuple[str, str]]:
    return [(key, value) for key in KEYS if (value := getattr(record, key, ""))]


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def secrets_of(where: Settings) -> tuple[str, ...]:
    """Every secret that the settings hold, also as an address spells it, longest first."""
    found = {v.get_secret_value() for _, v in where if isinstance(v, SecretStr)}
    found |= {part for value in found for part in value.split()}
    found |= {form(value, safe="") for value in found for form in (quote, quote_plus)}
    return tuple(sorted((v for v in found if len(v) >= _SHORTEST), key=len, reverse=True))


def set_up() -> None:
    """Send Ratchet's own lines to standard error, as the settings say; again, it begins anew."""
    where = settings()
    logger = logging.getLogger(ROOT)
    for handler in [h for h in logger.handlers if isinstance(h, _Terminal)]:
        logger.removeHandler(handler)
    terminal = _Terminal()
    terminal.setLevel(where.own_log_level)
    terminal.setFormatter(Json() if where.log_format == "json" else Text())
    terminal.addFilter(AddContext())
    logger.addHandler(terminal)
    logger.setLevel(logging.DEBUG if where.own_log_level == "DEBUG" else logging.INFO)
    logger.propagate = False  # else the root logger of a dependency would print each line again


class _Terminal(logging.StreamHandler):  # type: ignore[type-arg]
    """Standard error as it is now, not as it was when logging began."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)
