"""What was revoked: told from the rest, and traced to the models that learned from it.

>>> reach = Reach("ewr", known_from=0, known_until=10)  # one batch of a source
>>> [r.show() for r in [reach]]
['ewr']

A model descends from a source when its training query, (as-of, span of events), holds one of the
source's rows or labels. Pseudo-labels carry ``model/<version>`` as their source, so a tainted model
taints what it labelled, and so on until nothing changes. A parent alone taints nothing: training
starts from scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import EVENT, KNOWN, OBJECT, SOURCE
from ratchet.contracts.lineage import Lineage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

REVOKED, RESTORED = "revoked", "restored"
MODEL = "model/"
ALWAYS = -(2**62)  # before every tick


@dataclass(frozen=True)
class Reach:
    """How far one revocation reaches: a source, one batch of it, or one object.

    Attributes:
        source: who sent it.
        known_from: tick since which it is revoked.
        known_until: tick before which; None for all that is still to come.
        object: SHA-256 of the one object that is meant; None for whatever the source sent.
    """

    source: str
    known_from: int = ALWAYS
    known_until: int | None = None
    object: str | None = None

    def show(self) -> str:
        """The source, or its object."""
        return self.source if self.object is None else f"object {self.object[:12]} of {self.source}"


@dataclass(frozen=True, eq=False)
class Sent:
    """Rows or labels as they concern descent; each array has shape (rows,).

    ``event`` may be a label's; both are ticks.
    """

    source: NDArray[np.object_]
    event: NDArray[np.int64]
    known: NDArray[np.int64]
    object: NDArray[np.object_]

    @classmethod
    def of(cls, table: pa.Table) -> Sent:
        """From a table with ``_source``, ``_event``, ``_known`` and ``_object``."""
        source, key = (table[n].to_numpy(zero_copy_only=False) for n in (SOURCE, OBJECT))
        event = table[EVENT if EVENT in table.column_names else KNOWN]
        return cls(source, event.to_numpy(), table[KNOWN].to_numpy(), key)

    def mask(self, revoked: Iterable[Reach]) -> NDArray[np.bool_]:
        """What is revoked, shape (rows,)."""
        import numpy as np

        found = np.zeros(len(self.known), dtype=bool)
        for reach in revoked:
            mine = (self.source == reach.source) & (self.known >= reach.known_from)
            if reach.known_until is not None:
                mine &= self.known < reach.known_until
            if reach.object is not None:
                mine &= self.object == reach.object
            found |= mine
        return found


def revoked_now(revocations: pa.Table) -> tuple[Reach, ...]:
    """What may not be learned from: every line since a source was last restored."""
    found: dict[str, list[Reach]] = {}
    for line in revocations.to_pylist() if revocations.num_rows else []:
        reach = Reach(
            line["source"], line["known_from"] or ALWAYS, line["known_until"], line["object"]
        )
        if line["status"] == RESTORED:
            found.pop(reach.source, None)
        elif reach not in found.setdefault(reach.source, []):
            found[reach.source].append(reach)
    return tuple(reach for of_source in found.values() for reach in of_source)


def revoked_mask(table: pa.Table, revoked: Iterable[Reach]) -> NDArray[np.bool_]:
    """Which rows of a table with ``_source``, ``_known`` and ``_object`` are revoked; (rows,)."""
    return Sent.of(table).mask(revoked)


def without_revoked(table: pa.Table, revoked: Iterable[Reach]) -> pa.Table:
    """The rows that may be learned from, without ``_source`` and ``_object``."""
    import pyarrow as pa

    if not table.num_rows:
        return table
    kept = table.filter(pa.array(~revoked_mask(table, revoked)))
    return kept.drop_columns([SOURCE, OBJECT]).combine_chunks()


def tainted_versions(
    lineages: Mapping[int, Lineage],
    parts: Sequence[Sent],
    revoked: Iterable[Reach],
    excluded: Mapping[int, Sequence[Reach]] | None = None,
) -> set[int]:
    """The model versions that learned from what is revoked.

    Args:
        lineages: version to lineage, of every registered model.
        parts: the accepted rows, and the accepted labels.
        revoked: what is asked about.
        excluded: version of the table ``revocations`` to what it kept from the training that read
            it.
    """
    names, found = list(revoked), set[int]()
    kept_out = {
        version: [part.mask(reaches) for part in parts]
        for version, reaches in (excluded or {}).items()
    }
    while True:
        bad = [part.mask(names) for part in parts]
        more = {
            version
            for version, line in lineages.items()
            if version not in found
            and _learned(line, parts, bad, kept_out.get(line.revocations_version))
        }
        if not more:
            return found
        found |= more
        names += [Reach(f"{MODEL}{version}") for version in sorted(more)]


def _learned(
    lineage: Lineage,
    parts: Sequence[Sent],
    bad: Sequence[NDArray[np.bool_]],
    kept_out: Sequence[NDArray[np.bool_]] | None,
) -> bool:
    since = ALWAYS if lineage.train_from is None else lineage.train_from
    for i, part in enumerate(parts):
        mine = bad[i] & (part.known < lineage.as_of)
        mine &= (part.event >= since) & (part.event < lineage.train_before)
        if kept_out is not None:
            mine &= ~kept_out[i]
        if mine.any():
            return True
    return False
