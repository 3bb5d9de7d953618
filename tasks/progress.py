"""Tells whoever started a flow in this process about each decision as it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ratchet.contracts.lineage import Decision

_listeners: ContextVar[tuple[Callable[[Decision], None], ...]] = ContextVar(
    "_listeners", default=()
)


@contextmanager
def listening(listener: Callable[[Decision], None]) -> Iterator[None]:
    """Call ``listener``, too, with each decision made inside the block."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def announce(decision: Decision) -> None:
    """Tell whoever listens."""
    for listener in _listeners.get():
        listener(decision)
