"""What a revoked source sent: told from the rest, and traced to the models that learned from it.

>>> revoked_since(table)                                                        # doctest: +SKIP
{'ewr': 1364774400000000}

A model descends from a source when its training query, (as-of, span of events), holds one of the
source's rows or labels. Pseudo-labels carry ``model/<version>`` as their source, so a tainted model
taints what it labelled, and so on until nothing changes. A parent alone taints nothing: training
starts from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import EVENT, KNOWN, SOURCE
from ratchet.contracts.lineage import Lineage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

REVOKED, RESTORED = "revoked", "restored"
MODEL = "model/"


@dataclass(frozen=True, eq=False)
class Sent:
    """Rows or labels as they concern descent; each array has shape (rows,).

    ``event`` may be a label's; both are ticks.
    """

    source: NDArray[np.object_]
    event: NDArray[np.int64]
    known: NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table) -> Sent:
        """From a table with ``_source``, ``_event`` and ``_known``."""
        source = table[SOURCE].to_numpy(zero_copy_only=False)
        return cls(source, table[EVENT].to_numpy(), table[KNOWN].to_numpy())


def revoked_since(revocations: pa.Table) -> dict[str, int]:
    """Each revoked source and the tick since which nothing of it may be learned from."""
    found: dict[str, int] = {}
    for line in revocations.to_pylist() if revocations.num_rows else []:
        found.pop(line["source"], None)
        if line["status"] == REVOKED:
            found[line["source"]] = line["known_from"]
    return found


def revoked_mask(table: pa.Table, revoked: Mapping[str, int]) -> NDArray[np.bool_]:
    """Which rows of a table with ``_source`` and ``_known`` are revoked; shape (rows,)."""
    import numpy as np
    import pyarrow.compute as pc

    mask = np.zeros(table.num_rows, dtype=bool)
    for source, known_from in revoked.items():
        mine = pc.and_(pc.equal(table[SOURCE], source), pc.greater_equal(table[KNOWN], known_from))
        mask |= mine.to_numpy(zero_copy_only=False)
    return mask


def without_revoked(table: pa.Table, revoked: Mapping[str, int]) -> pa.Table:
    """The rows that may be learned from, without ``_source``."""
    import pyarrow as pa

    if not table.num_rows:
        return table
    kept = table.filter(pa.array(~revoked_mask(table, revoked)))
    return kept.drop_columns([SOURCE]).combine_chunks()


def tainted_versions(
    lineages: Mapping[int, Lineage], parts: list[Sent], revoked: Mapping[str, int]
) -> set[int]:
    """The model versions that learned from what is revoked.

    Args:
        lineages: version to lineage, of every registered model.
        parts: the accepted rows, and the accepted labels.
        revoked: source to the tick since which it is revoked.
    """
    import numpy as np

    names, found = dict(revoked), set[int]()
    while True:
        bad = [
            np.isin(part.source, list(names))
            & (part.known >= np.array([names.get(s, 2**62) for s in part.source], dtype=np.int64))
            for part in parts
        ]
        more = {v for v, line in lineages.items() if v not in found and _learned(line, parts, bad)}
        if not more:
            return found
        found |= more
        names.update({f"{MODEL}{version}": -(2**62) for version in more})


def _learned(lineage: Lineage, parts: list[Sent], bad: list[NDArray[np.bool_]]) -> bool:
    since = -(2**62) if lineage.train_from is None else lineage.train_from
    return any(
        bool(
            (
                mask
                & (part.known < lineage.as_of)
                & (part.event >= since)
                & (part.event < lineage.train_before)
            ).any()
        )
        for part, mask in zip(parts, bad, strict=True)
    )
