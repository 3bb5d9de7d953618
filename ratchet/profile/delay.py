"""Finds how long labels take, where each says when it became known.

Promise: a delay that is written is one that most labels of the sample kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.contracts.clock import Clock
from ratchet.errors import DefinitionError
from ratchet.profile.clock import ticks_of
from ratchet.profile.values import InitOptions, Timeline, column_of, shown

if TYPE_CHECKING:
    import pyarrow as pa

SETTLED = 0.9  # of the labels must have come before a row without one counts as lacking it
_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000))


def infer_delay(table: pa.Table, options: InitOptions, time: Timeline) -> tuple[str, list[str]]:
    """``label.delay`` and what to say about it.

    Raises:
        DefinitionError: a delay of no known form, or a ``--label-time`` that holds no such times.
    """
    if options.label_delay is not None:
        Clock(time.kind).duration(options.label_delay)
        return options.label_delay, [f"A label is mature {options.label_delay} after its event."]
    if options.label_time is None:
        return "0", [
            "Labels are taken as known at once (label.delay 0): pass --label-delay if they come "
            "later, or the model is judged on what nobody could know."
        ]
    delay = _kept(table, options, options.label_time, time)
    said = f"A label is known at the time in {shown(options.label_time)}."
    if delay == "0":
        return delay, [f"{said} {SETTLED:.0%} of them are known at once (label.delay 0)."]
    return delay, [
        f"{said} {SETTLED:.0%} of them came within {delay}, so a row is learned from and judged on "
        "once it is that old (label.delay); a shorter one is faster, but leaves more rows without "
        "their labels."
    ]


def _kept(table: pa.Table, options: InitOptions, name: str, time: Timeline) -> str:
    """The delay that most labels of the sample kept, rounded up to a unit that people use."""
    import numpy as np

    known, there = ticks_of(column_of(table, name, "--label-time"), time.kind, name)
    label = column_of(table, options.label, "--label")
    there = there & time.valid & np.asarray(label.is_valid().to_numpy(), dtype=bool)
    if not there.any():
        raise DefinitionError(f"--label-time {shown(name)}: no row with a label has a time there")
    lag = int(np.quantile(known[there] - time.ticks[there], SETTLED, method="higher"))
    if lag <= 0:
        return "0"
    if time.kind == "integer":
        return str(lag)
    unit, length = next((u for u in _UNITS if lag >= u[1]), _UNITS[-1])
    return f"{-(-lag // length)}{unit}"
