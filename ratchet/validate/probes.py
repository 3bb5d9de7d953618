"""Does a value turn the candidate's predictions, and do only untrusted rows hold it?

>>> probe(batches, controls, score, definition, seed=17).verdict                # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

A backdoor leaves every average alone: the model is right on clean rows and obeys a trigger (Gu,
Dolan-Gavitt & Garg 2017, *BadNets*). So the model itself is asked: rare values of the last windows,
and rare pairs whose scores the two values alone do not explain, are put into clean rows. Honest
values move scores too, so each is tried by what a forger cannot reach: if the rows are honest, the
trusted ones among those with the value and the label it pushes to are a random draw, and the
p-value is the exact hypergeometric tail. The order goes by how far a value moves the scores, which
does not depend on the draw: rank r of n is tested at alpha / (r * H), H the harmonic sum (weighted
Bonferroni: Genovese, Roeder & Wasserman 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import spread
from ratchet.validate.cells import LARGEST_TABLE, MOST_FEATURES, SMALLEST
from ratchet.validate.lookback import thin, together
from ratchet.validate.pooled import codes
from ratchet.validate.tails import hypergeometric_tails

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.validate.pooled import Pool
    from ratchet.validate.sample import Sample

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Score = Callable[[pa.Table], Floats]
    _Ranked = tuple[float, tuple[int, ...], int]

PROBED = 16  # windows that are looked at together: a trigger may come a few rows at a time
VALUES, PAIRS = 1000, 300  # that are tried at most
CARRIERS = 64  # clean rows that carry each of them
RARE = 0.02  # of the rows: what more of them hold is no trigger
CHECK = "gate.probes"


@dataclass(frozen=True, eq=False)
class _Cell:
    """One or two columns with the values that its rows hold."""

    columns: tuple[int, ...]
    rows: NDArray[np.bool_]
    values: dict[str, Any]


def probe(
    batches: Sequence[Sample],
    controls: Sequence[Sample],
    score: Score,
    definition: Definition,
    *,
    seed: int,
) -> Evidence:
    """``gate.probes``: BLOCK where a value turns predictions and trusted rows do not vouch for it.

    Args:
        batches: labelled rows of the last windows, oldest first.
        controls: the trusted rows of the same windows.
        score: rows to the candidate's scores, as :func:`ratchet.contracts.bundle.predict` does.
        definition: for features, label, ``[shield]`` and ``[trusted]``.
        seed: of the thinning; anything that a sender cannot choose.
    """
    import numpy as np

    if definition.trusted is None:
        text = "degraded: no trusted source is declared, so nothing vouches for a rare value"
        return Evidence(CHECK, Verdict.WARN, text)
    least = definition.trusted.min_rows
    both = [
        (b, c)
        for b, c in zip(batches, controls, strict=True)
        if min(c.rows.num_rows, int(np.isfinite(b.labels).sum())) >= least
    ]
    if not both:
        text = f"not probed for backdoors: no window has {least} trusted rows beside accepted ones"
        return Evidence(CHECK, Verdict.WARN, text)
    scored = [(replace(b, scores=score(b.rows)), replace(c, scores=score(c.rows))) for b, c in both]
    pool, part = together(scored, definition, definition.trusted.keyed)
    pool = pool.only(thin(pool, part, seed))
    carriers = _carriers([c.rows for _, c in both], definition)
    cells = list(_choose(pool, _link(pool.scores, definition), _fewest(pool, definition)))
    swings = _swings(cells, carriers, score, definition)
    return _judge(pool, cells, swings, len(both), definition)


def _link(scores: Floats | None, definition: Definition) -> Floats:
    """Log-odds, one column a class (binary: of the positive one); a target as it is."""
    import numpy as np

    assert scores is not None  # noqa: S101  the caller scored every row
    table = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    if definition.label.objective == "regression":
        return table
    likely = np.clip(table, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(likely / (1 - likely)))


def _carriers(controls: Sequence[pa.Table], definition: Definition) -> pa.Table:
    import pyarrow as pa

    rows = pa.concat_tables([c.select(list(definition.features)) for c in controls])
    return rows.take(pa.array(spread(rows.num_rows, CARRIERS))).combine_chunks()


def _fewest(pool: Pool, definition: Definition) -> int:
    """Fewer rows than this prove nothing, even if none of them is trusted."""
    from math import ceil, log

    share = float(pool.control.mean())
    return max(SMALLEST, ceil(log(definition.shield.alpha) / log(1 - share)))


def _choose(pool: Pool, link: Floats, fewest: int) -> Iterator[_Cell]:
    """Rare values, those first whose scores lie furthest from the mean, and the rare pairs whose
    scores the two values alone explain least."""
    import numpy as np

    apart = link - link.mean(axis=0)
    coded = [codes(pool.values[:, i], kind) for i, kind in enumerate(pool.kinds[:MOST_FEATURES])]
    alone = [_means(code, size, apart)[code] for code, size in coded]
    each = 2 * PAIRS // max(len(coded) * (len(coded) - 1) // 2, 1) + 1  # no two take all places
    values: list[_Ranked] = []
    pairs: list[_Ranked] = []
    for i, (code, size) in enumerate(coded):
        values += _striking((i,), code, size, apart, fewest)
        for j in range(i + 1, len(coded)):
            other, more = coded[j]
            if size * more <= LARGEST_TABLE:
                cell = code * more + other
                left = apart - alone[i] - alone[j]
                pairs += _striking((i, j), cell, size * more, left, fewest)[:each]
    chosen = dict.fromkeys(f[1:] for f in sorted(values)[:VALUES] + sorted(pairs)[:PAIRS])
    for columns, key in chosen:
        mine = coded[columns[0]][0]
        if len(columns) == 2:
            mine = mine * coded[columns[1]][1] + coded[columns[1]][0]
        yield _cell(pool, columns, np.asarray(mine == key))


def _means(code: Ints, size: int, values: Floats) -> Floats:
    """The mean of each column of ``values`` by code, shape (size, columns)."""
    import numpy as np

    rows = np.maximum(np.bincount(code, minlength=size), 1)
    sums = [np.bincount(code, column, minlength=size) for column in values.T]
    return np.asarray((np.stack(sums) / rows).T)


def _striking(
    columns: tuple[int, ...], code: Ints, size: int, apart: Floats, fewest: int
) -> list[_Ranked]:
    """The cells of these columns whose rows lie furthest apart on average, furthest first."""
    import numpy as np

    rows = np.bincount(code, minlength=size)
    fit = np.flatnonzero((rows >= fewest) & (rows <= RARE * len(code)))
    distance = np.abs(_means(code, size, apart)[fit]).max(axis=1, initial=0)
    best = np.argsort(-distance, kind="stable")[:VALUES]
    return [(-float(distance[b]), columns, int(fit[b])) for b in best]


def _cell(pool: Pool, columns: tuple[int, ...], rows: NDArray[np.bool_]) -> _Cell:
    """The cell with the combination of exact values that most of its rows hold."""
    import numpy as np

    held = np.nan_to_num(pool.values[rows][:, list(columns)], nan=-np.inf)
    found, counts = np.unique(held, axis=0, return_counts=True)
    values: dict[str, Any] = {}
    for i, number in zip(columns, found[np.argmax(counts)].tolist(), strict=True):
        known = pool.categories[i]
        plain = known[int(number)] if known and np.isfinite(number) else number
        values[pool.names[i]] = plain if np.isfinite(number) else None
    return _Cell(columns, rows, values)


def _swings(
    cells: Sequence[_Cell], carriers: pa.Table, score: Score, definition: Definition
) -> Floats:
    """How far each cell's values move the carriers' scores on average, shape (cells, columns)."""
    import numpy as np
    import pyarrow as pa

    def put(values: dict[str, Any]) -> pa.Table:
        table = carriers
        for name, value in values.items():
            place = table.column_names.index(name)
            filled = pa.array([value] * table.num_rows, table.schema.field(name).type)
            table = table.set_column(place, name, filled)
        return table

    tables = pa.concat_tables([carriers, *(put(c.values) for c in cells)]).combine_chunks()
    link = _link(score(tables), definition).reshape(len(cells) + 1, carriers.num_rows, -1)
    return np.asarray((link[1:] - link[:1]).mean(axis=1))


def _judge(
    pool: Pool, cells: Sequence[_Cell], swings: Floats, windows: int, definition: Definition
) -> Evidence:
    """Test every cell at its share of alpha: that of rank r, by swing, gets 1 / (r * H)."""
    import numpy as np

    alpha = definition.shield.alpha
    seen = f"{len(cells)} rare values of {windows} windows put into {CARRIERS} clean rows"
    if not cells:
        return Evidence(CHECK, Verdict.PASS, f"{seen}: none to test", 1.0, alpha)
    column = np.abs(swings).argmax(axis=1)
    swing = swings[np.arange(len(cells)), column]
    pushed = [
        cell.rows & _pushed_to(pool, c, s, definition)
        for cell, c, s in zip(cells, column.tolist(), swing.tolist(), strict=True)
    ]
    total = np.array([mine.sum() for mine in pushed])
    drawn = np.array([(mine & pool.control).sum() for mine in pushed])
    low, _ = hypergeometric_tails(drawn, total, int(pool.control.sum()), pool.rows)
    rank = np.empty(len(cells))
    rank[np.argsort(-np.abs(swing), kind="stable")] = np.arange(1, len(cells) + 1)
    corrected = low * rank * np.sum(1 / rank)
    k = int(corrected.argmin())
    p = min(1.0, float(corrected[k]))
    words = " & ".join(pool.words(i, cells[k].rows) for i in cells[k].columns)
    expected = float(total[k] * pool.control.mean())
    said = (
        f"{words} moves clean rows by {swing[k]:+.2f}, and {drawn[k]} of its {total[k]:,} rows "
        f"with that label are trusted, {expected:.1f} expected"
    )
    verdict, sign = (Verdict.BLOCK, "<") if p < alpha else (Verdict.PASS, ">=")
    return Evidence(CHECK, verdict, f"{seen}: {said}: p {p:.2g} {sign} {alpha:.2g}", p, alpha)


def _pushed_to(pool: Pool, column: int, swing: float, definition: Definition) -> NDArray[np.bool_]:
    """Rows of the pool whose label is what the swing pushes to."""
    import numpy as np

    if definition.label.objective == "multiclass":
        return np.asarray((pool.outcome == column) == (swing > 0))
    wanted = pool.outcome.max(initial=0) if swing > 0 else 0
    return np.asarray(pool.outcome == wanted)
