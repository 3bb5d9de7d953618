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

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import spread
from ratchet.validate.cells import SMALLEST
from ratchet.validate.lookback import together
from ratchet.validate.rare import Cell, rare_cells
from ratchet.validate.tails import hypergeometric_tails

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.validate.pooled import Pool
    from ratchet.validate.sample import Sample

    Floats = NDArray[np.float64]
    Score = Callable[[pa.Table], Floats]

PROBED = 16  # windows that are looked at together: a trigger may come a few rows at a time
SCORED = 16_384  # rows whose scores say which pairs are looked at; a random draw of more than these
CARRIERS = 32  # clean rows that carry each of them
CHECK = "gate.probes"


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
        score: rows to the candidate's scores, as :func:`ratchet.contracts.score.predict` does.
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
    pool, _ = together(both, definition, definition.trusted.keyed, seed)
    drawn = np.arange(pool.rows)
    if pool.rows > SCORED:
        drawn = np.sort(np.random.default_rng(seed).choice(pool.rows, SCORED, replace=False))
    link = _link(score(pool.table(drawn)), definition)
    cells = rare_cells(pool, drawn, link, _fewest(pool, definition))
    carriers = _carriers([c.rows for _, c in both], definition)
    swings = _swings(cells, carriers, score, definition)
    return _judge(pool, cells, swings, len(both), definition)


def _link(scores: Floats, definition: Definition) -> Floats:
    """Log-odds, one column a class (binary: of the positive one); a target as it is."""
    import numpy as np

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


def _swings(
    cells: Sequence[Cell], carriers: pa.Table, score: Score, definition: Definition
) -> Floats:
    """How far each cell's values move the carriers' scores on average, shape (cells, columns)."""
    import numpy as np

    link = _link(score(_carried(cells, carriers)), definition)
    link = link.reshape(len(cells) + 1, carriers.num_rows, -1)
    return np.asarray((link[1:] - link[:1]).mean(axis=1))


def _carried(cells: Sequence[Cell], carriers: pa.Table) -> pa.Table:
    """The carriers as they are, and then once for each cell with its values put in."""
    import numpy as np
    import pyarrow as pa

    as_it_is = np.tile(np.arange(carriers.num_rows), (len(cells) + 1, 1))
    columns = {}
    for name in carriers.column_names:
        held = carriers[name].combine_chunks()
        puts = [i for i, cell in enumerate(cells) if name in cell.values]
        values = pa.array([cells[i].values[name] for i in puts], held.type)
        places = as_it_is.copy()
        places[np.array(puts, dtype=np.int64) + 1] = (len(held) + np.arange(len(puts)))[:, None]
        columns[name] = pa.concat_arrays([held, values]).take(pa.array(places.reshape(-1)))
    return pa.table(columns)


def _judge(
    pool: Pool, cells: Sequence[Cell], swings: Floats, windows: int, definition: Definition
) -> Evidence:
    """Test every cell at its share of alpha: that of rank r, by swing, gets 1 / (r * H)."""
    import numpy as np

    alpha = definition.shield.alpha
    seen = f"{len(cells)} rare values of {windows} windows put into {CARRIERS} clean rows"
    if not cells:
        return Evidence(CHECK, Verdict.PASS, f"{seen}: none to test", 1.0, alpha)
    column = np.abs(swings).argmax(axis=1)
    swing = swings[np.arange(len(cells)), column]
    towards = {
        (c, up): _pushed_to(pool, c, up, definition)
        for c in set(column.tolist())
        for up in (False, True)
    }
    pushed = [
        cell.rows[towards[c, s > 0][cell.rows]]
        for cell, c, s in zip(cells, column.tolist(), swing.tolist(), strict=True)
    ]
    total = np.array([len(rows) for rows in pushed])
    drawn = np.array([pool.control[rows].sum() for rows in pushed])
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


def _pushed_to(pool: Pool, column: int, up: bool, definition: Definition) -> NDArray[np.bool_]:
    """Rows of the pool whose label is what a swing of this column up or down pushes to."""
    import numpy as np

    if definition.label.objective == "multiclass":
        return np.asarray((pool.outcome == column) == up)
    wanted = pool.outcome.max(initial=0) if up else 0
    return np.asarray(pool.outcome == wanted)
