"""Which windows are complete, by what has landed; reads no row and takes nothing in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratchet.contracts.clock import Window
    from ratchet.contracts.definition import Definition

MAX_GAP = 60  # empty windows in a row that are still run, each to say that nothing came


def complete(definition: Definition, counts: Mapping[int, int]) -> list[Window]:
    """The windows that are over, in order, from the first to the last one with rows.

    Args:
        definition: cuts the windows.
        counts: landed rows by window index.
    """
    calendar = definition.calendar
    span = [calendar.window(i) for i in _followed(counts, definition.validate_.min_rows)]
    if calendar.clock.kind == "integer":
        return span[:-1]
    now = time.time_ns() // 1000
    return [w for w in span if w.end <= now]


def _followed(counts: Mapping[int, int], min_rows: int) -> list[int]:
    """Window indices in order, short gaps filled, up to the first stray rows beyond a long gap."""
    out: list[int] = []
    for index, count in sorted(counts.items()):
        gap = index - out[-1] - 1 if out else 0
        if gap > MAX_GAP and count < min_rows:
            break
        out += range(out[-1] + 1, index) if 0 < gap <= MAX_GAP else []
        out.append(index)
    return out
