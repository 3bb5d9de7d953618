"""Small definitions, batches, labels and samples for the tests of validate and profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ratchet.contracts.definition import Definition

BASE = {
    "name": "toy",
    "source": {"landing": "landing", "key": ["id"]},
    "time": {"column": "at", "kind": "integer", "window": 100},
    "label": {"column": "y", "classes": [0, 1]},
    "features": {"size": "number", "heat": "number", "color": "category"},
    "validate": {"suite": "expectations/toy.json", "min_rows": 10},
    "recipes": [{"name": "all_history"}],
}


def definition(**changes: Mapping[str, Any]) -> Definition:
    """The toy pipeline with tables replaced or extended."""
    merged = {**BASE, **{k: {**BASE.get(k, {}), **v} for k, v in changes.items()}}
    return Definition.model_validate(merged)


def batch(n: int = 200, seed: int = 0, **columns: Any) -> pa.Table:
    """A healthy batch of the toy pipeline; columns may be replaced (None drops one)."""
    rng = np.random.default_rng(seed)
    content: dict[str, Any] = {
        "_key": pa.array([f"k{i}" for i in range(n)], pa.string()),
        "size": pa.array(rng.normal(10, 2, n), pa.float64()),
        "heat": pa.array(rng.normal(50, 5, n), pa.float64()),
        "color": pa.array(rng.choice(["red", "green", "blue"], n), pa.string()),
    }
    content |= columns
    return pa.table({k: v for k, v in content.items() if v is not None})


def labels(y: Any, events: Any = None) -> pa.Table:
    """A label table for class indices or targets."""
    values = np.asarray(y, dtype=float)
    ticks = np.arange(len(values)) if events is None else events
    return pa.table(
        {
            "_key": pa.array([f"k{i}" for i in range(len(values))], pa.string()),
            "_event": pa.array(ticks, pa.int64()),
            "_label": pa.array(values, pa.float64()),
        }
    )


def skilled(n: int, skill: float, base_rate: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Labels of shape (n,), and scores that order them with about this skill (2 AUC - 1)."""
    from statistics import NormalDist

    y = (rng.random(n) < base_rate).astype(float)
    distance = NormalDist().inv_cdf((skill + 1) / 2) * 2**0.5
    return y, 1 / (1 + np.exp(-(rng.normal(size=n) + distance * y)))


def expectation(kind: str, level: str = "row", reason: str = "", **kwargs: Any) -> dict[str, Any]:
    """One entry of a suite."""
    return {"type": f"expect_{kind}", "kwargs": kwargs, "meta": {"level": level, "reason": reason}}


def suite(*expectations: dict[str, Any]) -> dict[str, Any]:
    """A suite of these expectations."""
    return {"name": "toy", "expectations": list(expectations)}
