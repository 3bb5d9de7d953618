"""What a rule of a suite expects and what a batch held instead, as a person reads it at night.

>>> expected("column_values_to_be_in_set", {"column": "car", "value_set": ["AA"], "mostly": 0.8})
'one of AA, in at least 80 % of the rows with a value'
>>> expected("column_values_to_be_between", {"column": "temp", "min_value": 0})
'at least 0'

Promise: any argument that has no words of its own is shown as it stands, so nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES, CELL = 3, 40  # values shown of those that fail, and characters of each
EXACT = 2**53  # whole numbers below it are shown to the last digit
LISTED = 12  # values of a set that are shown
# They belong to the arguments and not to what is expected.
NOT_EXPECTED = {"column", "column_A", "column_B", "column_list", "ignore_row_if", "batch_id"}
_RANGE = ("min_value", "max_value", "strict_min", "strict_max")


def clip(value: Any, limit: int) -> str:
    """One line of printable text: control and bidi characters escaped, length bounded."""
    raw = value[: limit + 1] if isinstance(value, str) else str(value)[: limit * 4]
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in raw)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def plain(value: Any) -> Any:
    """Numpy scalars, arrays and containers as plain Python values; floats to six digits."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    return value


def word(value: Any) -> str:
    """One value, short: a whole number without its fraction, nothing as ``none``."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "none"
    if isinstance(value, float | int) and not isinstance(value, bool):
        whole = float(value).is_integer() and abs(value) < EXACT
        return f"{value:.0f}" if whole else f"{value:.6g}"
    return clip(value, CELL)


def listed(values: Sequence[Any], most: int = LISTED) -> str:
    """Some values of many, and how many more there are."""
    shown = ", ".join(word(plain(value)) for value in values[:most])
    return f"{shown} and {len(values) - most:,} more" if values[most:] else shown


def expected(kind: str, kwargs: Mapping[str, Any]) -> str:
    """What a rule expects.

    Args:
        kind: the expectation's type, without ``expect_``.
        kwargs: its arguments.
    """
    left = {k: v for k, v in kwargs.items() if k not in NOT_EXPECTED and v is not None}
    condition, mostly = left.pop("row_condition", None), left.pop("mostly", 1)
    said = _EXPECTED[kind](kwargs, left) if kind in _EXPECTED else _range(left, "")
    if isinstance(left.get("value_set"), list):
        said = f"{said} one of {listed(left.pop('value_set'))}".strip()
    rest = [f"{k} {clip(v, 200)}" for k, v in left.items()]
    text = ", ".join(filter(None, (said, *rest))) or "holds"
    if mostly != 1:
        of = "rows" if "null" in kind else "rows with a value"
        text += f", in at least {100 * mostly:g} % of the {of}"
    return f"{text}, {_condition(condition)}" if condition else text


def _range(left: dict[str, Any], what: str) -> str:
    low, high, above, below = (left.pop(name, None) for name in _RANGE)
    if low is not None and high is not None and not (above or below):
        said = f"{word(low)} to {word(high)}"
    else:
        parts = [f"{'above' if above else 'at least'} {word(low)}"] if low is not None else []
        parts += [f"{'below' if below else 'at most'} {word(high)}"] if high is not None else []
        said = " and ".join(parts)
    return f"{said} {what}".strip()


def _columns(_: Mapping[str, Any], left: dict[str, Any]) -> str:
    others = "no others" if left.pop("exact_match", True) else "others may join"
    return f"the columns {listed(left.pop('column_set'))}; {others}"


def _order(kwargs: Mapping[str, Any], left: dict[str, Any]) -> str:
    sign = "at least" if left.pop("or_equal", False) else "above"
    return f"{kwargs['column_A']} {sign} {kwargs['column_B']}"


def _agree(kwargs: Mapping[str, Any], left: dict[str, Any]) -> str:
    *sources, target = kwargs["column_list"]
    near = left.pop("tolerance", 0.0)
    within = f", within {100 * near:g} %" if near else ""
    lines = len(left.pop("known"))
    return f"{target} as known for {', '.join(sources)}{within} ({lines:,} known combinations)"


def _quantiles(_: Mapping[str, Any], left: dict[str, Any]) -> str:
    ranges = left.pop("quantile_ranges")
    return "; ".join(
        f"quantile {word(q)} {_range({'min_value': low, 'max_value': high}, '')}"
        for q, (low, high) in zip(ranges["quantiles"], ranges["value_ranges"], strict=True)
    )


def _set(text: str) -> Callable[[Mapping[str, Any], dict[str, Any]], str]:
    return lambda _, left: text.format(listed(left.pop("value_set")))


_EXPECTED: dict[str, Callable[[Mapping[str, Any], dict[str, Any]], str]] = {
    "table_columns_to_match_set": _columns,
    "table_row_count_to_be_between": lambda _, left: _range(left, "rows"),
    "column_unique_value_count_to_be_between": lambda _, left: _range(left, "distinct values"),
    "column_values_to_not_be_null": lambda *_: "a value",
    "column_values_to_be_unique": lambda *_: "no value twice",
    "column_distinct_values_to_be_in_set": _set("none but {}"),
    "column_distinct_values_to_equal_set": _set("each of {}, and none but these"),
    "column_distinct_values_to_contain_set": _set("each of {}"),
    "column_values_to_match_regex": lambda _, left: f"the pattern {clip(left.pop('regex'), 200)}",
    "column_pair_values_a_to_be_greater_than_b": _order,
    "multicolumn_values_to_agree_with_known": _agree,
    "column_quantile_values_to_be_between": _quantiles,
}


def _condition(condition: Any) -> str:
    """A row condition as words; the JSON itself where it is more than one comparison."""
    try:
        column, value = condition["column"]["name"], condition["parameter"]
        values = listed(value) if isinstance(value, list) else word(value)
        return f"where {column} {str(condition['operator']).lower()} {values}"
    except (KeyError, TypeError):
        return f"where {clip(condition, 120)}"


def measured(kind: str, kwargs: Mapping[str, Any], value: Any, frame: pd.DataFrame) -> str:
    """What a rule on a whole column or table found.

    Args:
        kind, kwargs: as :func:`expected`.
        value: as the instrument gives it; None where it gives none.
        frame: the batch, shape (rows, columns).
    """
    column = kwargs.get("column")
    there = frame[column].dropna() if column in frame else None
    if kind == "table_columns_to_match_set":
        return _found_columns(kwargs, list(map(str, plain(value) or ())))
    if there is not None and not kwargs.get("row_condition"):
        if "distinct_values_to" in kind:
            return _found_values(kwargs["value_set"], there, "contain" in kind)
        if kind == "column_unique_value_count_to_be_between":
            few = f": {listed(list(there.unique()))}" if 0 < value <= EXAMPLES else ""
            return f"{value:,} distinct value{'' if value == 1 else 's'}{few or _empty(there)}"
    return _number(kind, plain(value), there)


def _number(kind: str, value: Any, there: pd.Series[Any] | None) -> str:
    """What was measured, by its name; ``there`` are the column's values, if it is of a column."""
    what = kind.removeprefix("column_").removeprefix("table_").split("_to_")[0].replace("_", " ")
    if value is None:
        return f"no {what}{(_empty(there) if there is not None else '') or ' could be measured'}"
    if kind == "table_row_count_to_be_between":
        return f"{value:,} rows"
    if isinstance(value, Mapping) and "quantiles" in value:
        pairs = zip(value["quantiles"], value["values"], strict=True)
        return "; ".join(f"quantile {word(q)} {word(found)}" for q, found in pairs)
    return f"{what} {listed(value) if isinstance(value, list) else clip(word(value), 200)}"


def _empty(there: pd.Series[Any]) -> str:
    return "" if len(there) else ": no row has a value"


def _found_columns(kwargs: Mapping[str, Any], found: Sequence[str]) -> str:
    wanted = list(map(str, kwargs["column_set"]))
    absent = [name for name in wanted if name not in found]
    strange = [name for name in found if name not in wanted]
    said = [f"missing: {listed(absent)}"] if absent else []
    if strange and kwargs.get("exact_match", True):
        said.append(f"not expected: {listed(strange)}")
    return "; ".join(said) or f"all {len(wanted)} columns are there"


def _found_values(wanted: Sequence[Any], there: pd.Series[Any], contain: bool) -> str:
    counts = there.value_counts()
    absent = [value for value in wanted if value not in counts.index]
    strange = counts[~counts.index.isin(list(wanted))]
    said = [f"missing: {listed(absent)}"] if absent and contain else []
    if len(strange) and not contain:
        rows = int(strange.sum())
        said.append(f"{rows:,} of {len(there):,} values are others: {examples(strange)}")
    held = listed(list(counts.index)) if len(counts) else "nothing: no row has a value"
    return "; ".join(said) + f"; found {held}" if said else f"found {held}"


def failing(
    kind: str,
    kwargs: Mapping[str, Any],
    columns: Sequence[str],
    counts: Mapping[str, Any],
    frame: pd.DataFrame,
) -> str:
    """What a rule on rows found.

    Args:
        kind, kwargs: as :func:`expected`.
        columns: those that it looks at.
        counts: ``unexpected_count``, ``element_count``, ``missing_count``, as the instrument says.
        frame: the rows that fail, shape (rows, columns).
    """
    names = ("unexpected_count", "element_count", "missing_count")
    count, rows, missing = (int(counts.get(name) or 0) for name in names)
    tolerant = kwargs.get("mostly", 1) != 1
    if kind == "column_values_to_not_be_null":
        share = _share(rows - count, rows, "have one") if tolerant else ""
        return f"{count:,} of {rows:,} rows have no value{share}"
    judged, of = (rows - missing, "rows with a value") if tolerant and missing else (rows, "rows")
    share = _share(judged - count, judged, "do not") if tolerant else ""
    held = f"{count:,} of {judged:,} {of} fail{share}"
    seen = [name for name in columns if name in frame.columns]
    if not count or not seen or not len(frame):
        return held
    found = frame[seen].value_counts(dropna=False, sort=False)
    if len(seen) == 1:
        found.index = found.index.get_level_values(0)
    known = kwargs["known"] if kind == "multicolumn_values_to_agree_with_known" else ()
    return f"{held}, such as {examples(found, known)}"


def _share(good: int, of: int, verb: str) -> str:
    return f" ({100 * good / of:.3g} % {verb})" if of else ""


def examples(counts: pd.Series[Any], known: Sequence[Sequence[Any]] = ()) -> str:
    """The most frequent values, or combinations, with how many rows hold each.

    Args:
        counts: by value or combination.
        known: lines of the values of a combination, then the one that it should have.
    """
    ordered = counts.sort_values(ascending=False, kind="stable")
    names = ordered.index.names if ordered.index.nlevels > 1 else None
    shown = []
    for value, rows in list(zip(ordered.index, ordered.tolist(), strict=True))[:EXAMPLES]:
        parts: Iterable[str] = [word(plain(v)) for v in (value if names else [value])]
        if names:
            parts = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
        right = [line[-1] for line in known if list(line[:-1]) == list(value[:-1])]
        notes = [f"known: {listed(right)}"] if right else []
        notes += [f"{rows:,} rows"] if rows > 1 else []
        shown.append(", ".join(parts) + (f" ({'; '.join(notes)})" if notes else ""))
    return "; ".join(shown)
