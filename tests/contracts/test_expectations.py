"""What every SuiteRunner must do."""

from __future__ import annotations

import io
import logging
from contextlib import nullcontext, redirect_stderr

import numpy as np
import pandas as pd
import pytest

from ratchet.adapters import expectations as adapter
from ratchet.adapters.built_once import built_once
from ratchet.adapters.expectations import GreatExpectations
from ratchet.errors import DefinitionError
from tests.content_kit import expectation, suite

RUNNERS = [GreatExpectations]
BETWEEN = "column_values_to_be_between"
PAIR = "column_pair_values_a_to_be_greater_than_b"


@pytest.fixture(params=RUNNERS, ids=lambda r: r.__name__)
def runner(request):
    return request.param()


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"a": [1.0, 2.0, None, 500.0], "b": ["x", "y", None, "z"], "k": ["1", "2", "2", "3"]},
        index=[7, 7, 8, 9],
    )


def test_results_come_in_the_suites_order_with_unique_names(runner, frame):
    rules = suite(
        expectation(BETWEEN, column="a", max_value=1000),
        expectation("column_values_to_be_in_set", column="missing", value_set=["x"]),
        expectation(BETWEEN, column="b", min_value=0),
        expectation(BETWEEN, column="a", min_value=0),
        expectation("column_mean_to_be_between", "batch", column="a", max_value=1000),
    )
    names = [r.name for r in runner.run(rules, frame)]
    assert names == [
        "column_values_to_be_between(a)",
        "column_values_to_be_in_set(missing)",
        "column_values_to_be_between(b)",
        "column_values_to_be_between(a)#2",
        "column_mean_to_be_between(a)",
    ]


def test_rows_are_named_by_position_whatever_the_index(runner, frame):
    rules = suite(
        expectation(BETWEEN, column="a", max_value=100),
        expectation("column_values_to_be_unique", column="k"),
        expectation("column_values_to_not_be_null", column="b"),
    )
    found = runner.run(rules, frame)
    assert [r.failed_rows for r in found] == [(3,), (1, 2), (2,)]
    assert not any(r.success for r in found)
    assert "1 of 4 rows fail, such as 500" in found[0].observed
    assert found[0].expected == "at most 100"


def test_every_failing_row_is_named_however_many(runner):
    frame = pd.DataFrame({"a": np.arange(5000.0)})
    (found,) = runner.run(suite(expectation(BETWEEN, column="a", max_value=99)), frame)
    assert found.failed_rows == tuple(range(100, 5000))


def test_missing_values_are_left_out_of_ranges_and_pairs(runner):
    frame = pd.DataFrame({"a": [3.0, None, 1.0], "b": [2.0, 2.0, None]})
    rules = suite(
        expectation(BETWEEN, column="a", min_value=1),
        expectation(PAIR, column_A="a", column_B="b", ignore_row_if="either_value_is_missing"),
    )
    assert all(r.success for r in runner.run(rules, frame))


def test_a_condition_keeps_positions(runner, frame):
    only_z = {
        "type": "comparison",
        "column": {"name": "b"},
        "operator": "IN",
        "parameter": ["x", "z"],
    }
    rule = expectation(BETWEEN, column="a", max_value=100, row_condition=only_z)
    (found,) = runner.run(suite(rule), frame)
    assert found.failed_rows == (3,)


def test_success_is_a_plain_bool_and_text_is_plain(runner, frame):
    ranges = {"quantiles": [0.5], "value_ranges": [[0, 1]]}
    rules = suite(
        expectation(
            "column_quantile_values_to_be_between", "batch", column="a", quantile_ranges=ranges
        ),
        expectation("column_mean_to_be_between", "batch", column="a", max_value=3),
        expectation("table_row_count_to_be_between", "batch", max_value=4),
    )
    found = runner.run(rules, frame)
    assert [type(r.success) for r in found] == [bool] * 3
    assert found[1].observed == "mean 167.667"
    assert "np." not in "".join(r.observed + r.expected for r in found)


def test_a_batch_rule_names_no_rows_and_tolerates_what_mostly_says(runner, frame):
    rules = suite(
        expectation("column_values_to_not_be_null", "batch", column="a", mostly=0.7),
        expectation("column_values_to_not_be_null", "batch", column="a", mostly=0.8),
    )
    tolerated, failed = runner.run(rules, frame)
    assert tolerated.success and not failed.success
    assert failed.failed_rows == ()
    assert "1 of 4 rows" in tolerated.observed


def test_a_broken_check_is_a_result_and_leaves_the_others_alone(runner, frame):
    rules = suite(
        expectation(BETWEEN, column="b", min_value=0), expectation(BETWEEN, column="a", min_value=0)
    )
    broken, fine = runner.run(rules, frame)
    assert not broken.success and broken.exception and broken.failed_rows == ()
    assert fine.success and fine.exception is None


def test_an_engine_that_breaks_fails_every_rule(monkeypatch, frame):
    def fail() -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(adapter, "_batches", fail)
    rules = suite(expectation(BETWEEN, column="a", min_value=0))
    (found,) = GreatExpectations().run(rules, frame)
    assert found.exception == "MemoryError: no memory" and not found.success


def test_a_missing_column_fails_the_batch_by_name(runner, frame):
    (found,) = runner.run(suite(expectation(BETWEEN, column="temp", min_value=0)), frame)
    assert (found.success, found.level, found.exception) == (False, "batch", None)
    assert found.observed == "column missing: temp"


def test_an_empty_batch_gives_results_not_errors(runner, frame):
    rules = suite(
        expectation(BETWEEN, column="a", min_value=0),
        expectation("column_mean_to_be_between", "batch", column="a", min_value=0),
    )
    rows, mean = runner.run(rules, frame.iloc[:0])
    assert rows.success and rows.failed_rows == ()
    assert not mean.success


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "at least one rule"),
        ([3], "expected an object"),
        ([expectation("unheard_of", column="a")], "expect_unheard_of not found"),
        ([expectation(BETWEEN, column="a", min=1)], "extra fields not permitted"),
        ([expectation(BETWEEN, column="a")], "cannot both be None"),
        ([expectation(BETWEEN, level="", column="a", min_value=1)], "meta.level"),
        ([expectation("column_mean_to_be_between", column="a", min_value=1)], "no single row"),
        ([expectation(BETWEEN, column="a", min_value=1, mostly=0.9)], "mostly"),
    ],
)
def test_a_wrong_suite_is_refused_with_its_place(runner, frame, wrong, message):
    with pytest.raises(DefinitionError, match=message):
        runner.run(suite(*wrong), frame)


@pytest.mark.parametrize(
    "condition",
    [
        'col("b") == "x"',
        "@__import__('os').system('true')",
        {"type": "pass_through", "pass_through_filter": "a > 1"},
    ],
)
def test_a_condition_given_as_text_is_refused_because_it_would_run(runner, frame, condition):
    rule = expectation(
        BETWEEN, column="a", min_value=0, row_condition=condition, condition_parser="pandas"
    )
    with pytest.raises(DefinitionError, match="run as code"):
        runner.run(suite(rule), frame)


def test_two_frames_after_one_another_do_not_mix(runner, frame):
    rules = suite(expectation(BETWEEN, column="a", max_value=100))
    assert not runner.run(rules, frame)[0].success
    assert runner.run(rules, frame.assign(a=1.0))[0].success
    assert not runner.run(rules, frame)[0].success


def test_the_frame_is_not_changed(runner, frame):
    before = frame.copy()
    runner.run(suite(expectation(BETWEEN, column="a", max_value=100)), frame)
    pd.testing.assert_frame_equal(frame, before)


def test_nothing_is_written_to_the_terminal(runner, frame, caplog):
    noise = io.StringIO()
    adapter._batches.cache_clear()  # starting up must be silent too
    rules = suite(expectation(BETWEEN, column="b", min_value=0))
    with redirect_stderr(noise), caplog.at_level(logging.INFO):
        runner.run(rules, frame)
    assert noise.getvalue() == ""
    assert not [r for r in caplog.records if r.name.startswith("great_expectations")]


def test_the_library_is_as_it_was_after_a_run(runner, frame):
    from great_expectations import util
    from great_expectations.core.id_dict import IDDict
    from great_expectations.execution_engine import PandasExecutionEngine, pandas_execution_engine
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    def theirs():
        return (
            Expectation.configuration,
            ExpectationConfiguration.to_domain_obj,
            PandasExecutionEngine._apply_row_condition_filter,
            IDDict.to_id,
            pandas_execution_engine.hash_pandas_dataframe,
            util.does_ndarray_contain_decimal_dtype,
        )

    before = theirs()
    with pytest.raises(RuntimeError), built_once():
        assert all(now != was for now, was in zip(theirs(), before, strict=True))
        raise RuntimeError
    assert theirs() == before
    runner.run(suite(expectation(BETWEEN, column="a", max_value=100)), frame)
    assert theirs() == before


def test_results_are_the_same_where_objects_are_built_once(frame, monkeypatch):
    def where(value: object) -> dict[str, object]:
        return {
            "type": "comparison", "column": {"name": "b"}, "operator": "IN", "parameter": [value],
        }  # fmt: skip

    rules = suite(
        expectation(BETWEEN, column="a", max_value=100),
        expectation("column_values_to_be_in_set", column="b", value_set=["x", "y"]),
        expectation("column_mean_to_be_between", "batch", column="a", max_value=1),
        expectation("column_values_to_be_unique", column="k"),
        *(
            expectation(BETWEEN, column="a", max_value=limit, row_condition=where(value))
            for limit, value in ((0, "x"), (0, "y"), (100, "x"))
        ),
    )
    once = GreatExpectations().run(rules, frame)
    monkeypatch.setattr(adapter, "built_once", nullcontext)
    assert GreatExpectations().run(rules, frame) == once
