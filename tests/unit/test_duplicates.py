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
from ratchet.validate.duplicates import twins
from tests.content_kit import batch, definition

DEFINITION = definition()
ROWS = 2000


def copied(rows: pa.Table, count: int, seed: int = 1) -> pa.Table:
    """The rows and copies of some of them under new keys."""
    chosen = np.random.default_rng(seed).choice(rows.num_rows, count)
    extra = rows.take(pa.array(chosen))
    keys = pa.array([f"again-{i}" for i in range(count)])
    return pa.concat_tables([rows, extra.set_column(0, "_key", keys)])


def coarse(seed: int, values: int, rows: int = ROWS) -> pa.Table:
    """Rows that are often alike by nature."""
    rng = np.random.default_rng(seed)
    return batch(
        rows,
        seed,
        size=pa.array(rng.integers(0, values, rows).astype(float)),
        heat=pa.array(rng.integers(0, values, rows).astype(float)),
    )


def judged(rows: pa.Table, before: list[pa.Table]) -> Evidence:
    found = check_duplicates(duplicated(rows, DEFINITION), rows, before, DEFINITION)
    json.dumps(found.as_json(), allow_nan=False)
    return found


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_copies_where_there_never_were_any_block(share):
    found = judged(copied(batch(ROWS, 9), int(share * ROWS)), [batch(ROWS, i) for i in range(8)])
    assert found.verdict is Verdict.BLOCK
    assert found.measured < found.threshold == DEFINITION.shield.alpha
    many = int(share * ROWS)
    assert found.arithmetic.startswith(f"{many:,} of {ROWS + many:,} rows repeat the features")
    assert "in 8 windows before at most 0: chance" in found.arithmetic


def test_rows_that_are_alike_by_nature_pass_though_their_share_doubles():
    before = [coarse(i, 60) for i in range(8)]
    share = duplicated(before[0], DEFINITION) / ROWS
    now = coarse(9, 40)
    assert 0.05 < 2 * share < duplicated(now, DEFINITION) / ROWS
    assert judged(now, before).verdict is Verdict.PASS


def test_a_row_is_no_copy_because_its_key_or_one_value_is_like_another():
    rows = batch(3, size=pa.array([1.0, 1.0, None]), heat=pa.array([2.0, 2.0, None]))
    same = rows.set_column(3, "color", pa.array(["red", "red", None], pa.string()))
    other = rows.set_column(3, "color", pa.array(["red", "blue", None], pa.string()))
    assert (duplicated(same, DEFINITION), duplicated(other, DEFINITION)) == (1, 0)


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
@given(st.integers(0, 60), st.lists(st.integers(0, 60), min_size=1, max_size=20), st.integers(0, 5))
def test_what_could_not_block_does_not_and_more_copies_accuse_more(copies, before, more):
    rows = batch(120, 3)
    tables = [small(n) for n in before]
    found = check_duplicates(copies, rows, tables, DEFINITION)
    if not stand_out(copies, rows, [], DEFINITION):
        assert found.verdict is Verdict.PASS
    worse = check_duplicates(copies + more, rows, tables, DEFINITION)
    assert found.verdict is not Verdict.BLOCK or worse.verdict is Verdict.BLOCK


@given(st.lists(st.sampled_from([1.0, 2.0, float("nan")]), min_size=1, max_size=30))
def test_twins_are_counted_as_by_hand(values):
    pairs = [(str(v), i % 2) for i, v in enumerate(values)]
    columns = [np.array(values), np.arange(len(values)) % 2.0]
    assert twins(columns).tolist() == [pairs.count(p) - 1 for p in pairs]
