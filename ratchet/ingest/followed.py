"""Which windows are run, by what landed for them.

>>> followed({3: 900, 5: 870, 4000: 2}, min_rows=50)
[3, 4, 5]

Promise: a few stray rows far ahead move no watermark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratchet.contracts.clock import Window
    from ratchet.contracts.definition import Definition

MAX_GAP = 60  # empty windows in a row that are still run, each to say that nothing came


def followed(counts: Mapping[int, int], min_rows: int) -> list[int]:
    """Window indices in order, short gaps filled, up to the first stray rows beyond a long gap.

    Args:
        counts: landed rows by window index.
        min_rows: fewer rows than this beyond a long gap are strays.
    """
    out: list[int] = []
    for index, count in sorted(counts.items()):
        gap = index - out[-1] - 1 if out else 0
        if gap > MAX_GAP and count < min_rows:
            break
        out += range(out[-1] + 1, index) if 0 < gap <= MAX_GAP else []
        out.append(index)
    return out


def complete(definition: Definition, counts: Mapping[int, int], now: int) -> list[Window]:
    """The windows that are over, in order, from the first to the last one with rows.

    A timestamp window is over when it lies in the past; an integer window when a row of a later one
    has landed.

    Args:
        definition: cuts the windows.
        counts: landed rows by window index.
        now: microseconds since 1970.
    """
    calendar = definition.calendar
    span = [calendar.window(i) for i in followed(counts, definition.validate_.min_rows)]
    if calendar.clock.kind == "integer":
        return span[:-1]
    return [w for w in span if w.end <= now]
