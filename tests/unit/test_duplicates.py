"""validate: rows that a batch holds several times under keys of their own."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate import check_duplicates, duplicated, stand_out
from ratchet.validate.duplicates import Copies, twins
from tests import content_kit
from tests.content_kit import definition

DEFINITION = definition()
ROWS = 2000


def batch(rows: int, seed: int = 0, moments: int = 10**9, **columns: pa.Array) -> pa.Table:
    """A batch whose times are told apart by nature, or are few."""
    times = np.random.default_rng(seed + 77).integers(0, moments, rows)
    return content_kit.batch(rows, seed, _event=pa.array(times), **columns)


def copied(rows: pa.Table, count: int, seed: int = 1, elsewhen: bool = False) -> pa.Table:
    """The rows and copies of some of them under new keys, at the same time or another."""
    chosen = np.random.default_rng(seed).choice(rows.num_rows, count)
    extra = rows.take(pa.array(chosen))
    keys = pa.array([f"again-{i}" for i in range(count)])
    extra = extra.set_column(extra.column_names.index("_key"), "_key", keys)
    if elsewhen:
        times = pa.array(np.random.default_rng(seed).integers(0, 10**9, count))
        extra = extra.set_column(extra.column_names.index("_event"), "_event", times)
    return pa.concat_tables([rows, extra])


def coarse(seed: int, values: int, rows: int = ROWS, moments: int = 10**9) -> pa.Table:
    """Rows that are often alike by nature; so are their times where those are few."""
    rng = np.random.default_rng(seed)
    return batch(
        rows,
        seed,
        moments,
        size=pa.array(rng.integers(0, values, rows).astype(float)),
        heat=pa.array(rng.integers(0, values, rows).astype(float)),
    )


def judged(rows: pa.Table, before: list[pa.Table]) -> Evidence:
    found = check_duplicates(duplicated(rows, DEFINITION), rows, before, DEFINITION)
    json.dumps(found.as_json(), allow_nan=False)
    return found


@pytest.mark.parametrize("elsewhen", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_copies_where_there_never_were_any_block(share, elsewhen):
    rows = copied(batch(ROWS, 9), int(share * ROWS), elsewhen=elsewhen)
    found = judged(rows, [batch(ROWS, i) for i in range(8)])
    assert found.verdict is Verdict.BLOCK
    assert found.measured < found.threshold == DEFINITION.shield.alpha
    many = int(share * ROWS)
    assert found.arithmetic.startswith(f"{many:,} of {ROWS + many:,} rows repeat the features")
    assert "in 8 windows before at most 0: chance" in found.arithmetic


def test_rows_that_are_alike_by_nature_pass_though_their_share_doubles():
    before = [coarse(i, 60) for i in range(8)]
    share = duplicated(before[0], DEFINITION).features / ROWS
    now = coarse(9, 40)
    assert 0.05 < 2 * share < duplicated(now, DEFINITION).features / ROWS
    assert judged(now, before).verdict is Verdict.PASS


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_where_rows_are_alike_by_nature_their_time_tells(share):
    before, rows = [coarse(i, 60) for i in range(16)], coarse(99, 60)
    found = judged(copied(rows, int(share * ROWS)), before)
    assert found.verdict is Verdict.BLOCK
    assert "of them its time too, share" in found.arithmetic
    assert judged(copied(rows, int(share * ROWS), elsewhen=True), before).verdict is Verdict.PASS


def test_rows_and_times_that_are_alike_by_nature_pass():
    before, now = [coarse(i, 20, moments=9) for i in range(16)], coarse(99, 14, moments=9)
    most = max(duplicated(t, DEFINITION).time for t in before)
    assert 0.1 * ROWS < most < duplicated(now, DEFINITION).time
    assert judged(now, before).verdict is Verdict.PASS


def test_times_are_told_apart_to_their_last_bit():
    late = 2**62
    rows = batch(3, size=pa.array([1.0] * 3), heat=pa.array([1.0] * 3))
    rows = rows.set_column(rows.column_names.index("color"), "color", pa.array(["red"] * 3))
    rows = rows.set_column(
        rows.column_names.index("_event"), "_event", pa.array([late, late, late + 1])
    )
    assert duplicated(rows, DEFINITION) == Copies(2, 1)


def test_a_row_is_no_copy_because_its_key_or_one_value_is_like_another():
    rows = batch(3, size=pa.array([1.0, 1.0, None]), heat=pa.array([2.0, 2.0, None]))
    place = rows.column_names.index("color")
    same = rows.set_column(place, "color", pa.array(["red", "red", None], pa.string()))
    other = rows.set_column(place, "color", pa.array(["red", "blue", None], pa.string()))
    assert duplicated(same, DEFINITION) == Copies(1, 0)
    assert duplicated(other, DEFINITION) == Copies(0, 0)


def test_a_first_window_and_an_empty_one_have_nothing_to_compare():
    found = judged(copied(batch(ROWS), 200), [])
    assert found.verdict is Verdict.PASS
    assert found.arithmetic.endswith("under a new key; no window before to compare with")
    assert judged(batch(0), [batch(ROWS)]).verdict is Verdict.PASS


def test_one_copy_in_a_small_batch_is_no_fault():
    before = [batch(ROWS, i) for i in range(16)]
    assert judged(copied(batch(10), 1), before).verdict is Verdict.PASS


def test_windows_before_are_asked_only_where_they_could_tell():
    few, many = copied(batch(ROWS), 1), copied(batch(ROWS), 200)
    assert not stand_out(duplicated(few, DEFINITION), few, [], DEFINITION)
    assert stand_out(duplicated(many, DEFINITION), many, [], DEFINITION)
    assert not stand_out(duplicated(many, DEFINITION), many, [many], DEFINITION)


@lru_cache(maxsize=64)
def small(copies: int) -> pa.Table:
    return copied(batch(60), copies) if copies else batch(60)


@settings(deadline=None)
@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.lists(st.integers(0, 60), min_size=1, max_size=20),
    st.integers(0, 5),
)
def test_what_could_not_block_does_not_and_more_copies_accuse_more(copies, moments, before, more):
    rows = batch(120, 3)
    tables = [small(n) for n in before]
    now = Copies(copies, min(copies, moments))
    found = check_duplicates(now, rows, tables, DEFINITION)
    if not stand_out(now, rows, [], DEFINITION):
        assert found.verdict is Verdict.PASS
    more_of_it = Copies(now.features + more, now.time + more)
    worse = check_duplicates(more_of_it, rows, tables, DEFINITION)
    assert found.verdict is not Verdict.BLOCK or worse.verdict is Verdict.BLOCK


@given(st.lists(st.sampled_from([1.0, 2.0, float("nan")]), min_size=1, max_size=30))
def test_twins_are_counted_as_by_hand(values):
    pairs = [(str(v), i % 2) for i, v in enumerate(values)]
    columns = [np.array(values), np.arange(len(values)) % 2.0]
    assert twins(columns).tolist() == [pairs.count(p) - 1 for p in pairs]
