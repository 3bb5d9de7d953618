"""Trainings that several policies share: each is made once, and billed to all that use it.

>>> fits = Fits(stream)                                                 # doctest: +SKIP
>>> fits.window(plain(6), 0, 20).margins(25).shape                      # doctest: +SKIP
(1000,)

So policies differ by what they train and when, never by the noise of the machine: the same training
costs each of them the same CPU seconds.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_streams import Rows, Stream
from ratchet.contracts.recipes import Recipe
from ratchet.self_train.fit import boost

FIRST = 8  # window from which on predictions count


class Model(Protocol):
    """What scores a window."""

    def margins(self, window: int) -> NDArray[np.float64]:
        """Log odds of its rows, shape (rows,)."""
        ...

    def predict_seconds(self, window: int) -> float:
        """CPU seconds that scoring it took."""
        ...


class Fit:
    """Boosted trees, alone or on top of another model, and what they cost."""

    def __init__(self, stream: Stream, rows: Sequence[int], recipe: Recipe, below: Fit | None):
        self.stream, self.below = stream, below
        self._predict_seconds: dict[int, float] = {}
        self.rows = sum(len(stream.windows[w].labels) for w in rows)
        self._margins: dict[int, NDArray[np.float64]] = {}
        parts = [stream.windows[w] for w in rows]
        margins = [below.margins(w) for w in rows] if below else None
        started = time.process_time()
        model = boost(
            np.concatenate([p.matrix for p in parts]),
            np.concatenate([p.labels for p in parts]),
            stream.features,
            parameters(recipe, residual=below is not None),
            recipe.rounds,
            weights=_weights(recipe, rows, [len(p.labels) for p in parts]),
            margins=np.concatenate(margins) if margins else None,
        )
        self.booster = _load(model)
        self.seconds = time.process_time() - started

    def margins(self, window: int) -> NDArray[np.float64]:
        """As :class:`Model`; what lies below is added."""
        if window not in self._margins:
            started = time.process_time()
            own = self.booster.inplace_predict(
                self.stream.windows[window].matrix, predict_type="margin"
            )
            self._predict_seconds[window] = time.process_time() - started
            under = self.below.margins(window) if self.below else 0.0
            self._margins[window] = np.asarray(own, dtype=np.float64) + under
        return self._margins[window]

    def predict_seconds(self, window: int) -> float:
        """As :class:`Model`; what lies below is added."""
        self.margins(window)
        under = self.below.predict_seconds(window) if self.below else 0.0
        return self._predict_seconds[window] + under


class Fits:
    """All trainings on one stream.

    Args:
        judged: the windows whose predictions count; left out: from :data:`FIRST` on.
    """

    def __init__(self, stream: Stream, judged: range | None = None) -> None:
        self.stream = stream
        self.judged = judged or range(FIRST, len(stream.windows))
        self._made: dict[Hashable, Fit] = {}
        self._halves: dict[Hashable, list[Fit]] = {}

    def window(self, recipe: Recipe, first: int, known: int, below: Fit | None = None) -> Fit:
        """A training on windows ``[first, known)``."""
        first = max(first, 0)
        key = (recipe.model_dump_json(), first, known, id(below) if below else None)
        if key not in self._made:
            self._made[key] = Fit(self.stream, range(first, known), recipe, below)
        return self._made[key]

    def halves(self, recipe: Recipe, window: int) -> list[Fit]:
        """Two trainings, each on one half of a window; each scores the other as its window 1."""
        key = ("halves", recipe.model_dump_json(), window)
        if key not in self._halves:
            rows = self.stream.windows[window]
            middle = len(rows.labels) // 2
            parts = slice(None, middle), slice(middle, None)
            halves = [Rows(rows.matrix[part], rows.labels[part]) for part in parts]
            self._halves[key] = [
                Fit(replace(self.stream, windows=order), [0], recipe, None)
                for order in (halves, halves[::-1])
            ]
        return self._halves[key]


def plain(depth: int, **changes: Any) -> Recipe:
    """100 rounds at this depth, XGBoost's usual settings."""
    return Recipe(name="plain", max_depth=depth, **changes)


def parameters(recipe: Recipe, residual: bool = False) -> dict[str, Any]:
    """What the recipe says to XGBoost, for a binary label on one thread."""
    found = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": recipe.max_depth,
        "learning_rate": recipe.learning_rate,
        "min_child_weight": recipe.min_child_weight,
        "subsample": recipe.subsample,
        "colsample_bytree": recipe.colsample_bytree,
        "reg_lambda": recipe.reg_lambda,
        "max_bin": recipe.max_bin,
        "seed": 20130101,
        "nthread": 1,
    }
    return {**found, "base_score": 0.5} if residual else found


def _weights(
    recipe: Recipe, windows: Sequence[int], rows: Sequence[int]
) -> NDArray[np.float32] | None:
    """What each row counts; a window's rows all the same."""
    if recipe.half_life is None:
        return None
    ages = windows[-1] + 0.5 - np.asarray(windows)
    return np.repeat(np.exp2(-ages / recipe.half_life), rows).astype(np.float32)


def _load(model: bytes) -> Any:
    import xgboost as xgb

    loaded = xgb.Booster({"nthread": 1})
    loaded.load_model(bytearray(model))
    return loaded


def warm_up() -> None:
    """Import XGBoost and train once, so that no policy is billed for it."""
    rng = np.random.default_rng(0)
    rows = Rows(rng.random((200, 2), np.float32), (rng.random(200) > 0.5).astype(np.float32))
    stream = Stream("warm-up", 0, {"a": "number", "b": "number"}, [rows])
    Fit(stream, [0], plain(3), None).margins(0)
