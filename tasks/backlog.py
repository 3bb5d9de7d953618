"""Which windows are complete, by what has landed; reads no row and takes nothing in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ratchet.ingest import followed

if TYPE_CHECKING:
    from ratchet.contracts.clock import Window
    from ratchet.contracts.definition import Definition


def complete(definition: Definition, counts: Mapping[int, int]) -> list[Window]:
    """The windows that are over, in order, from the first to the last one with rows.

    Args:
        definition: cuts the windows.
        counts: landed rows by window index.
    """
    calendar = definition.calendar
    span = [calendar.window(i) for i in followed(counts, definition.validate_.min_rows)]
    if calendar.clock.kind == "integer":
        return span[:-1]
    now = time.time_ns() // 1000
    return [w for w in span if w.end <= now]
