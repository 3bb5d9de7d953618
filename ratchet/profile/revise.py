"""Proposes how a suite must change where the world has really moved.

>>> for change in revise(suite, windows): print(change.why)                     # doctest: +SKIP
temp: 12.9 of window 2014-01-07 lies below 17

A rule is only ever widened, and only as far as rows reach that a person may trust: the trusted rows
where there are some. Rules that count rows or values are asked of all that landed. What cannot be
widened by arithmetic, such as an order that no longer holds, is named and left to a person.

Promise: with the proposed suite, the rows it was proposed from pass every rule that was changed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratchet.profile.suite import rounded

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5  # values named in a sentence
ROOM = 0.1  # of the new range, beyond what was seen
COUNTS = (
    "expect_table_row_count_to_be_between",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_distinct_values_to_contain_set",
)


@dataclass(frozen=True)
class Change:
    """One rule that the rows break.

    Attributes:
        index: place of the rule in the suite, from 0.
        name: the rule's, with its columns.
        kwargs: its arguments as they would have to be; None where a person has to write them.
        why: what was seen against what was expected.
    """

    index: int
    name: str
    kwargs: dict[str, Any] | None
    why: str


def revise(
    suite: Mapping[str, Any],
    windows: Mapping[str, pd.DataFrame],
    whole: Mapping[str, pd.DataFrame],
) -> list[Change]:
    """The changes that rows call for, in the suite's order.

    Args:
        suite: Great Expectations' JSON, as ``expectations/`` holds it.
        windows: window's name to rows that may be trusted, as a suite sees them, oldest first;
            they may be a sample.
        whole: window's name to all of its rows, for the rules that count.
    """
    found = []
    for index, rule in enumerate(suite["expectations"]):
        change = _of_rule(index, rule, whole if rule["type"] in COUNTS else windows)
        if change is not None:
            found.append(change)
    return found


def apply(
    suite: Mapping[str, Any], changes: Sequence[Change], note: Mapping[str, Any]
) -> dict[str, Any]:
    """A new suite with the changes; ``note`` (who, why, when) goes into each changed rule's meta.

    Changes that a person has to write are passed over.
    """
    changed = copy.deepcopy(dict(suite))
    for change in changes:
        if change.kwargs is None:
            continue
        rule = changed["expectations"][change.index]
        entry = {**note, "because": change.why}
        meta = rule.setdefault("meta", {})
        rule["kwargs"] = change.kwargs
        rule["meta"] = {**meta, "accepted": [*meta.get("accepted", []), entry]}
    return changed


def _of_rule(
    index: int, rule: Mapping[str, Any], windows: Mapping[str, pd.DataFrame]
) -> Change | None:
    kind, kwargs = str(rule["type"]), dict(rule["kwargs"])
    named = ", ".join(_columns(kwargs))
    name = f"{kind.removeprefix('expect_')}({named})"
    widen = WIDEN.get(kind)
    if widen is None:
        return None
    new, why = kwargs, ""
    for window, frame in windows.items():
        rows = _rows(frame, kwargs)
        if rows is None:
            return Change(index, name, None, "its row_condition is more than one comparison")
        if not len(rows) or not set(_columns(kwargs)) <= set(rows.columns):
            continue
        wider, seen = widen(new, rows)
        if wider is None:
            return Change(index, name, None, f"{seen} in window {window}")
        if wider != new:
            new, why = wider, f"{seen} in window {window}"
    return None if new == kwargs else Change(index, name, new, why)


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    named = [kwargs[k] for k in ("column", "column_A", "column_B") if k in kwargs]
    return [str(c) for c in [*named, *kwargs.get("column_list", ())]]


def _rows(frame: pd.DataFrame, kwargs: Mapping[str, Any]) -> pd.DataFrame | None:
    """The rows that the rule's condition picks; None for a condition that is not understood."""
    condition = kwargs.get("row_condition")
    if condition is None:
        return frame
    try:
        column = frame[condition["column"]["name"]]
        value, operator = condition["parameter"], str(condition["operator"])
    except (KeyError, TypeError):
        return None
    picks: dict[str, Callable[[], Any]] = {
        "==": lambda: column == value,
        "!=": lambda: column != value,
        "<": lambda: column < value,
        "<=": lambda: column <= value,
        ">": lambda: column > value,
        ">=": lambda: column >= value,
        "IN": lambda: column.isin(value),
        "NOT_IN": lambda: ~column.isin(value),
    }
    return frame[picks[operator]()] if operator in picks else None


Widened = tuple[dict[str, Any] | None, str]


def _between(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    """Bounds on values: with ``mostly``, just as many values as it allows may stay outside."""
    values = rows[kwargs["column"]].dropna().astype(float)
    spare = 1.0 - float(kwargs.get("mostly", 1.0))
    if not len(values):
        return kwargs, ""
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    outside = (values < (-math.inf if low is None else low)) | (
        values > (math.inf if high is None else high)
    )
    if float(outside.mean()) <= spare:
        return kwargs, ""
    ordered = values.sort_values().to_numpy()
    drop = int(spare * len(ordered))
    first, last = float(ordered[drop]), float(ordered[len(ordered) - 1 - drop])
    return _reach(kwargs, first, last, f"{int(outside.sum())} of {len(values)} values outside")


def _mean(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    mean = float(rows[kwargs["column"]].mean())
    return (kwargs, "") if math.isnan(mean) else _reach(kwargs, mean, mean, f"a mean of {mean:.6g}")


def _count(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    return _reach(kwargs, len(rows), len(rows), f"{len(rows)} rows")


def _distinct(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    count = int(rows[kwargs["column"]].nunique())
    return _reach(kwargs, count, count, f"{count} different values")


def _reach(kwargs: dict[str, Any], low: float, high: float, seen: str) -> Widened:
    """Bounds moved outwards where they must, by a tenth of the new range more: for next week."""
    new = dict(kwargs)
    least, most = kwargs.get("min_value"), kwargs.get("max_value")
    bottom = low if least is None else min(least, low)
    room = ROOM * ((high if most is None else max(most, high)) - bottom or abs(high))
    if least is not None and low < least:
        new["min_value"] = rounded(low - room, down=True)
    if most is not None and high > most:
        new["max_value"] = rounded(high + room, down=False)
    if isinstance(low, int):  # a count
        bounds = ("min_value", "max_value")
        new |= {key: int(new[key]) for key in bounds if new.get(key) is not None}
    return new, seen


def _known_values(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    """A set of values: with ``mostly`` only where too many are unknown."""
    values = rows[kwargs["column"]].dropna()
    unknown = ~values.isin(kwargs["value_set"])
    if not len(values) or 1 - float(unknown.mean()) >= float(kwargs.get("mostly", 1.0)):
        return kwargs, ""
    new = sorted(values[unknown].unique().tolist(), key=str)
    return {**kwargs, "value_set": [*kwargs["value_set"], *new]}, f"{_some(new)} not in the set"


def _contained(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    here = set(rows[kwargs["column"]].dropna().tolist())
    gone = [v for v in kwargs["value_set"] if v not in here]
    kept = [v for v in kwargs["value_set"] if v in here]
    return ({**kwargs, "value_set": kept}, f"without {_some(gone)}") if gone else (kwargs, "")


def _not_null(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    share = float(rows[kwargs["column"]].notna().mean())
    if share >= float(kwargs.get("mostly", 1.0)):
        return kwargs, ""
    if "mostly" not in kwargs:
        return None, f"{1 - share:.1%} missing where none may be"
    return {**kwargs, "mostly": math.floor(share * 100) / 100}, f"{1 - share:.1%} missing"


def _known_combinations(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    *sources, target = kwargs["column_list"]
    known: dict[tuple[Any, ...], list[Any]] = {}
    for line in kwargs["known"]:
        known.setdefault(tuple(line[:-1]), []).append(line[-1])
    new = []
    pairs = rows[kwargs["column_list"]].dropna().drop_duplicates()
    for *key, value in pairs.itertuples(index=False, name=None):
        listed = known.get(tuple(key))
        if listed is not None and not any(_same(value, v, kwargs["tolerance"]) for v in listed):
            listed.append(value)
            new.append([*key, value])
    if not new:
        return kwargs, ""
    what = f"{target} of {len(new)} known {' and '.join(sources)}: {_some(new)}"
    return {**kwargs, "known": [*kwargs["known"], *new]}, what


def _same(value: Any, known: Any, tolerance: float) -> bool:
    if isinstance(value, str) or isinstance(known, str):
        return bool(value == known)
    return bool(abs(value - known) <= tolerance * abs(known))


def _order(kwargs: dict[str, Any], rows: pd.DataFrame) -> Widened:
    a, b = kwargs["column_A"], kwargs["column_B"]
    broken = rows[a] < rows[b] if kwargs.get("or_equal") else rows[a] <= rows[b]
    count = int(broken.sum())
    return (None, f"{count} rows with {a} below {b}") if count else (kwargs, "")


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(str(v)[:40] for v in values[:SHOWN])
    return f"{shown} and {len(values) - SHOWN} more" if values[SHOWN:] else shown


WIDEN: dict[str, Callable[[dict[str, Any], pd.DataFrame], Widened]] = {
    "expect_column_values_to_be_between": _between,
    "expect_column_mean_to_be_between": _mean,
    "expect_table_row_count_to_be_between": _count,
    "expect_column_unique_value_count_to_be_between": _distinct,
    "expect_column_values_to_be_in_set": _known_values,
    "expect_column_distinct_values_to_contain_set": _contained,
    "expect_column_values_to_not_be_null": _not_null,
    "expect_multicolumn_values_to_agree_with_known": _known_combinations,
    "expect_column_pair_values_a_to_be_greater_than_b": _order,
}
