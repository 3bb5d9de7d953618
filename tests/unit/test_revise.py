"""A suite is widened to where trusted rows reach, never narrowed; the rest is for people."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ratchet.adapters.expectations import GreatExpectations
from ratchet.profile import apply, revise, suite_text

NOTE = {"by": "ana", "reason": "a hot summer", "at": "2026-07-01T00:00:00+00:00"}


def rule(kind: str, level: str = "batch", **kwargs) -> dict:
    return {
        "type": f"expect_{kind}",
        "kwargs": kwargs,
        "meta": {"level": level, "reason": "as it was"},
    }


def suite(*rules: dict) -> dict:
    return {"name": "s", "expectations": list(rules)}


def frame(**columns) -> pd.DataFrame:
    base = {"heat": [10.0, 20.0, 30.0, 40.0], "cold": [1.0, 2.0, 3.0, 4.0], "city": list("aabb")}
    return pd.DataFrame({**base, **columns})


IN_A = {"type": "comparison", "column": {"name": "city"}, "operator": "==", "parameter": "a"}

BROKEN = [
    (rule("column_values_to_be_between", "row", column="heat", min_value=0, max_value=35),
     {"max_value": 44.0}),
    (rule("column_values_to_be_between", column="heat", min_value=25, mostly=0.75),
     {"min_value": 19.0}),
    (rule("column_values_to_be_between", column="heat", max_value=15, row_condition=IN_A),
     {"max_value": 21.0}),
    (rule("column_mean_to_be_between", column="heat", min_value=30, max_value=40),
     {"min_value": 23.5}),
    (rule("table_row_count_to_be_between", min_value=5, max_value=9), {"min_value": 3}),
    (rule("column_unique_value_count_to_be_between", column="city", min_value=3),
     {"min_value": 1}),
    (rule("column_values_to_be_in_set", column="city", value_set=["a"], mostly=0.8),
     {"value_set": ["a", "b"]}),
    (rule("column_distinct_values_to_contain_set", column="city", value_set=["a", "z"]),
     {"value_set": ["a"]}),
    (rule("multicolumn_values_to_agree_with_known", "row", column_list=["city", "cold"],
          known=[["a", 1.0], ["a", 2.0], ["b", 3.0]], tolerance=0.0),
     {"known": [["a", 1.0], ["a", 2.0], ["b", 3.0], ["b", 4.0]]}),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "expected"), BROKEN)
def test_a_broken_rule_is_widened_to_what_was_seen_and_a_tenth_more(broken, expected):
    windows = {"w1": frame()}
    (change,) = revise(suite(broken), windows, windows)
    assert change.kwargs == {**broken["kwargs"], **expected}
    assert "in window w1" in change.why
    changed = apply(suite(broken), [change], NOTE)
    assert revise(changed, windows, windows) == []
    assert all(r.success for r in GreatExpectations().run(changed, frame()))
    (entry,) = changed["expectations"][0]["meta"]["accepted"]
    assert (entry["by"], entry["because"]) == ("ana", change.why)
    assert changed["expectations"][0]["meta"]["reason"] == "as it was"


def test_missing_values_widen_a_share_but_never_a_rule_without_one():
    gone = frame(heat=[1.0, None, None, None])
    share = rule("column_values_to_not_be_null", column="heat", mostly=0.5)
    never = rule("column_values_to_not_be_null", "row", column="heat")
    first, second = revise(suite(share, never), {"w": gone}, {"w": gone})
    assert first.kwargs == {"column": "heat", "mostly": 0.25}
    assert second.kwargs is None
    assert apply(suite(share, never), [second], NOTE)["expectations"][1] == never


def test_an_order_that_no_longer_holds_is_left_to_a_person():
    order = rule(
        "column_pair_values_a_to_be_greater_than_b", "row", column_A="cold", column_B="heat"
    )
    (change,) = revise(suite(order), {"w": frame()}, {"w": frame()})
    assert change.kwargs is None
    assert "4 rows with cold below heat" in change.why


def test_what_holds_and_what_is_unknown_are_not_proposed():
    holds = rule("column_values_to_be_between", "row", column="heat", min_value=0, max_value=50)
    regex = rule("column_values_to_match_regex", "row", column="city", regex="^z")
    gone = rule("column_mean_to_be_between", column="nowhere", min_value=0)
    empty = frame().iloc[:0]
    windows = {"w": frame(), "x": empty}
    assert revise(suite(holds, regex, gone), windows, {"w": frame()}) == []


def test_rules_that_count_ask_all_rows_and_not_the_trusted_sample():
    count = rule("table_row_count_to_be_between", min_value=4, max_value=9)
    assert revise(suite(count), {"w": frame().head(1)}, {"w": frame()}) == []


def test_a_condition_that_is_not_understood_is_left_to_a_person():
    odd = {"type": "and", "conditions": [IN_A]}
    between = rule("column_values_to_be_between", column="heat", max_value=15, row_condition=odd)
    (change,) = revise(suite(between), {"w": frame()}, {"w": frame()})
    assert change.kwargs is None


@example(values=[5e-324], low=0.0, width=0.0, spare=0.0)  # less than any three digits
@given(
    values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30),
    low=st.floats(-1e6, 1e6),
    width=st.floats(0, 1e6),
    spare=st.sampled_from([0.0, 0.1, 0.5]),
)
@settings(max_examples=200, deadline=None)
def test_a_range_only_ever_grows_and_then_holds(values, low, width, spare):
    kwargs = {"column": "v", "min_value": low, "max_value": low + width, "mostly": 1 - spare}
    windows = {"w": pd.DataFrame({"v": values})}
    rules = suite(rule("column_values_to_be_between", **kwargs))
    for change in revise(rules, windows, windows):
        assert change.kwargs["min_value"] <= low
        assert change.kwargs["max_value"] >= low + width
        assert revise(apply(rules, [change], NOTE), windows, windows) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40),
        lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=40,
    )
)
@settings(max_examples=200, deadline=None)
def test_the_text_says_just_what_the_suite_says(value):
    made = {"name": "n", "expectations": [{"type": "t", "kwargs": {"a": value}, "meta": {}}]}
    assert json.loads(suite_text(made)) == made


def test_long_lists_are_wrapped_and_short_rules_stay_on_a_line():
    known = [["JFK", f"A{i}", i] for i in range(100)]
    text = suite_text(suite(rule("x", column_list=["a", "b", "c"], known=known)))
    assert max(len(line) for line in text.splitlines()) <= 112
    assert len(text.splitlines()) < 40
    assert np.isclose(len(json.loads(text)["expectations"][0]["kwargs"]["known"]), 100)
