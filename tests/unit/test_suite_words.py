"""Each kind of rule says what it found and what it expected, as a person would."""

from __future__ import annotations

import pandas as pd
import pytest

from ratchet.adapters.expectations import GreatExpectations
from ratchet.adapters.suite_words import expected, listed, word
from ratchet.profile.revise import WIDEN
from tests.content_kit import expectation, suite

IN_JFK = {
    "type": "comparison",
    "column": {"name": "city"},
    "operator": "IN",
    "parameter": ["JFK", "LGA"],
}
KNOWN = [["JFK", 5], ["LGA", 2]]
# Rule, what it found, what it expected.
SAID = [
    (
        expectation(
            "table_columns_to_match_set", "batch", column_set=["_key", "gone"], exact_match=False
        ),
        "missing: gone",
        "the columns _key, gone; others may join",
    ),
    (
        expectation("table_columns_to_match_set", "batch", column_set=["_key", "car", "city"]),
        "not expected: dead, stuck, temp, wind",
        "the columns _key, car, city; no others",
    ),
    (
        expectation("table_row_count_to_be_between", "batch", min_value=500, max_value=9000),
        "6 rows",
        "500 to 9000 rows",
    ),
    (
        expectation("column_values_to_not_be_null", column="_key"),
        "1 of 6 rows have no value",
        "a value",
    ),
    (
        expectation("column_values_to_not_be_null", "batch", column="car", mostly=0.9),
        "1 of 6 rows have no value (83.3 % have one)",
        "a value, in at least 90 % of the rows",
    ),
    (
        expectation("column_values_to_be_unique", column="_key"),
        "2 of 6 rows fail, such as 2 (2 rows)",
        "no value twice",
    ),
    (
        expectation("column_values_to_be_between", column="temp", min_value=0, max_value=100),
        "2 of 6 rows fail, such as -99999.1; 500",
        "0 to 100",
    ),
    (
        expectation(
            "column_values_to_be_between", column="wind", max_value=1, row_condition=IN_JFK
        ),
        "4 of 5 rows fail, such as 5 (2 rows); 2; 4",
        "at most 1, where city in JFK, LGA",
    ),
    (
        expectation(
            "column_values_to_be_in_set", "batch", column="car", value_set=["AA", "UA"], mostly=0.8
        ),
        "4 of 5 rows with a value fail (20 % do not), such as XX (2 rows); YY; ZZ",
        "one of AA, UA, in at least 80 % of the rows with a value",
    ),
    (
        expectation("column_values_to_match_regex", column="car", regex="^[A-X]+$"),
        "2 of 6 rows fail, such as YY; ZZ",
        "the pattern ^[A-X]+$",
    ),
    (
        expectation(
            "column_unique_value_count_to_be_between", "batch", column="stuck", min_value=2
        ),
        "1 distinct value: 7",
        "at least 2 distinct values",
    ),
    (
        expectation("column_unique_value_count_to_be_between", "batch", column="dead", min_value=2),
        "0 distinct values: no row has a value",
        "at least 2 distinct values",
    ),
    (
        expectation(
            "column_pair_values_a_to_be_greater_than_b",
            column_A="temp",
            column_B="wind",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
        ),
        "3 of 6 rows fail, such as temp -99999.1, wind 4; temp 1, wind 5; temp 3, wind 5",
        "temp at least wind",
    ),
    (
        expectation(
            "multicolumn_values_to_agree_with_known",
            column_list=["city", "wind"],
            known=KNOWN,
            tolerance=0.01,
        ),
        "3 of 6 rows fail, such as city JFK, wind 4 (known: 5); city LGA, wind 1 (known: 2); "
        "city LGA, wind 5 (known: 2)",
        "wind as known for city, within 1 % (2 known combinations)",
    ),
    (
        expectation(
            "column_distinct_values_to_contain_set",
            "batch",
            column="city",
            value_set=["JFK", "BOS"],
        ),
        "missing: BOS; found LGA, JFK, EWR",
        "each of JFK, BOS",
    ),
    (
        expectation(
            "column_distinct_values_to_contain_set", "batch", column="dead", value_set=["JFK"]
        ),
        "missing: JFK; found nothing: no row has a value",
        "each of JFK",
    ),
    (
        expectation(
            "column_mean_to_be_between", "batch", column="temp", min_value=-10, max_value=9
        ),
        "mean -19898.6",
        "-10 to 9",
    ),
    (
        expectation("column_mean_to_be_between", "batch", column="dead", min_value=-10),
        "no mean: no row has a value",
        "at least -10",
    ),
    (
        expectation("column_distinct_values_to_be_in_set", "batch", column="car", value_set=["AA"]),
        "4 of 5 values are others: XX (2 rows); YY; ZZ; found XX, AA, YY, ZZ",
        "none but AA",
    ),
    (
        expectation(
            "column_most_common_value_to_be_in_set", "batch", column="car", value_set=["AA"]
        ),
        "most common value XX",
        "one of AA",
    ),
    (
        expectation(
            "column_quantile_values_to_be_between",
            "batch",
            column="temp",
            quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 1]]},
        ),
        "quantile 0.5 2",
        "quantile 0.5 0 to 1",
    ),
]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "_key": ["1", "2", "2", "4", "5", None],
            "temp": [1.0, 2.0, None, 500.0, -99999.123456, 3.0],
            "wind": [5.0, 1, 2, 3, 4, 5],
            "car": ["AA", "XX", "YY", "XX", None, "ZZ"],
            "city": ["JFK", "LGA", "LGA", "EWR", "JFK", "LGA"],
            "stuck": [7.0] * 6,
            "dead": [None] * 6,
        }
    )


def test_every_kind_in_words(frame):
    found = GreatExpectations().run(suite(*(rule for rule, _, _ in SAID)), frame)
    for result, (rule, observed, wanted) in zip(found, SAID, strict=True):
        assert (result.observed, result.expected) == (observed, wanted), rule
        assert not result.success
        assert "None" not in result.observed


def test_every_kind_that_init_proposes_or_mends_is_here():
    told = {rule["type"] for rule, _, _ in SAID}
    assert set(WIDEN) <= told


def test_an_argument_without_words_is_shown_as_it_stands():
    assert expected("column_values_to_be_of_type", {"type_": "float64"}) == "type_ float64"
    assert expected("table_column_count_to_equal", {"value": 3}) == "value 3"
    strict = {"column": "x", "min_value": 0, "strict_min": True, "max_value": 2.5}
    assert expected("column_values_to_be_between", strict) == "above 0 and at most 2.5"
    assert expected("column_values_to_be_between", {"column": "x"}) == "holds"


def test_long_lists_and_odd_text_stay_short():
    assert listed(range(20)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"
    assert word("a\n\u202eb" + "c" * 99) == "a\\n\\u202eb" + "c" * 27 + "..."
    assert (word(None), word(float("nan")), word(2.0), word(1089)) == ("none", "none", "2", "1089")
    shown = [word(value) for value in (12345678.0, 0.123456789, 2.0**60)]
    assert shown == ["12345678", "0.123457", "1.15292e+18"]
