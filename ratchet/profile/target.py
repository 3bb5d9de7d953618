"""Finds what kind of prediction a label asks for, and the order of its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratchet.errors import DefinitionError
from ratchet.profile.values import InitOptions, Target, column_of, is_number, is_whole, shown

if TYPE_CHECKING:
    import pyarrow as pa

CLASSES = 50  # more distinct texts are no classes that anybody meant
WHOLE_CLASSES = 20  # so many distinct whole numbers are classes, more are a quantity
EXACT = 1e6  # spreads from 0; XGBoost's numbers have 24 bits
_NEGATIVE = ("0", "no", "n", "false", "f", "-1", "negative", "neg", "-", "off", "absent", "good")
_OBJECTIVES = ("binary", "multiclass", "regression")


def infer_target(table: pa.Table, options: InitOptions) -> tuple[Target, list[str]]:
    """The label and what to say about it.

    Raises:
        DefinitionError: no such column, one value only, or values that fit no objective.
    """
    import pyarrow.compute as pc

    column = column_of(table, options.label, "--label")
    present = len(column) - column.null_count
    if not present:
        raise DefinitionError(f"--label {shown(options.label)}: every value is missing")
    values = pc.value_counts(column.drop_null()).to_pylist()
    counts = {v["values"]: v["counts"] for v in values}
    objective = options.objective or _objective(column, counts, options.label)
    _check(objective, column, counts, options)
    classes = _classes(objective, column, counts)
    share = present / max(1, len(column))
    said = [_say(options, objective, classes, counts)]
    if objective == "regression":
        said += _scale(column)
    if share < 1:
        said.append(
            f"{share:.1%} of the rows have a label; the others are never taken as negative."
        )
    return Target(options.label, objective, classes, share), said


def _objective(column: pa.ChunkedArray, counts: dict[Any, int], name: str) -> str:
    if len(counts) == 1:
        raise DefinitionError(
            f"--label {shown(name)}: one value only ({shown(next(iter(counts)))}); nothing can be "
            "learned from it"
        )
    if len(counts) == 2 and is_discrete(column):
        return "binary"
    if not is_number(column.type):
        return "multiclass"
    few = len(counts) <= WHOLE_CLASSES and max(counts) - min(counts) <= CLASSES
    return "multiclass" if few and is_whole(column) else "regression"


def is_discrete(column: pa.ChunkedArray) -> bool:
    """Whether the values can be classes: text, truth values or whole numbers."""
    import pyarrow as pa

    kind = column.type
    return pa.types.is_string(kind) or pa.types.is_boolean(kind) or is_whole(column)


def _check(
    objective: str, column: pa.ChunkedArray, counts: dict[Any, int], options: InitOptions
) -> None:
    where, n = f"--label {shown(options.label)}", len(counts)
    if objective not in _OBJECTIVES:
        raise DefinitionError(f"--objective {objective}: expected one of {_OBJECTIVES}")
    if objective == "regression":
        if not is_number(column.type):
            raise DefinitionError(f"{where}: holds {column.type}, regression expects numbers")
        return
    if not is_discrete(column):
        raise DefinitionError(
            f"{where}: holds {column.type} with fractions, {objective} expects classes (text, "
            "truth values or whole numbers); pass --objective regression?"
        )
    if objective == "binary" and n != 2:
        raise DefinitionError(f"{where}: {n} distinct values, binary expects exactly 2")
    limit = CLASSES if options.objective is None else 1000
    if objective == "multiclass" and not 3 <= n <= limit:
        raise DefinitionError(
            f"{where}: {n} distinct values, multiclass expects 3 to {limit}; is it the label?"
        )


def _classes(objective: str, column: pa.ChunkedArray, counts: dict[Any, int]) -> tuple[Any, ...]:
    import pyarrow as pa

    if objective == "regression":
        return ()
    whole = is_number(column.type)
    names = {(int(v) if whole else v): n for v, n in counts.items()}
    ordered = sorted(names, key=lambda v: (0, v) if pa.types.is_string(column.type) else (v, ""))
    if objective == "multiclass":
        return tuple(ordered)
    first, second = ordered
    negatives = [v for v in ordered if str(v).strip().lower() in _NEGATIVE]
    if len(negatives) == 1:
        return (negatives[0], second if negatives[0] == first else first)
    return tuple(sorted(ordered, key=lambda v: -names[v]))  # the rarer one is positive


def _say(
    options: InitOptions, objective: str, classes: tuple[Any, ...], counts: dict[Any, int]
) -> str:
    asked = "as you asked" if options.objective else "inferred from its values"
    said = f"Label is {shown(options.label)}: {objective} ({asked})"
    if objective == "binary":
        total = sum(counts.values())
        positive = next(n for v, n in counts.items() if str(_plain(v)) == str(classes[1]))
        return (
            f"{said}. {shown(str(classes[1]))} counts as positive ({positive / total:.1%}), "
            f"{shown(str(classes[0]))} as negative; swap label.classes if it is the other way."
        )
    if objective == "multiclass":
        return f"{said}, {len(classes)} classes."
    return f"{said}, from {min(counts):g} to {max(counts):g}."


def _scale(column: pa.ChunkedArray) -> list[str]:
    """A warning where a target is so far from 0 that float32 blurs it; else nothing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.cast(column.drop_null(), pa.float64()).to_numpy()
    values = values[np.isfinite(values)]
    spread, middle = float(values.std()), abs(float(values.mean()))
    if middle <= EXACT * spread:
        return []
    return [
        f"Its standard deviation is {spread:.2g}, its mean {middle:.3g}: XGBoost learns little or "
        "nothing from differences so far from 0; shift it before it lands."
    ]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
