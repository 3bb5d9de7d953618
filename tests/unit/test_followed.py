"""Which windows are run: short gaps are filled, strays far ahead are not followed."""

from ratchet.contracts.definition import parse
from ratchet.ingest import complete, followed
from ratchet.ingest.followed import MAX_GAP
from tests.streams import PIPELINE


def test_short_gaps_are_filled_and_order_does_not_matter():
    assert followed({5: 1, 3: 900}, min_rows=50) == [3, 4, 5]
    assert followed({}, min_rows=50) == []


def test_a_few_strays_beyond_a_long_gap_are_not_followed_but_a_window_full_of_rows_is():
    far = 3 + MAX_GAP + 2
    assert followed({3: 900, far: 49}, min_rows=50) == [3]
    assert followed({3: 900, far: 50}, min_rows=50) == [3, far]


def test_a_window_is_over_when_it_lies_in_the_past_or_a_row_of_a_later_one_has_landed():
    numbered = parse(PIPELINE)
    assert [w.index for w in complete(numbered, {0: 9, 2: 9}, now=0)] == [0, 1]
    assert complete(numbered, {}, now=0) == []
    weekly = parse(
        PIPELINE.replace(
            'kind = "integer"\nwindow = 1000', 'kind = "timestamp"\nwindow = "7d"'
        ).replace("delay = 1000", 'delay = "7d"')
    )
    week = weekly.calendar.window(2)
    assert [w.index for w in complete(weekly, {1: 9, 2: 9}, now=week.end)] == [1, 2]
    assert [w.index for w in complete(weekly, {1: 9, 2: 9}, now=week.end - 1)] == [1]
