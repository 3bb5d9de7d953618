"""Training proper: a matrix in, XGBoost's own UBJ bytes out.

>>> model = train(training, definition, recipe)                           # doctest: +SKIP

Promise: the same training set, recipe, seed and thread count give the same bytes; what cannot be
learned from is refused by name before XGBoost sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ratchet.contracts.boosting import boosted
from ratchet.errors import NoCandidate
from ratchet.self_train.unit import in_unit, unit_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.recipes import Recipe
    from ratchet.self_train.training_set import TrainingSet

OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}


def train(training: TrainingSet, definition: Definition, recipe: Recipe) -> bytes:
    """Train one booster (hist, native categories); a target's unit makes no difference.

    Returns:
        The model as UBJ.

    Raises:
        NoCandidate: fewer rows than ``train.min_rows``, one class only, a constant target, labels
            that are not finite or no class, infinite features, or no feature with any value.
    """
    refuse_unlearnable(training, definition)
    numbers = definition.label.objective == "regression"
    unit = unit_of(training.labels) if numbers else 1.0
    model = boost(
        training.matrix,
        training.labels if unit == 1 else training.labels / training.labels.dtype.type(unit),
        training.features,
        parameters(definition, recipe),
        recipe.rounds,
        weights=training.weights if recipe.half_life is not None else None,
    )
    return model if unit == 1 else in_unit(model, unit, definition.train.threads)


def boost(
    matrix: NDArray[np.float32],
    labels: NDArray[np.floating],
    features: Mapping[str, str],
    parameters: Mapping[str, Any],
    rounds: int,
    *,
    weights: NDArray[np.float32] | None = None,
    margins: NDArray[np.floating] | None = None,
) -> bytes:
    """Boosted trees on a matrix whose categories are indexes.

    Args:
        matrix: shape (rows, features); missing is NaN.
        labels: shape (rows,).
        features: name to kind, in the order of the columns.
        parameters: XGBoost's; ``max_bin`` and ``nthread`` among them.
        rounds: how many trees (times classes).
        weights: shape (rows,), or None.
        margins: what an earlier model says of these rows, shape (rows,) or (rows, classes): the
            trees learn what it leaves (Friedman 2001). None starts from nothing.

    Returns:
        The model as UBJ.
    """
    trained = boosted(
        matrix,
        parameters,
        rounds,
        label=labels,
        weight=weights,
        base_margin=margins,
        feature_types=["c" if kind == "category" else "q" for kind in features.values()],
    )
    return bytes(trained.save_raw("ubj"))


def parameters(definition: Definition, recipe: Recipe) -> dict[str, Any]:
    """XGBoost's parameters for a recipe; with the number of rounds they decide the model."""
    found: dict[str, Any] = {
        "objective": OBJECTIVES[definition.label.objective],
        "tree_method": "hist",
        "max_depth": recipe.max_depth,
        "learning_rate": recipe.learning_rate,
        "min_child_weight": recipe.min_child_weight,
        "subsample": recipe.subsample,
        "colsample_bytree": recipe.colsample_bytree,
        "reg_lambda": recipe.reg_lambda,
        "max_bin": recipe.max_bin,
        "seed": definition.train.seed,
        "nthread": definition.train.threads,
        "verbosity": 1,
    }
    if definition.label.objective == "multiclass":
        found["num_class"] = len(definition.label.classes)
    return found


def refuse_unlearnable(training: TrainingSet, definition: Definition) -> None:
    """Raise what :func:`train` names. XGBoost itself would train on all of these without a word."""
    import numpy as np

    true = training.true  # a teacher's labels are probabilities, and count for nothing here
    labels, rows = training.labels[true], int(true.sum())
    if rows < max(definition.train.min_rows, 1):
        raise NoCandidate(f"{rows} training rows < train.min_rows ({definition.train.min_rows})")
    if not np.isfinite(labels).all():
        bad = int((~np.isfinite(labels)).sum())
        raise NoCandidate(f"{bad} training labels are not finite; expected none")
    classes = len(definition.label.classes)
    if classes and not (np.isin(labels, np.arange(classes))).all():
        raise NoCandidate(f"training labels hold values that are none of the {classes} classes")
    counted = labels[training.weights[true] > 0]
    if len(counted) == 0 or (counted == counted[0]).all():
        only = "none" if len(counted) == 0 else f"{counted[0]:g}"
        raise NoCandidate(
            f"{rows} training rows hold one label value only ({only}); "
            "expected two classes or a target that varies"
        )
    if np.isnan(training.matrix).all():
        raise NoCandidate(f"no value in any of the {len(training.features)} features")
    if np.isinf(training.matrix).any():
        raise NoCandidate("features hold values beyond float32 (3.4e38); expected none")
