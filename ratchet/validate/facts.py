"""Whose fault it is: the rows that were checked in a batch, charged to the sources that sent them.

>>> facts_by_source(batch[SOURCE], paired.positions, paired.differs, 0.4)       # doctest: +SKIP
{'ewr': Facts(trials=820, failures=2, p_value=None), 'jfk': Facts(trials=180, ...)}

Promise: no source's account is ever charged for a row that another one sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ratchet.validate.accounts import Facts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def facts_by_source(
    sources: pa.ChunkedArray,
    checked: NDArray[np.int64],
    differs: NDArray[np.bool_],
    p_value: float | None = None,
) -> dict[str, Facts]:
    """One window's facts, each row charged to the source that sent it.

    A comparison of the whole batch speaks of one source only where the batch has one: honest rows
    beside another's poison have no valid p-value of their own.

    Args:
        sources: ``_source`` of the batch, shape (rows,).
        checked: positions of the rows that were checked against the truth; a row that was checked
            twice counts once, as differing if it ever did.
        differs: shape of ``checked``: whether they differed.
        p_value: of the comparison of the whole batch with the control.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    names = sorted(pc.unique(sources).to_pylist())
    sender = pc.index_in(sources, value_set=pa.array(names, type=pa.string())).to_numpy()
    rows, again = np.unique(np.asarray(checked, dtype=np.int64), return_inverse=True)
    wrong = np.bincount(again, weights=differs, minlength=len(rows)) > 0
    trials = np.bincount(sender[rows], minlength=len(names))
    failures = np.bincount(sender[rows[wrong]], minlength=len(names))
    p = p_value if len(names) == 1 else None
    return {n: Facts(int(trials[i]), int(failures[i]), p) for i, n in enumerate(names)}


def merged(facts: Mapping[str, Facts], more: Mapping[str, Facts]) -> dict[str, Facts]:
    """The facts of one window, with those of other rows of its sources, which were compared by key
    alone."""
    none = Facts(0, 0)
    found = {}
    for name in sorted({*facts, *more}):
        one, other = facts.get(name, none), more.get(name, none)
        trials, failures = one.trials + other.trials, one.failures + other.failures
        found[name] = Facts(trials, failures, one.p_value)
    return found
