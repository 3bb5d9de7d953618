"""River's online learners on the same streams: Adaptive Random Forest and Hoeffding Adaptive Tree.

>>> scores, seconds = play(stream, "river HAT", delays=(0, 2))          # doctest: +SKIP

They learn every row, one by one, and score every row. One pass serves every label delay: having
learned all windows before k, they score windows k + delay. With the delay 0 that is a window at a
time, as for all other policies: River's own test-then-train would know each row's label at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_fits import FIRST
from benchmarks.engine_streams import Rows, Stream

NAMES = ("river ARF", "river HAT")


@dataclass(frozen=True, eq=False)
class Played:
    """Scores by delay and window, and the CPU seconds of learning and of scoring once."""

    scores: dict[int, dict[int, NDArray[np.float64]]]
    seconds: float


def play(stream: Stream, name: str, delays: tuple[int, ...]) -> Played:
    """Learn the stream once and score it at each delay."""
    model, windows = _model(name, stream), stream.windows
    scores: dict[int, dict[int, NDArray[np.float64]]] = {d: {} for d in delays}
    seconds = 0.0
    for known, newest in enumerate(windows):
        for d in delays:
            w = known + d
            if FIRST <= w < len(windows):
                started = time.process_time()
                scores[d][w] = np.array([_score(model, x) for x, _ in _dicts(windows[w], stream)])
                seconds += (time.process_time() - started) / len(delays)
        started = time.process_time()
        for x, y in _dicts(newest, stream):
            model.learn_one(x, y)
        seconds += (time.process_time() - started) * (known >= FIRST)
    return Played(scores, seconds)


def _dicts(rows: Rows, stream: Stream) -> Iterator[tuple[dict[str, Any], bool]]:
    kinds = list(stream.features.items())
    for values, y in zip(np.nan_to_num(rows.matrix, nan=-1.0).tolist(), rows.labels, strict=True):
        x = {
            n: str(int(v)) if k == "category" else v
            for (n, k), v in zip(kinds, values, strict=True)
        }
        yield x, bool(y > 0.5)


def _score(model: Any, x: dict[str, Any]) -> float:
    found = model.predict_proba_one(x)
    return float(found.get(True, 0.0 if found else 0.5))


def _model(name: str, stream: Stream) -> Any:
    from river import forest, tree

    if name == "river ARF":
        return forest.ARFClassifier(n_models=10, seed=20130101)
    nominal = [n for n, k in stream.features.items() if k == "category"]
    return tree.HoeffdingAdaptiveTreeClassifier(nominal_attributes=nominal, seed=20130101)
