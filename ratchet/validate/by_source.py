"""Finds the one who lies: which sources of a blocked batch differ from the control by themselves.

>>> found = blame(batch, control, definition, seed=17)                          # doctest: +SKIP
>>> found.sources, found.rows.sum()                                             # doctest: +SKIP
(('meters-7',), 412)

A source is blamed when its own rows, compared with the trusted rows of the same keys, are blocked,
and the rest of the batch without it passes and is not even suspicious. Only then may the rest be
learned from; otherwise the batch stays whole in quarantine.

Promise: rows that nobody was blamed for are compared again before they are let through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY, SOURCE
from ratchet.contracts.evidence import Evidence, Verdict, telling, worst
from ratchet.validate.control import compare
from ratchet.validate.sample import Comparison, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

MOST = 16  # sources that are compared one by one
FEWEST = 20  # trusted rows of one source; the level holds for any number


@dataclass(frozen=True, eq=False)
class Blame:
    """Who is blamed, and for what.

    Attributes:
        sources: their names, sorted.
        rows: shape (rows of the batch,): theirs.
        cause: the most severe evidence against one of them.
        rest: the comparison of all other rows, which passed.
    """

    sources: tuple[str, ...]
    rows: NDArray[np.bool_]
    cause: Evidence
    rest: Comparison


def blame(
    batch: Sample, control: Sample | None, definition: Definition, *, seed: int
) -> Blame | None:
    """The sources to which the trouble of a blocked batch is confined; None where it is not.

    Args:
        batch: as :func:`~ratchet.validate.compare` takes it.
        control: the same; its keys say which source a trusted row belongs to.
        definition: the pipeline's.
        seed: of the folds.
    """
    import numpy as np

    if control is None or definition.trusted is None or not definition.trusted.keyed:
        return None
    sent = np.asarray(batch.rows[SOURCE].to_numpy(zero_copy_only=False))
    names = sorted(set(sent.tolist()))
    if not 2 <= len(names) <= MOST:
        return None
    of_control = _sources_of(control, batch, sent)
    few = definition.trusted.model_copy(update={"min_rows": FEWEST})
    alone = definition.model_copy(update={"trusted": few})
    against: dict[str, Evidence] = {}
    for name in names:
        mine = of_control == name
        if not mine.any():
            continue
        found = compare(_pick(batch, sent == name), _pick(control, mine), alone, seed=seed)
        cause = min(found.evidence, key=telling)
        if cause.verdict is Verdict.BLOCK:
            against[name] = cause
    if not against or len(against) == len(names):
        return None
    theirs = np.isin(sent, list(against))
    rest = compare(
        _pick(batch, ~theirs), _pick(control, ~np.isin(of_control, list(against))), definition,
        seed=seed,
    )  # fmt: skip
    if rest.nominated or not worst(e.verdict for e in rest.evidence).lets_through:
        return None
    return Blame(tuple(against), theirs, next(iter(against.values())), rest)


def _sources_of(control: Sample, batch: Sample, sent: NDArray[np.object_]) -> NDArray[np.object_]:
    """Who sent the row of each trusted row's key; empty where the batch has none."""
    import numpy as np
    import pyarrow.compute as pc

    keys = batch.rows[KEY].combine_chunks()
    where = pc.index_in(control.rows[KEY].combine_chunks(), value_set=keys)
    position = np.asarray(pc.fill_null(where, -1))
    return np.where(position >= 0, sent[position], "")


def _pick(sample: Sample, mask: NDArray[np.bool_]) -> Sample:
    import pyarrow as pa

    scores = None if sample.scores is None else sample.scores[mask]
    rows = sample.rows.filter(pa.array(mask)).combine_chunks()
    return Sample(rows, sample.labels[mask], scores)
