"""Event time as integer ticks, and the windows that cut it.

A timestamp ticks in microseconds since 1970 (UTC); an increasing integer column ticks as itself.
Every comparison in Ratchet is between ticks, so both kinds of stream run through the same code.

>>> week = Calendar(Clock("timestamp"), origin=0, length=Clock("timestamp").duration("7d"))
>>> week.label(week.parse("1970-01-09"))
'1970-01-08'
>>> count = Calendar(Clock("integer"), origin=0, length=500)
>>> count.label(count.window_of(1234))
'1000'
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from ratchet.errors import DefinitionError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ClockKind = Literal["timestamp", "integer"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_UNITS = {"w": 7 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_CENTURY = 36_525 * 86_400


@dataclass(frozen=True)
class Clock:
    """How a stream counts: ``timestamp`` (microseconds, UTC) or ``integer`` (its own units)."""

    kind: ClockKind

    def parse(self, text: str | int) -> int:
        """A tick from ISO 8601 text (UTC when it names no offset) or from an integer.

        Raises:
            DefinitionError: the text is neither.
        """
        try:
            if self.kind == "integer":
                return int(text)
            moment = datetime.fromisoformat(str(text))
        except ValueError as error:
            wanted = "an integer" if self.kind == "integer" else "an ISO 8601 date or time"
            raise DefinitionError(f"time {text!r}: expected {wanted}") from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - EPOCH) // MICROSECOND

    def show(self, tick: int) -> str:
        """ISO text, at midnight UTC the date alone; the integer; `9 us` outside years 1 to 9999."""
        if self.kind == "integer":
            return str(tick)
        try:
            moment = EPOCH + timedelta(microseconds=tick)
        except OverflowError:
            return f"{tick} us"
        if moment.time() == datetime.min.time():
            return moment.date().isoformat()
        return moment.replace(tzinfo=None).isoformat() + "Z"

    def duration(self, text: str | int) -> int:
        """Ticks in ``7d``, ``2w``, ``12h``, ``30m``, ``45s`` or, on an integer clock, in ``500``.

        Raises:
            DefinitionError: unknown unit, a unit on an integer clock, or more than 100 years.
        """
        found = re.fullmatch(r"([0-9]{1,18})([wdhms]?)", str(text).strip())
        if not found:
            raise DefinitionError(f"duration {text!r}: expected a form such as 7d, 2w, 12h or 500")
        number, unit = int(found[1]), found[2]
        if self.kind == "integer":
            if unit:
                raise DefinitionError(
                    f"duration {text!r}: the time column counts integers, so write a plain number "
                    "in its unit (a day of milliseconds is 86400000)"
                )
            return number
        if not unit and number:
            raise DefinitionError(
                f"duration {text!r}: the time column holds timestamps, so name a unit (w d h m s)"
            )
        seconds = number * _UNITS.get(unit, 0)
        if seconds > _CENTURY:
            raise DefinitionError(f"duration {text!r}: expected 100 years at most")
        return seconds * 1_000_000


@dataclass(frozen=True, order=True)
class Window:
    """A half-open slice ``[start, end)`` of event time (ticks); ``index`` counts from origin."""

    index: int
    start: int
    end: int

    def __contains__(self, tick: int) -> bool:
        return self.start <= tick < self.end


@dataclass(frozen=True)
class Calendar:
    """Cuts event time into windows of one ``length`` (ticks); window 0 starts at ``origin``."""

    clock: Clock
    origin: int
    length: int

    def __post_init__(self) -> None:
        if self.length <= 0:
            raise DefinitionError(f"window length {self.length}: expected more than 0")

    def window(self, index: int) -> Window:
        """The window with this index (negative ones lie before the origin)."""
        start = self.origin + index * self.length
        return Window(index, start, start + self.length)

    def window_of(self, tick: int) -> Window:
        """The window that holds this tick."""
        return self.window((tick - self.origin) // self.length)

    def indices_of(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index of the window that holds each tick, of the same shape."""
        return (ticks - self.origin) // self.length

    def label(self, window: Window) -> str:
        """The name people use: the window's start."""
        return self.clock.show(window.start)

    def parse(self, text: str | int) -> Window:
        """The window that holds the given time."""
        return self.window_of(self.clock.parse(text))

    def between(self, start: int, end: int) -> Iterator[Window]:
        """Every window, in order, that overlaps ``[start, end)`` ticks."""
        if end <= start:
            return
        for index in range(self.window_of(start).index, self.window_of(end - 1).index + 1):
            yield self.window(index)


CALENDAR = ("_month", "_weekday", "_hour")


def calendar_fields(ticks: pa.Array, zone: str | None) -> dict[str, pa.Array]:
    """Month (1-12), weekday (1 is Monday) and hour (0-23) of timestamps' ticks, by name.

    A rule of a suite may hold them against what a row says of itself.

    Args:
        ticks: int64 microseconds since 1970 (UTC), without nulls.
        zone: IANA name of the zone to count in; None is UTC.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    moments = ticks.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone or "UTC"))
    month, hour = pc.month(moments), pc.hour(moments)
    weekday = pc.day_of_week(moments, count_from_zero=False)
    parts = (month, weekday, hour)
    return {name: pc.cast(part, pa.float64()) for name, part in zip(CALENDAR, parts, strict=True)}
