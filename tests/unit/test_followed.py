"""Which windows are run: short gaps are filled, strays far ahead are not followed."""

from ratchet.ingest import followed
from ratchet.ingest.followed import MAX_GAP


def test_short_gaps_are_filled_and_order_does_not_matter():
    assert followed({5: 1, 3: 900}, min_rows=50) == [3, 4, 5]
    assert followed({}, min_rows=50) == []


def test_a_few_strays_beyond_a_long_gap_are_not_followed_but_a_window_full_of_rows_is():
    far = 3 + MAX_GAP + 2
    assert followed({3: 900, far: 49}, min_rows=50) == [3]
    assert followed({3: 900, far: 50}, min_rows=50) == [3, far]
