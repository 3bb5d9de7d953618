"""The unit that a regression's target is learned in; its model speaks the target's own.

>>> import numpy as np
>>> unit_of(np.array([0.0, 2e-6, 4e-6])), unit_of(np.array([0.0, 20.0, 40.0]))
(1.9073486328125e-06, 1.0)

XGBoost refuses splits that gain less than 1e-6 (``kRtEps``) and adds gains up in float32, so it
hardly learns a target in millionths, and none beyond 1e18. So a target whose spread is far from 1
is learned in a power of two near that spread. Then the numbers of the trees that stand for
targets are multiplied by it. Only exponents change: a target that XGBoost could have learned as it
is gives the same bytes either way, and whoever reads the model need not know.

Promise: the same target in another unit gives the same trees.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLAIN = (1.0, 2.0**20)  # spreads that XGBoost learns as they are; to rewrite trees takes time


def unit_of(labels: NDArray[np.floating]) -> float:
    """A power of two near the target's standard deviation; 1 where XGBoost needs none.

    Args:
        labels: shape (rows,), finite, not all the same.
    """
    spread = float(labels.std(dtype="float64"))
    if spread == 0 or PLAIN[0] <= spread <= PLAIN[1]:
        return 1.0
    return 2.0 ** round(math.log2(spread))


def in_unit(model: bytes, unit: float, threads: int) -> bytes:
    """The model whose values are ``unit`` times those of ``model`` (UBJ): its leaves and the score
    that it begins with. Gains stay: their squares may leave float32, and only shares are read."""
    import xgboost as xgb

    learned = xgb.Booster({"nthread": threads})
    learned.load_model(bytearray(model))
    content = json.loads(learned.save_raw("json"))
    learner = content["learner"]
    begins = learner["learner_model_param"]
    begins["base_score"] = json.dumps(_times(json.loads(begins["base_score"]), unit))
    for tree in learner["gradient_booster"]["model"]["trees"]:
        scaled = _times(tree["split_conditions"], unit)
        tree["split_conditions"] = [
            new if left == -1 else old  # of a leaf its value, else where the rows part
            for left, old, new in zip(
                tree["left_children"], tree["split_conditions"], scaled, strict=True
            )
        ]
        tree["base_weights"] = _times(tree["base_weights"], unit)
    written = xgb.Booster({"nthread": threads})
    written.load_model(bytearray(json.dumps(content).encode()))
    return bytes(written.save_raw("ubj"))


def _times(values: list[float], factor: float) -> list[Any]:
    """Products as float32 has them; what lies beyond ends at its largest number."""
    import numpy as np

    largest = float(np.finfo(np.float32).max)
    products = np.clip(np.asarray(values, dtype=np.float64) * factor, -largest, largest)
    return list(products.astype(np.float32).astype(np.float64).tolist())
