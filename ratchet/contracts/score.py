"""Rows in, scores out: how a stored model is asked, by the gate and by whoever serves it.

>>> scores = predict(bundle, rows)                                    # doctest: +SKIP

Promise: the same bundle and rows give the same scores, and a score that is not finite is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ratchet.contracts.bundle import MODEL, member_file
from ratchet.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import xgboost as xgb
    from numpy.typing import NDArray

    from ratchet.contracts.bundle import Bundle

    Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def encode(
    rows: pa.Table,
    features: Mapping[str, str],
    categories: Mapping[str, tuple[str, ...]],
    without: Collection[str] = (),
) -> NDArray[np.float32]:
    """The model's matrix, shape (rows, features), float32; missing and unseen are NaN, and so are
    all features of ``without``, whose columns are not asked for.

    Columns are taken by name, so their order in ``rows`` does not matter. Every NaN has the same
    bits, so that the matrix has one digest.

    Raises:
        ModelError: a feature's column is missing or of another type, or no categories are given.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    matrix = np.empty((rows.num_rows, len(features)), dtype=np.float32)
    for i, (name, kind) in enumerate(features.items()):
        if name in without:
            matrix[:, i] = np.nan
            continue
        column = _column(rows, name, kind)
        if kind == "category":
            known = pa.array(_known(categories, name), pa.string())
            column = pc.index_in(column, value_set=known)
        values = pc.cast(column, pa.float32(), safe=False).to_numpy()
        matrix[:, i] = values
        matrix[np.isnan(values), i] = np.nan
    return matrix


def unseen(rows: pa.Table, bundle: Bundle) -> dict[str, int]:
    """For each category feature, how many rows hold a value that the model does not know.

    Missing values do not count, nor do features that do not come any more.

    Raises:
        ModelError: a feature's column is missing or of another type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = {}
    for name, known in bundle.manifest.categories.items():
        if name in bundle.without:
            continue
        column = _column(rows, name, "category")
        found = pc.is_in(column, value_set=pa.array(known, pa.string()))
        strange = pc.and_(pc.is_valid(column), pc.invert(found))
        counts[name] = int(pc.sum(strange).as_py() or 0)
    return counts


def _column(rows: pa.Table, name: str, kind: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if name not in rows.column_names:
        raise ModelError(f"column {name!r} is missing; found {rows.column_names}")
    column = rows.column(name)
    found = column.type.value_type if types.is_dictionary(column.type) else column.type
    number = types.is_integer(found) or types.is_floating(found) or types.is_boolean(found)
    text = types.is_string(found) or types.is_large_string(found)
    if not (types.is_null(found) or (text if kind == "category" else number)):
        raise ModelError(f"column {name!r} is {column.type}, expected a {kind}")
    wanted = pa.string() if kind == "category" else pa.float64()
    return column if column.type == wanted else pc.cast(column, wanted, safe=False)


def _known(categories: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    if name not in categories:
        raise ModelError(f"feature {name!r} is a category, but the model names no values for it")
    return categories[name]


@lru_cache(maxsize=16)  # candidate and champion, each of several
def booster(model: bytes, threads: int) -> xgb.Booster:
    """The booster in UBJ bytes, whose digest the caller has checked.

    Raises:
        ModelError: XGBoost cannot read them.
    """
    import xgboost as xgb

    loaded = xgb.Booster({"nthread": threads})
    try:
        loaded.load_model(bytearray(model))
    except xgb.core.XGBoostError as error:
        raise ModelError(f"{MODEL}: XGBoost cannot read it: {str(error)[:200]}") from error
    return loaded


def predict(bundle: Bundle, rows: pa.Table) -> NDArray[np.float64]:
    """Scores of the rows, in order.

    Returns:
        Shape (rows,): the probability of class 1 (binary) or the value (regression); shape
        (rows, classes) of probabilities (multiclass).

    Raises:
        ModelError: a feature's column is missing, or a score is not finite.
    """
    import numpy as np

    scores = _scores(bundle, rows, _as_it_is)
    if not np.isfinite(scores).all():
        raise ModelError("the model gave scores that are not finite; it must not serve")
    return scores


def predict_without(bundle: Bundle, rows: pa.Table) -> dict[str, NDArray[np.float64]]:
    """Scores of the rows with one feature missing, for each feature; the rows are encoded once.

    Returns:
        Feature to what :func:`predict` gives, but for scores that are not finite: these are left
        to the caller.

    Raises:
        ModelError: a feature's column is missing or of another type.
    """
    import numpy as np

    names = list(bundle.manifest.features)

    def in_turn(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        many = np.tile(matrix, (len(names), 1))
        for i in range(len(names)):
            many[i * len(matrix) : (i + 1) * len(matrix), i] = np.nan
        return many

    return dict(zip(names, np.split(_scores(bundle, rows, in_turn), len(names)), strict=True))


def _as_it_is(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return matrix


def _scores(bundle: Bundle, rows: pa.Table, change: Change) -> NDArray[np.float64]:
    """Scores of the encoded rows after a change, which must leave its argument alone."""
    import numpy as np

    manifest = bundle.manifest
    if manifest.lineage.members:
        made = manifest.lineage
        own = {member.name: member.sharpness for member in made.members}
        margins = sharpened(_margins(bundle, rows, change), own)
        mixed = mix(margins, _weights(bundle), made.temperature, made.level)
        return scores_of(manifest.objective, mixed)
    matrix = change(encode(rows, manifest.features, manifest.categories, bundle.without))
    loaded = booster(bundle.models[MODEL], manifest.lineage.threads)
    return np.asarray(
        _shaped(loaded.inplace_predict(matrix), manifest.objective, manifest.classes),
        dtype=np.float64,
    )


def member_margins(bundle: Bundle, rows: pa.Table) -> dict[str, NDArray[np.float64]]:
    """What each member of a mixture says of the rows, before the link function.

    Returns:
        Member to shape (rows,) or, for several classes, (rows, classes).

    Raises:
        ModelError: a feature's column is missing or of another type.
    """
    return _margins(bundle, rows, _as_it_is)


def _margins(bundle: Bundle, rows: pa.Table, change: Change) -> dict[str, NDArray[np.float64]]:
    manifest, found = bundle.manifest, {}
    known: Mapping[str, tuple[str, ...]] | None = None
    matrix: NDArray[np.float32] | None = None
    for member in manifest.lineage.members:
        own = manifest.member_categories[member.name]
        if matrix is None or own != known:
            matrix, known = _recoded(rows, manifest.features, own, bundle.without, matrix), own
        loaded = booster(bundle.models[member_file(member.name)], manifest.lineage.threads)
        found[member.name] = margins_of(
            loaded, change(matrix), manifest.objective, manifest.classes
        )
    return found


def margins_of(
    loaded: xgb.Booster, matrix: NDArray[np.float32], objective: str, classes: Sequence[Any]
) -> NDArray[np.float64]:
    """What a booster says of encoded rows, before the link function.

    Returns:
        Shape (rows,) or, for several classes, (rows, classes).
    """
    import numpy as np

    margins = loaded.inplace_predict(matrix, predict_type="margin")
    return np.asarray(_shaped(margins, objective, classes), dtype=np.float64)


def _recoded(
    rows: pa.Table,
    features: Mapping[str, str],
    categories: Mapping[str, tuple[str, ...]],
    without: Collection[str],
    matrix: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """The matrix for these categories; of an earlier one only the categories are made anew."""
    if matrix is None:
        return encode(rows, features, categories, without)
    for i, (name, kind) in enumerate(features.items()):
        if kind == "category":
            matrix[:, i : i + 1] = encode(rows, {name: kind}, categories, without)
    return matrix


def _weights(bundle: Bundle) -> dict[str, float]:
    return {member.name: member.weight for member in bundle.manifest.lineage.members}


def _shaped(
    scores: NDArray[np.floating], objective: str, classes: Sequence[Any]
) -> NDArray[np.floating]:
    """One number a row, or one a row and class."""
    if objective != "multiclass":
        return scores.reshape(-1)
    return scores.reshape(-1, len(classes))


def sharpened(
    margins: Mapping[str, NDArray[np.float64]], sharpness: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    """Each member's margins times its sharpness, 1 by default."""
    return {n: m if (s := sharpness.get(n, 1.0)) == 1 else m * s for n, m in margins.items()}


def mix(
    margins: Mapping[str, NDArray[np.float64]],
    weights: Mapping[str, float],
    temperature: float = 1.0,
    level: Sequence[float] = (),
) -> NDArray[np.float64]:
    """The weighted mean of what the recipes say, before the link function.

    A logarithmic pool (Genest and Zidek 1986): for a binary label the mean of the log odds, for
    several classes of the log probabilities, for a regression of the values.

    Args:
        margins: recipe to shape (rows,) or (rows, classes).
        weights: recipe to weight; those of the recipes in ``margins`` are scaled to sum to 1.
        temperature: what the mean is divided by; above 1 the mixture is less sure than its members.
        level: what is added before that: one number, or one for each class; empty for nothing.
    """
    import numpy as np

    total = math.fsum(weights[name] for name in margins) * temperature
    parts = [np.asarray(m, dtype=np.float64) * (weights[n] / total) for n, m in margins.items()]
    mean = np.asarray(sum(parts[1:], start=parts[0]))
    return mean + np.asarray(level) / temperature if len(level) else mean


def scores_of(objective: str, margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Margins as scores: a probability (binary), probabilities that sum to 1 (multiclass, shape
    (rows, classes)), or the value itself (regression)."""
    import numpy as np

    if objective == "regression":
        return margins
    if objective == "binary":
        return np.asarray(np.exp(-np.logaddexp(0.0, -margins)))
    shifted = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
