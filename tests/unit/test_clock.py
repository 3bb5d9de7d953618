"""Every tick lies in exactly one window, on both clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.clock import EPOCH, MICROSECOND, Calendar, Clock, Window
from ratchet.errors import DefinitionError

TIMESTAMP, INTEGER = Clock("timestamp"), Clock("integer")
SECOND, DAY = 1_000_000, 86_400_000_000
# Years 1678 to 2262, with a year to spare on each side for the window around a tick.
MOMENTS = st.integers(-290 * 365 * DAY, 290 * 365 * DAY)
EARLIEST, LATEST = (datetime.fromisoformat(t) for t in ("1700-01-01", "2250-01-01"))
OFFSETS = st.integers(-840, 840)  # minutes
LENGTHS = st.integers(1, 400 * DAY)

timestamp_calendars = st.builds(Calendar, st.just(TIMESTAMP), MOMENTS, LENGTHS)
integer_calendars = st.builds(
    Calendar, st.just(INTEGER), st.integers(-(10**15), 10**15), st.integers(1, 10**9)
)
calendars = st.one_of(timestamp_calendars, integer_calendars)


@given(calendars, MOMENTS)
def test_every_tick_lies_in_exactly_one_window(calendar: Calendar, tick: int) -> None:
    window = calendar.window_of(tick)
    assert tick in window
    assert tick not in calendar.window(window.index - 1)
    assert tick not in calendar.window(window.index + 1)
    assert window.end - window.start == calendar.length


@given(calendars, st.lists(MOMENTS))
def test_ticks_of_a_column_lie_in_the_windows_of_each(calendar: Calendar, ticks: list[int]) -> None:
    found = calendar.indices_of(np.array(ticks, dtype=np.int64))
    assert found.dtype == np.int64
    assert found.tolist() == [calendar.window_of(tick).index for tick in ticks]


@given(calendars, st.integers(-(10**4), 10**4))
def test_windows_touch_and_are_found_by_each_of_their_edges(calendar: Calendar, index: int) -> None:
    window = calendar.window(index)
    assert window.end == calendar.window(index + 1).start
    assert calendar.window_of(window.start) == window
    assert calendar.window_of(window.end - 1) == window
    assert calendar.window_of(window.start - 1).index == index - 1


@given(calendars, st.integers(-300, 300))
def test_a_label_leads_back_to_its_window(calendar: Calendar, index: int) -> None:
    window = calendar.window(index)
    assert calendar.parse(calendar.label(window)) == window


@given(calendars, MOMENTS)
def test_what_a_clock_shows_it_also_reads(calendar: Calendar, tick: int) -> None:
    assert calendar.clock.parse(calendar.clock.show(tick)) == tick
    assert tick in calendar.parse(calendar.clock.show(tick))


@given(calendars, MOMENTS, st.integers(-3, 40), st.integers(0, 10**6))
def test_between_covers_a_range_without_gap_or_overlap(
    calendar: Calendar, start: int, lengths: int, rest: int
) -> None:
    end = start + lengths * calendar.length + rest % calendar.length
    windows = list(calendar.between(start, end))
    if end <= start:
        assert windows == []
        return
    assert start in windows[0]
    assert end - 1 in windows[-1]
    assert all(a.end == b.start and b.index == a.index + 1 for a, b in pairwise(windows))


def test_windows_before_the_origin_have_negative_indices() -> None:
    calendar = Calendar(INTEGER, origin=100, length=10)
    assert calendar.window(-1) == Window(-1, 90, 100)
    assert calendar.window_of(99).index == -1
    assert calendar.window_of(100).index == 0
    assert calendar.window_of(-1).index == -11
    assert [w.index for w in calendar.between(85, 105)] == [-2, -1, 0]


@pytest.mark.parametrize("length", [0, -1])
def test_a_window_has_a_length(length: int) -> None:
    with pytest.raises(DefinitionError, match=f"length {length}: expected more than 0"):
        Calendar(INTEGER, 0, length)


@given(st.datetimes(EARLIEST, LATEST), OFFSETS)
def test_offsets_are_turned_into_utc_and_no_offset_means_utc(
    moment: datetime, minutes: int
) -> None:
    shifted = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    tick = (moment.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
    assert TIMESTAMP.parse(moment.isoformat()) == tick
    assert TIMESTAMP.parse(shifted.isoformat()) == tick


def test_a_midnight_is_shown_as_a_date_alone() -> None:
    assert TIMESTAMP.show(0) == "1970-01-01"
    assert TIMESTAMP.show(DAY - 1) == "1970-01-01T23:59:59.999999Z"
    assert INTEGER.show(-5) == "-5"


@pytest.mark.parametrize("tick", [2**62, -(2**62)])
def test_a_tick_beyond_the_calendar_is_shown_as_a_number(tick: int) -> None:
    assert TIMESTAMP.show(tick) == f"{tick} us"


@pytest.mark.parametrize(
    ("clock", "text", "wanted"),
    [
        (TIMESTAMP, "yesterday", "ISO 8601"),
        (TIMESTAMP, "2013-02-30", "ISO 8601"),
        (TIMESTAMP, "", "ISO 8601"),
        (TIMESTAMP, 5, "ISO 8601"),
        (INTEGER, "2013-01-01", "an integer"),
        (INTEGER, "1.5", "an integer"),
        (INTEGER, "9" * 5000, "an integer"),
    ],
)
def test_what_is_no_time_is_refused(clock: Clock, text: str | int, wanted: str) -> None:
    with pytest.raises(DefinitionError, match=wanted):
        clock.parse(text)


@given(st.integers(0, 5_200), st.sampled_from("wdhms"))
def test_durations_count_in_their_unit(number: int, unit: str) -> None:
    seconds = {"w": 7 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}[unit]
    assert TIMESTAMP.duration(f" {number}{unit} ") == number * seconds * SECOND


def test_durations_of_nothing_and_of_integers() -> None:
    assert TIMESTAMP.duration(0) == TIMESTAMP.duration("0") == TIMESTAMP.duration("0d") == 0
    assert INTEGER.duration(500) == INTEGER.duration("500") == 500


@pytest.mark.parametrize(
    ("clock", "text", "wanted"),
    [
        (TIMESTAMP, "7y", "a form such as 7d"),
        (TIMESTAMP, "-7d", "a form such as 7d"),
        (TIMESTAMP, "1.5d", "a form such as 7d"),
        (TIMESTAMP, "7 d", "a form such as 7d"),
        (TIMESTAMP, "", "a form such as 7d"),
        (TIMESTAMP, "d", "a form such as 7d"),
        (TIMESTAMP, "9" * 5000 + "d", "a form such as 7d"),
        (TIMESTAMP, "7D", "a form such as 7d"),
        (TIMESTAMP, "36526d", "100 years at most"),
        (TIMESTAMP, 7, "name a unit"),
        (TIMESTAMP, "7", "name a unit"),
        (INTEGER, "7d", "write a plain number"),
        (INTEGER, "0d", "write a plain number"),
    ],
)
def test_what_is_no_duration_is_refused(clock: Clock, text: str | int, wanted: str) -> None:
    with pytest.raises(DefinitionError, match=wanted):
        clock.duration(text)


def test_windows_are_ordered_in_time() -> None:
    calendar = Calendar(INTEGER, 0, 10)
    windows = [calendar.window(i) for i in (3, -1, 0)]
    assert [w.index for w in sorted(windows)] == [-1, 0, 3]
