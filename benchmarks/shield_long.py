"""Long streams of River's, so that a thousand clean batches are as many different windows.

>>> len(agrawal(60).windows)                                            # doctest: +SKIP
60

Each has drift points every few windows, and starts at window 0 with seeds that no other benchmark
uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import shield_streams as streams
from benchmarks.shield_streams import Stream

ROWS = 1500
EVERY = 13  # windows from one drift point to the next
TRUSTED = 225  # 15 % of a window


def agrawal(windows: int, seed: int = 500_000) -> Stream:
    """Agrawal's loans: one of ten concepts after the other, 10 % of the labels noise."""
    from river.datasets import synth

    names = ["salary", "commission", "age", "elevel", "car", "zipcode", "hvalue", "hyears", "loan"]
    kinds = {n: "category" if n in ("car", "zipcode", "elevel") else "number" for n in names}
    found = []
    for w in range(windows):
        concept = 3 * (w // EVERY) % 10
        source = synth.Agrawal(classification_function=concept, seed=seed + w, perturbation=0.1)
        drawn = list(source.take(ROWS))
        columns = {n: [streams.plain(x[n], kinds[n]) for x, _ in drawn] for n in names}
        labels = np.array([float(y) for _, y in drawn])
        noise = np.random.default_rng([seed, w]).random(ROWS) < 0.1
        labels[noise] = 1 - labels[noise]
        found.append(_window(kinds, columns, labels, w))
    return Stream("agrawal", streams.definition_of("agrawal", kinds), found, TRUSTED)


def sea(windows: int, seed: int = 600_000) -> Stream:
    """SEA: four concepts in turn; the shares of one category drift all the time."""
    from river.datasets import synth

    kinds = {
        "a": "number",
        "b": "number",
        "noise": "number",
        "place": "category",
        "kind": "category",
    }
    found = []
    for w in range(windows):
        source = synth.SEA(variant=(0, 3, 1, 2)[w // EVERY % 4], noise=0.1, seed=seed + w)
        drawn = list(source.take(ROWS))
        rng = np.random.default_rng([seed, w])
        shares = np.linspace(1, 3 + 2 * np.sin(w / 8), 5)
        columns = {
            "a": [round(x[0], 2) for x, _ in drawn],
            "b": [x[1] for x, _ in drawn],
            "noise": rng.normal(size=ROWS),
            "place": [f"p{v}" for v in rng.zipf(1.5, ROWS) % 40],
            "kind": [f"k{v}" for v in rng.choice(5, ROWS, p=shares / shares.sum())],
        }
        found.append(_window(kinds, columns, np.array([float(y) for _, y in drawn]), w))
    return Stream("sea", streams.definition_of("sea", kinds), found, TRUSTED)


def hyperplane(windows: int, seed: int = 700_000) -> Stream:
    """A hyperplane that turns a little with every row, and jumps every few windows.

    Eight numbers, of which four turn, and two categories that are a ninth and a tenth in bins.
    """
    from river.datasets import synth

    kinds = {f"x{i}": "number" if i < 8 else "category" for i in range(10)}
    found = []
    for w in range(windows):
        if w % EVERY == 0:
            source = iter(
                synth.Hyperplane(
                    seed=seed + w, n_features=10, n_drift_features=4, mag_change=1e-4,
                    noise_percentage=0.1,
                )
            )  # fmt: skip
        drawn = [next(source) for _ in range(ROWS)]
        columns = {f"x{i}": [x[i] for x, _ in drawn] for i in range(8)}
        bins = {f"x{i}": [f"b{int(5 * x[i])}" for x, _ in drawn] for i in (8, 9)}
        labels = np.array([float(y) for _, y in drawn])
        found.append(_window(kinds, {**columns, **bins}, labels, w))
    return Stream("hyperplane", streams.definition_of("hyperplane", kinds), found, TRUSTED)


def _window(kinds: dict[str, str], columns: Any, labels: np.ndarray, w: int) -> pa.Table:
    keys = [f"r{w}-{i}" for i in range(ROWS)]
    times = [w * ROWS + i for i in range(ROWS)]
    return streams.table_of(kinds, pa.table(columns), keys, times, pa.array(labels))
