"""Which versions hold what is revoked, in words and numbers."""

import json

import pyarrow as pa
import pytest

from ratchet.contracts.trace import Trace, runs


def test_a_trace_is_counted_from_the_version_of_each_row():
    found = Trace.of("accepted", pa.chunked_array([[9, 3], [3, 5]], pa.int64()), 12)
    assert dict(found.added) == {3: 2, 5: 1, 9: 1}
    assert (found.first, found.rows) == (3, 4)
    assert [found.rows_in(v) for v in (2, 3, 5, 8, 9, 99)] == [0, 2, 3, 3, 4, 4]
    assert found.show() == "versions 3 to 12 hold rows of it, the newest 4 (added by 3, 5, 9)"


def test_none_and_one_version_in_words():
    none = Trace.of("labels", pa.chunked_array([], pa.int64()), 12)
    assert (none.first, none.rows, none.rows_in(12)) == (None, 0, 0)
    assert none.show() == "no version holds any of it"
    assert Trace("labels", {4: 7}, 4).show() == "version 4 holds labels of it: 7"


def test_json_keeps_every_version():
    found = json.loads(json.dumps(Trace("quarantine", {1: 2, 3: 4}, 5).as_json()))
    assert found["added"] == {"1": 2, "3": 4}
    assert (found["first"], found["newest"], found["rows"]) == (1, 5, 6)
    assert "blocked lines" in found["said"]


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ([7], "7"),
        ([7, 8], "7, 8"),
        ([8, 7, 9], "7 to 9"),
        ([1, 2, 4, 5, 6, 8], "1, 2, 4 to 6, 8"),
        (range(0, 60, 2), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22 and others up to 58"),
    ],
)
def test_runs_of_versions(versions, said):
    assert runs(versions) == said
