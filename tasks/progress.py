"""Tells whoever started a flow in this process about each decision as it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ratchet.contracts.lineage import Decision

_listener: ContextVar[Callable[[Decision], None] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Callable[[Decision], None]) -> Iterator[None]:
    """Call ``listener`` with each decision made inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def announce(decision: Decision) -> None:
    """Tell the listener, if there is one."""
    if listener := _listener.get():
        listener(decision)
