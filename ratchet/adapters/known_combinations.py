"""An expectation of our own: the last column's value is a known one of the others' combination.

Importing this module registers it with Great Expectations, under the name that suites write:
``expect_multicolumn_values_to_agree_with_known``. In a suite every argument is written out.

Promise: a combination that is not listed passes, and so does a missing value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    MulticolumnMapMetricProvider,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (  # noqa: E501
    multicolumn_condition_partial,
)

if TYPE_CHECKING:
    import pandas as pd


class MulticolumnValuesAgreeWithKnown(MulticolumnMapMetricProvider):  # type: ignore[misc]
    """Which rows agree, on pandas."""

    condition_metric_name = "multicolumn_values.agree_with_known"
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "ignore_row_if")
    condition_value_keys = ("known", "tolerance")

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,
        column_list: pd.DataFrame,
        known: list[list[Any]],
        tolerance: float,
        **_: Any,
    ) -> pd.Series[bool]:
        return agrees(column_list, known, tolerance)


class ExpectMulticolumnValuesToAgreeWithKnown(MulticolumnMapExpectation):  # type: ignore[misc]
    """Expect the last column's value to be a known one of the combination of the others.

    Args:
        column_list: the determining columns, then the determined one.
        known: lines ``[value of each determining column, ..., known value]``; a combination may
            have several lines. One that has none passes.
        tolerance: difference that a number may have, as a share of the known value.
    """

    known: list[list[Any]]
    tolerance: float = 0.0
    ignore_row_if: Literal["any_value_is_missing"] = "any_value_is_missing"

    map_metric: ClassVar[str] = "multicolumn_values.agree_with_known"
    success_keys: ClassVar[tuple[str, ...]] = ("mostly", "known", "tolerance")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "known", "tolerance")


def agrees(frame: pd.DataFrame, known: list[list[Any]], tolerance: float) -> pd.Series[bool]:
    """Whether the last column of each row holds a known value of the other columns' combination.

    Args:
        frame: shape (rows, determining columns + 1), without missing values.
        known: as the expectation's; each line as long as the frame is wide.
        tolerance: as the expectation's.

    Raises:
        ValueError: a line of another length.
    """
    import pandas as pd

    *sources, target = frame.columns
    if any(len(line) != len(frame.columns) for line in known):
        raise ValueError(f"known: expected lines of {len(frame.columns)} values")
    listed = pd.DataFrame(known, columns=[*sources, "expected"])
    numeric = pd.api.types.is_numeric_dtype(frame[target])
    rows = frame.reset_index(drop=True)
    rows["row"] = rows.index
    pairs = rows.merge(listed, on=sources, how="left")
    if numeric:
        gap = (pairs[target] - pairs["expected"]).abs()
        fits = gap <= tolerance * pairs["expected"].abs()
    else:
        fits = pairs[target] == pairs["expected"]
    good = (fits | pairs["expected"].isna()).groupby(pairs["row"]).any()
    return pd.Series(good.to_numpy(), index=frame.index)
