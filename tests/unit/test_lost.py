"""validate: what the windows before had and a batch lacks."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate import check_labels, check_stuck, constant_columns, lacks_class
from tests.content_kit import batch, definition, labels

DEFINITION = definition()
ROWS = 2000
STUCK = pa.array([7.0] * ROWS)


def window(seed: int, **columns) -> pa.Table:
    """One accepted window: rows in order of event time."""
    rows = batch(ROWS, seed, **columns)
    return rows.append_column("_event", pa.array(np.arange(ROWS) + seed * ROWS, pa.int64()))


def windows(**columns) -> list[pa.Table]:
    """Eight windows; each column a function of the window's number."""
    return [window(i, **{n: make(i) for n, make in columns.items()}) for i in range(1, 9)]


def stuck(rows: pa.Table, before: list[pa.Table]) -> Evidence:
    found = check_stuck(rows, before, DEFINITION)
    json.dumps(found.as_json(), allow_nan=False)
    return found


@pytest.mark.parametrize(
    "columns",
    [
        {"heat": STUCK},
        {"color": pa.array(["red"] * ROWS)},
        {"heat": pa.array([7.0, None] * (ROWS // 2))},
    ],
    ids=["number", "category", "with gaps"],
)
def test_a_column_that_always_varied_and_stopped_blocks(columns):
    found = stuck(batch(ROWS, **columns), windows())
    assert found.verdict is Verdict.BLOCK
    assert found.details["columns"] == list(columns)
    assert found.measured < found.threshold == DEFINITION.shield.alpha / 3
    assert "in 8 windows before, none lasted more than" in found.arithmetic


def test_a_column_that_varies_passes_and_needs_no_history():
    assert stuck(batch(ROWS), []).verdict is Verdict.PASS
    assert constant_columns(batch(ROWS), DEFINITION.features) == []
    assert constant_columns(batch(ROWS, heat=STUCK), DEFINITION.features) == ["heat"]


def test_a_first_window_has_nothing_to_compare_with():
    found = stuck(batch(ROWS, heat=STUCK), [])
    assert found.verdict is Verdict.PASS
    assert found.arithmetic == "one value only: heat; no window before to compare with"


def dry_weeks(longest: float, seed: int = 0):
    """Rain: 0 but for hours; the longest dry spell is a share of a window."""

    def make(i: int) -> pa.Array:
        rng = np.random.default_rng([seed, i])
        values = np.zeros(ROWS)
        at = int(rng.integers(0, int(ROWS * (1 - longest))))
        wet = np.r_[0:at, at + int(ROWS * longest) : ROWS]
        values[rng.choice(wet, len(wet) // 5, replace=False)] = 0.1
        return pa.array(values)

    return make


@pytest.mark.parametrize("spell", [0.9, 0.5, 0.3])
def test_the_first_dry_week_is_no_fault(spell):
    """By the rows' frequencies alone its chance would be 0.8 ** 2000."""
    found = stuck(batch(ROWS, heat=pa.array([0.0] * ROWS)), windows(heat=dry_weeks(spell)))
    assert found.verdict is Verdict.WARN, found.arithmetic
    assert found.measured > 30 * found.threshold


def test_snow_that_melts_for_good_is_no_fault():
    """It varied all winter, lay in half of the last window, and is 0 from now on."""
    before = windows()
    half = np.random.default_rng(3).normal(50, 5, ROWS)
    half[ROWS // 2 :] = 0
    before[-1] = window(9, heat=pa.array(half))
    assert stuck(batch(ROWS, heat=pa.array([0.0] * ROWS)), before).verdict is Verdict.WARN


@pytest.mark.parametrize(
    "make",
    [
        lambda i: pa.array([float(i // 4)] * ROWS),  # a calendar's month
        lambda i: pa.array([7.0] * ROWS if i == 3 else np.arange(ROWS) * 1.0),  # once before
        lambda i: pa.array([None] * ROWS, pa.float64()),  # never there before
    ],
)
def test_a_column_that_rested_before_rests_again(make):
    found = stuck(batch(ROWS, heat=STUCK), windows(heat=make))
    assert found.verdict is Verdict.PASS
    assert found.details["columns"] == []


def test_a_flag_that_is_hardly_ever_set_may_be_unset_for_a_window():
    def flags(i: int) -> pa.Array:
        return pa.array((np.random.default_rng(i).random(ROWS) < 0.003).astype(float))

    found = stuck(batch(ROWS, heat=pa.array([0.0] * ROWS)), windows(heat=flags))
    assert found.verdict is Verdict.WARN


def test_a_few_rows_of_one_value_are_chance():
    few = batch(12, heat=pa.array([7.0] * 12), color=pa.array(["red"] * 12))
    assert stuck(few, windows()).verdict is Verdict.WARN
    one = batch(1)
    assert stuck(one, windows()).verdict is Verdict.PASS


def test_rows_that_share_a_moment_in_mixed_order_do_not_turn_rest_into_a_fault():
    """Dates without an hour, rows shuffled: short stretches, yet one value has most of a window."""

    def mixed(i: int) -> pa.Array:
        values = np.zeros(ROWS)
        values[:: 8 + i] = 1.0
        return pa.array(values)

    found = stuck(batch(ROWS, heat=pa.array([0.0] * ROWS)), windows(heat=mixed))
    assert found.verdict is Verdict.WARN


# classes of the label

RARE = definition(label={"classes": [0, 1]})
MANY = definition(label={"objective": "multiclass", "classes": ["a", "b", "c", "d"]})


def classes(y, before, where=DEFINITION) -> Evidence:
    found = check_labels(labels(y), where, scores=None, expected_skill=None, before=before)
    for evidence in found:
        json.dumps(evidence.as_json(), allow_nan=False)
    return next(e for e in found if e.check == "labels.classes")


def drawn(shares, n=ROWS, count=8) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.choice(len(shares), n, p=shares).astype(float) for _ in range(count)]


@pytest.mark.parametrize("kept", [0, 1])
def test_labels_of_one_class_block_where_every_window_had_both(kept):
    found = classes([kept] * ROWS, drawn([0.8, 0.2]))
    assert found.verdict is Verdict.BLOCK
    assert found.arithmetic.startswith("1 of 2 classes in 2000 labels")
    assert f"{1 - kept} missing, which 8 windows before had" in found.arithmetic


def test_no_positive_is_plausible_where_positives_are_rare():
    assert classes([0] * ROWS, drawn([0.995, 0.005])).verdict is Verdict.WARN


def test_no_positive_is_plausible_where_a_window_came_without():
    before = drawn([0.7, 0.3])
    before[2] = np.zeros(ROWS)
    assert classes([0] * ROWS, before).verdict is Verdict.WARN


def test_a_few_labels_of_one_class_are_chance():
    assert classes([0] * 20, drawn([0.7, 0.3])).verdict is Verdict.WARN


@pytest.mark.parametrize("mean", [10, 60, 200])
def test_positives_that_come_in_bursts_may_stay_away(mean):
    """Rates as uneven as the bound assumes: the chance of a block stays below its level."""
    rng, windows_drawn, blocked = np.random.default_rng(mean), 20_000, 0
    for _ in range(windows_drawn):
        counts = rng.poisson(rng.gamma(2, mean / 2, 17))
        if counts[-1] == 0:
            made = [np.repeat([0.0, 1.0], [2000 - min(c, 2000), min(c, 2000)]) for c in counts]
            blocked += classes(made[-1], made[:-1]).verdict is Verdict.BLOCK
    assert blocked <= 22  # level 0.0005 of 20,000 is 10; 22 is beyond it with chance 0.0004


def test_a_class_of_several_that_goes_missing_blocks():
    y = drawn([0.4, 0.4, 0.2, 0.0])[0]
    found = classes(y, drawn([0.3, 0.3, 0.2, 0.2]), MANY)
    assert found.verdict is Verdict.BLOCK
    assert list(found.details["chance"]) == ["d"]
    rare = classes(y, drawn([0.4, 0.4, 0.19, 0.01]), MANY)
    assert rare.verdict is Verdict.PASS


def test_windows_are_asked_only_where_a_class_is_missing():
    assert lacks_class(np.zeros(5), DEFINITION)
    assert not lacks_class(np.array([0.0, 1.0]), DEFINITION)
    numbers = definition(label={"objective": "regression", "classes": []})
    assert not lacks_class(np.ones(5), numbers)


@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.floats(0.02, 0.98))
def test_a_bound_never_exceeds_what_exchangeable_windows_give(seed, count, share):
    rng = np.random.default_rng(seed)
    before = [(rng.random(200) < share).astype(float) for _ in range(count)]
    tables = [window(i, heat=pa.array(np.resize(y, ROWS))) for i, y in enumerate(before, 1)]
    found = check_stuck(batch(ROWS, heat=STUCK), tables, DEFINITION)
    assert found.measured == 1 or 0 < found.measured <= 1 / (count + 1)
