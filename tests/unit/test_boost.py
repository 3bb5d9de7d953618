"""Training: however the matrix is held, and whoever counts the rounds, the bytes are the same."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb

from ratchet.contracts import boosting
from ratchet.self_train import fit

PLAIN = {
    "tree_method": "hist",
    "max_depth": 4,
    "learning_rate": 0.2,
    "subsample": 0.8,
    "colsample_bytree": 0.7,
    "max_bin": 64,
    "seed": 7,
    "nthread": 1,
}
FEATURES = {"a": "number", "b": "number", "c": "category", "d": "number"}


def rows(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(900, 4)).astype(np.float32)
    matrix[:, 2] = rng.integers(0, 12, 900)
    matrix[:, 3] = np.round(matrix[:, 3])
    matrix[rng.random((900, 4)) < 0.1] = np.nan
    signal = np.nan_to_num(matrix[:, 0]) + 0.3 * rng.normal(size=900)
    labels = signal if not classes else np.digitize(signal, np.linspace(-1, 1, classes - 1))
    return matrix, labels.astype(np.float32)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize(
    ("objective", "classes"),
    [("binary:logistic", 2), ("multi:softprob", 3), ("reg:squarederror", 0)],
)
def test_small_and_large_matrices_and_xgboosts_own_loop_give_the_same_bytes(
    monkeypatch, objective, classes, margins, weighted
):
    matrix, labels = rows(classes)
    if classes == 2:
        labels = (labels > 0).astype(np.float32)
    told = {**PLAIN, "objective": objective, **({"num_class": 3} if classes == 3 else {})}
    weights = np.linspace(0.1, 1, 900, dtype=np.float32) if weighted else None
    base = np.full((900, classes) if classes == 3 else 900, 0.1) if margins else None
    small = fit.boost(matrix, labels, FEATURES, told, 12, weights=weights, margins=base)
    monkeypatch.setattr(boosting, "MANY", 0)
    assert fit.boost(matrix, labels, FEATURES, told, 12, weights=weights, margins=base) == small
    kinds = ["c" if kind == "category" else "q" for kind in FEATURES.values()]
    data = xgb.QuantileDMatrix(
        matrix,
        label=labels,
        weight=weights,
        base_margin=base,
        feature_types=kinds,
        enable_categorical=True,
        max_bin=64,
    )
    assert bytes(xgb.train(told, data, num_boost_round=12).save_raw("ubj")) == small
