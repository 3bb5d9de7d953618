"""Keys of several columns can be taken apart again."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ratchet.ingest import split_key
from ratchet.ingest.columns import key

PART = st.text(st.sampled_from(["a", "b", "|", "\\", " "]), min_size=1, max_size=6)


@given(st.lists(st.tuples(PART, PART, PART), min_size=1, max_size=5))
def test_a_key_is_taken_apart_into_what_it_was_made_of(rows):
    columns = [pa.chunked_array([[row[i] for row in rows]]) for i in range(3)]
    assert [tuple(split_key(one, 3)) for one in key(columns).to_pylist()] == rows


@given(PART)
def test_a_key_of_one_column_is_itself(part):
    assert split_key(key([pa.chunked_array([[part]])])[0].as_py(), 1) == [part]
