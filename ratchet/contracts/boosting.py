"""XGBoost's training, at less cost where there is little to learn.

>>> boosted(matrix, parameters, 25, label=labels).num_boosted_rounds()          # doctest: +SKIP
25

Promise: the bytes of :func:`xgboost.train` on a quantile matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import xgboost as xgb
    from numpy.typing import NDArray

MANY = 2**22  # cells from which memory counts for more than the time to quantise without a copy


def boosted(
    matrix: NDArray[np.float32], parameters: Mapping[str, Any], rounds: int, **told: Any
) -> xgb.Booster:
    """Train with ``hist``.

    Args:
        matrix: shape (rows, features); missing is NaN.
        parameters: XGBoost's; ``max_bin`` and ``nthread`` among them.
        rounds: how many trees (times classes).
        told: of the rows and columns, as :class:`xgboost.DMatrix` takes it.
    """
    import xgboost as xgb

    told = {**told, "enable_categorical": True, "nthread": parameters["nthread"]}
    if matrix.size < MANY:
        data = xgb.DMatrix(matrix, **told)
    else:
        data = xgb.QuantileDMatrix(matrix, max_bin=parameters["max_bin"], **told)
    # Not xgb.train: its callbacks take a third of the time of a small training.
    trained = xgb.Booster(dict(parameters), [data])
    for i in range(rounds):
        trained.update(data, i)
    return trained
