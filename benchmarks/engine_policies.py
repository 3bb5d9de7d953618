"""What teams do: each policy says, window by window, which model scores it and what was trained.

>>> [step.model for step in POLICIES["static"](fits, 2)][0] is not None  # doctest: +SKIP
True

Before window w is scored with a label delay of d windows, the labels of windows before ``w - d``
are known, and the features of all windows before w. Only these may be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_fits import FIRST, Fit, Fits, Model, plain
from ratchet.contracts.recipes import Recipe

PSI_LIMIT = 0.2  # "a significant shift", the usual rule of thumb
BINS = 10


@dataclass(frozen=True, eq=False)
class Step:
    """The model of one window, the trainings that were paid for to have it, and those that were
    only scored."""

    model: Model
    trained: list[Fit] = field(default_factory=list)
    tried: list[Fit] = field(default_factory=list)


Policy = Callable[[Fits, int], Iterator[Step]]


def static(fits: Fits, delay: int) -> Iterator[Step]:
    """Trained once, on what is known before the first window, and never again."""
    model = fits.window(plain(6), 0, FIRST - delay)
    for w in fits.judged:
        yield Step(model, [model] if w == FIRST else [])


def each_window(recipe: Recipe, history: int | None = None) -> Policy:
    """Trained from scratch each window, on all history or on the newest windows of it."""

    def policy(fits: Fits, delay: int) -> Iterator[Step]:
        for w in fits.judged:
            known = w - delay
            model = fits.window(recipe, known - history if history else 0, known)
            yield Step(model, [model])

    return policy


def boost_further(fits: Fits, delay: int) -> Iterator[Step]:
    """20 more trees each window, learned from the newest labels alone."""
    model = fits.window(plain(6), 0, FIRST - delay)
    yield Step(model, [model])
    for w in fits.judged[1:]:
        known = w - delay
        model = fits.window(plain(6, rounds=20), known - 1, known, below=model)
        yield Step(model, [model])


def on_adwin(fits: Fits, delay: int) -> Iterator[Step]:
    """Trained when ADWIN (Bifet and Gavalda 2007) sees the error move, on the rows it keeps."""
    from river.drift import ADWIN

    detector, rows = ADWIN(delta=0.002), [len(w.labels) for w in fits.stream.windows]
    model: Fit | None = None
    served: list[Fit] = []
    for w in fits.judged:
        known, fired = w - delay, False
        if known - 1 >= FIRST:  # the newest labels, and what was predicted for them
            margins = served[known - 1 - FIRST].margins(known - 1)
            for wrong in (margins > 0) != (fits.stream.windows[known - 1].labels > 0.5):
                detector.update(int(wrong))
                fired |= detector.drift_detected
        if model is None or fired:
            kept = _windows_of(detector.width, rows[:known]) if fired else known
            model = fits.window(plain(6), known - kept, known)
            yield Step(model, [model])
        else:
            yield Step(model)
        served.append(model)


def _windows_of(width: float, rows: list[int]) -> int:
    """How many of the newest windows hold so many rows; at least one."""
    held = np.cumsum(rows[::-1])
    return max(int(np.searchsorted(held, width)), 1)


def on_psi(fits: Fits, delay: int) -> Iterator[Step]:
    """Trained on all history when a feature's population stability index passes 0.2."""
    model: Fit | None = None
    reference = 0
    for w in fits.judged:
        if model is None or _moved(fits, reference, w - 1):
            model, reference = fits.window(plain(6), 0, w - delay), w - 1
            yield Step(model, [model])
        else:
            yield Step(model)


def _moved(fits: Fits, reference: int, newest: int) -> bool:
    if reference == newest:
        return False
    before, now = (fits.stream.windows[i].matrix for i in (reference, newest))
    return any(psi(before[:, i], now[:, i]) > PSI_LIMIT for i in range(before.shape[1]))


def psi(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Population stability index over deciles of the values before; missing is a bin."""
    edges = np.unique(np.nanquantile(before, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = []
    for values in (before, now):
        place = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values))
        counts = np.bincount(place.astype(int), minlength=len(edges) + 2)
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    old, new = shares
    return float(np.sum((new - old) * np.log(new / old)))


def told(fits: Fits, delay: int) -> Iterator[Step]:
    """Is told each drift point: all rows since, so what could be had, not what a team can do."""
    cuts = [0, *fits.stream.drifts]
    for w in fits.judged:
        known = w - delay
        model = fits.window(plain(3, rounds=50), max(c for c in cuts if c < known), known)
        yield Step(model, [model])


TOLD = "told of each drift"  # of streams that have any
POLICIES: Mapping[str, Policy] = {
    "static": static,
    "full, depth 6": each_window(plain(6)),
    "full, depth 3": each_window(plain(3)),
    "last 6 windows": each_window(plain(6), 6),
    "last 12 windows": each_window(plain(6), 12),
    "boost further": boost_further,
    "on ADWIN": on_adwin,
    "on PSI": on_psi,
}
