"""Labels: raw values to class indices or regression targets, apart from the features or beside.

>>> encode_labels(pa.chunked_array([["1", ""]]), label, text=True).values     # doctest: +SKIP
array([ 1., nan])

Promise: a label that is not there is never a negative, and a value outside the declared classes is
never a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.contracts import columns as c
from ratchet.contracts.sections import Label
from ratchet.errors import DefinitionError, Unreadable
from ratchet.ingest.columns import NULLS, boolean, category, not_finite, number, plain
from ratchet.ingest.landed import (
    Int64s,
    Landed,
    Stamps,
    keys_of,
    known_of,
    naming,
    refuse_future,
    rejects_of,
    table_of,
    ticks_of,
)
from ratchet.ingest.sieve import Mask, Sieve
from ratchet.ingest.values import RowReject

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Encoded:
    """Labels of shape (rows,), float64, NaN where there is none or it is ``strange``."""

    values: NDArray[np.float64]
    strange: Mask
    check: str
    reason: str


def check_classes(label: Label, trained: Sequence[Any], version: int) -> None:
    """Labels are kept, and scores given, by the place of their class: no class may change its own.

    Args:
        label: as the pipeline declares it now.
        trained: the classes that the champion was trained on, in order.
        version: the champion's, for the message.

    Raises:
        DefinitionError: a class was added, taken away or moved. One may be renamed in its place.
    """
    now, before = list(label.classes), list(trained)
    moved = [value for value in now if value in before and now.index(value) != before.index(value)]
    if len(now) == len(before) and not moved:
        return
    raise DefinitionError(
        f"label.classes is {now}, but version {version}, the champion, was trained on {before}, "
        "and every label so far is kept by its place in that list: put the list back, or begin a "
        "pipeline of another name with the new one"
    )


def encode_labels(column: pa.ChunkedArray, label: Label, text: bool) -> Encoded:
    """Class indices or regression targets.

    A class is found by its text, so ``1``, ``1.0`` and ``"1"`` are one class; ``true`` and
    ``false`` stand for the classes 1 and 0, and the other way round.

    Raises:
        Unreadable: the column's type cannot hold labels, or no value is a declared class.
    """
    if label.objective == "regression":
        found = number(column, text)
        infinite = not_finite(found.values)
        values = _floats(found.values)
        strange = found.bad | infinite
        check = "not_finite" if infinite.any() else "type"
        reason = f"{label.column}: no finite number within float32"
        return Encoded(np.where(strange, np.nan, values), strange, check, reason)
    values, strange = _classes(column, label, text)
    allowed = ", ".join(str(value) for value in label.classes[:10])
    reason = f"{label.column}: not one of the declared classes {allowed}"
    return Encoded(values, strange, "label_class", reason)


def _classes(column: pa.ChunkedArray, label: Label, text: bool) -> tuple[NDArray[np.float64], Mask]:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = _spellings(label)
    try:
        texts = category(column).values
    except Unreadable:  # fractions among the numbers: each of them is strange
        texts = pc.cast(pc.cast(plain(column), pa.float64()), pa.string())
    absent = boolean(pc.is_null(texts))
    if text or pa.types.is_string(plain(column).type):
        texts = pc.utf8_trim_whitespace(texts)
        spelled = [n for n in NULLS if n not in names]
        absent |= boolean(pc.is_in(texts, value_set=pa.array(spelled, pa.string())))
    else:
        absent |= boolean(pc.equal(texts, "nan"))
    found = pc.index_in(texts, value_set=pa.array(list(names), pa.string()))
    strange = boolean(pc.is_null(found)) & ~absent
    if strange.any() and bool((strange | absent).all()) and len(strange) > 1:
        example = texts.filter(pa.array(strange))[0].as_py()
        raise Unreadable(f"no value is a declared class; found for instance {example[:40]!a}")
    index = np.array(list(names.values()), dtype=np.float64)
    values = index[np.array(pc.fill_null(found, 0))]
    return np.where(strange | absent, np.nan, values), strange


def _spellings(label: Label) -> dict[str, int]:
    """Text to class index: the declared text first, then other ways to write the same value."""
    same = {"0": ("false",), "1": ("true",), "false": ("0",), "true": ("1",)}
    texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in label.classes]
    out = {text: index for index, text in enumerate(texts)}
    for index, (text, value) in enumerate(zip(texts, label.classes, strict=True)):
        if isinstance(value, str):
            continue
        for other in same.get(text, ()):
            for spelling in (other, other.capitalize(), other.upper()):
                out.setdefault(spelling, index)
        for spelling in (text.capitalize(), text.upper(), f"{text}.0"):
            out.setdefault(spelling, index)
    return out


def _floats(column: Any) -> NDArray[np.float64]:
    import pyarrow.compute as pc

    return np.array(pc.fill_null(column, float("nan")), dtype=np.float64)


def labels_apart(landed: Landed) -> tuple[pa.Table, tuple[RowReject, ...]]:
    """Labels of an object of their own. Without the time column, event is known minus delay."""
    definition, sieve = landed.definition, Sieve(landed.size)
    here = sieve.kept.copy()
    keys = keys_of(landed, sieve)
    values = _values(landed, sieve)
    sieve.drop(np.isnan(values), "null_label", "the label is missing", definition.label.column)
    if definition.time.column in landed.raw.columns:
        found = ticks_of(landed, definition.time.column, sieve)
        event, known = found.values, _known(landed, found.values, sieve, here)
    else:
        found = ticks_of(landed, definition.label.known_column or "", sieve)
        event = found.values - definition.label_delay
        known = known_of(landed, found.values)
    refuse_future(landed, found, event, sieve)
    stamps = Stamps(keys, event, known, found.missing | found.gap)
    return _table(landed, stamps, values, sieve.kept), rejects_of(landed, stamps, sieve, "label")


def labels_beside(
    landed: Landed, rows: Sieve, stamps: Stamps
) -> tuple[pa.Table, tuple[RowReject, ...], int]:
    """Labels that travel with the features, and how many kept rows have none (yet)."""
    sieve = Sieve(landed.size)
    values = _values(landed, sieve)
    absent = np.isnan(values) & sieve.kept
    here = rows.kept & ~absent
    known = _known(landed, stamps.event, sieve, here)
    stamps = Stamps(stamps.keys, stamps.event, known, stamps.timeless)
    table = _table(landed, stamps, values, sieve.kept & here)
    rejected = rejects_of(landed, stamps, sieve, "label", here)
    return table, rejected, int((absent & rows.kept).sum())


def _values(landed: Landed, sieve: Sieve) -> NDArray[np.float64]:
    label = landed.definition.label
    with naming(label.column):
        found = encode_labels(landed.raw.columns[label.column], label, landed.raw.text)
    sieve.drop(found.strange, found.check, found.reason, label.column)
    return found.values


def _known(landed: Landed, event: Int64s, sieve: Sieve, here: Mask) -> Int64s:
    column = landed.definition.label.known_column
    if column is None:
        return known_of(landed, event + landed.definition.label_delay)
    return known_of(landed, np.maximum(event, ticks_of(landed, column, sieve, here).values))


def _table(landed: Landed, stamps: Stamps, values: NDArray[np.float64], kept: Mask) -> pa.Table:
    import pyarrow as pa

    payload = {c.LABEL: pa.array(np.nan_to_num(values))}
    return table_of(landed, stamps, payload, c.labels_schema(), kept)
