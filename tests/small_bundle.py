"""A tiny trained model for tests of the registry: 3 features, 200 rows, a fraction of a second."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ratchet.contracts.bundle import MODEL, Bundle, Manifest, pack
from ratchet.contracts.lineage import Lineage
from ratchet.contracts.score import encode

FEATURES = {"carrier": "category", "hour": "number", "distance": "number"}
CATEGORIES = {"carrier": ("AA", "B6", "UA")}


def rows(n: int = 200, seed: int = 0) -> pa.Table:
    """Rows with a category, two numbers and some missing values."""
    rng = np.random.default_rng(seed)
    hour = rng.integers(0, 24, n).astype(float)
    missing = rng.random(n) < 0.1
    return pa.table(
        {
            "carrier": pa.array(rng.choice(["AA", "B6", "UA"], n), pa.string()),
            "hour": pa.array(hour, pa.float64(), mask=missing),
            "distance": pa.array(rng.normal(1000, 300, n), pa.float64()),
        }
    )


def lineage(window: str = "2013-03-05", seed: int = 1) -> Lineage:
    """A lineage of a weekly flights cycle."""
    return Lineage(
        pipeline="flights",
        window=window,
        as_of=1_363_046_400_000_000,
        recipe={"name": "all_history", "rounds": 5, "max_depth": 3},
        seed=seed,
        threads=1,
        accepted_version=9,
        labels_version=8,
        train_from=None,
        train_before=1_361_836_800_000_000,
        rows=200,
        data_digest="d" * 64,
        definition_digest="e" * 64,
        code_digest="c" * 64,
        parent=None,
    )


@lru_cache(maxsize=16)
def bundle(seed: int = 1, objective: str = "binary", window: str = "2013-03-05") -> Bundle:
    """A trained bundle; the same arguments always give the same bytes."""
    import xgboost as xgb

    table = rows()
    classes: tuple[int, ...] = {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}[
        objective
    ]
    names = {
        "binary": "binary:logistic",
        "multiclass": "multi:softprob",
        "regression": "reg:squarederror",
    }
    labels = np.random.default_rng(seed).integers(0, max(len(classes), 2), table.num_rows)
    params = {
        "objective": names[objective],
        "max_depth": 3,
        "seed": seed,
        "nthread": 1,
        "tree_method": "hist",
        **({"num_class": 3} if objective == "multiclass" else {}),
    }
    matrix = xgb.DMatrix(encode(table, FEATURES, CATEGORIES), label=labels)
    trained = xgb.train(params, matrix, num_boost_round=5)
    sink = BytesIO()
    pq.write_table(table, sink)
    gains = dict.fromkeys(FEATURES, 1 / 3)
    manifest = Manifest(objective, classes, FEATURES, CATEGORIES, gains, lineage(window, seed))
    return pack(manifest, {MODEL: bytes(trained.save_raw("ubj"))}, sink.getvalue())
