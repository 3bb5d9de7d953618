"""What was revoked: told from the rest, and traced to the models that learned from it.

>>> reach = Reach("ewr", known_from=0, known_until=10)  # one batch of a source
>>> reach.show()
'ewr'
>>> Reach("ewr", where=where_of(["carrier=AA"], {"carrier": "category"})).show()
"rows of ewr with carrier = 'AA'"

A condition on columns holds for a row by its own values, and for a label by those of the row that
it belongs to. A model descends from a source when its training query, (as-of, span of events),
holds one of the source's rows or labels. A mixture whose member was taught by another descends
from the rows that taught the teacher, and from those that it labelled. Labels that carry
``model/<version>`` as their source descend from that model, so a tainted one taints what it
labelled, and so on until nothing changes. A parent alone taints nothing: training starts from
scratch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import EVENT, KEY, KNOWN, OBJECT, SOURCE
from ratchet.contracts.lineage import Lineage
from ratchet.errors import DefinitionError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

REVOKED, RESTORED = "revoked", "restored"
MODEL = "model/"
ALWAYS = -(2**62)  # before every tick

Where = tuple[tuple[str, str | float], ...]  # column and value, sorted by column; all must hold


@dataclass(frozen=True)
class Reach:
    """How far one revocation reaches: a source, one batch of it, or one object.

    Attributes:
        source: who sent it.
        known_from: tick since which it is revoked.
        known_until: tick before which; None for all that is still to come.
        object: SHA-256 of the one object that is meant; None for whatever the source sent.
        where: columns and the values that a row must hold in each; empty for every row.
    """

    source: str
    known_from: int = ALWAYS
    known_until: int | None = None
    object: str | None = None
    where: Where = ()

    def show(self) -> str:
        """The source, its object, or some rows of either."""
        found = self.source
        if self.object is not None:
            found = f"object {self.object[:12]} of {self.source}"
        return f"rows of {found} with {show_where(self.where)}" if self.where else found


@dataclass(frozen=True, eq=False)
class Sent:
    """Rows or labels as they concern descent; each array has shape (rows,).

    ``event`` may be a label's; both are ticks. ``cells`` are the columns that conditions name.
    """

    source: NDArray[np.object_]
    event: NDArray[np.int64]
    known: NDArray[np.int64]
    object: NDArray[np.object_]
    cells: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table, columns: Iterable[str] = ()) -> Sent:
        """From a table with ``_source``, ``_event``, ``_known``, ``_object`` and these columns."""
        source, key = (table[n].to_numpy(zero_copy_only=False) for n in (SOURCE, OBJECT))
        event = table[EVENT if EVENT in table.column_names else KNOWN]
        cells = {n: table[n].to_numpy(zero_copy_only=False) for n in columns}
        return cls(source, event.to_numpy(), table[KNOWN].to_numpy(), key, cells)

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
            for column, value in reach.where:
                mine &= self.cells[column] == value
            found |= mine
        return found


def revoked_now(revocations: pa.Table) -> tuple[Reach, ...]:
    """What may not be learned from: every line since a source was last restored."""
    found: dict[str, list[Reach]] = {}
    for line in revocations.to_pylist() if revocations.num_rows else []:
        since = ALWAYS if line["known_from"] is None else line["known_from"]
        where = where_from_json(line.get("where"))
        reach = Reach(line["source"], since, line["known_until"], line["object"], where)
        if line["status"] == RESTORED:
            found.pop(reach.source, None)
        elif reach not in found.setdefault(reach.source, []):
            found[reach.source].append(reach)
    return tuple(reach for of_source in found.values() for reach in of_source)


def revoked_mask(table: pa.Table, revoked: Iterable[Reach]) -> NDArray[np.bool_]:
    """Which rows of a table with ``_source``, ``_known``, ``_object`` and the columns that
    conditions name are revoked; (rows,)."""
    import numpy as np

    revoked = tuple(revoked)
    if not revoked:
        return np.zeros(table.num_rows, dtype=bool)
    return Sent.of(table, where_columns(revoked)).mask(revoked)


def without_revoked(table: pa.Table, revoked: Iterable[Reach]) -> pa.Table:
    """The rows that may be learned from, without ``_source`` and ``_object``."""
    import pyarrow as pa

    if not table.num_rows:
        return table
    kept = table.filter(pa.array(~revoked_mask(table, revoked)))
    return kept.drop_columns([SOURCE, OBJECT]).combine_chunks()


def where_of(texts: Sequence[str], features: Mapping[str, str]) -> Where:
    """Conditions from ``column=value``, each value of its column's kind.

    Raises:
        DefinitionError: no such form, no such feature, named twice, or no value of its kind.
    """
    found: dict[str, str | float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in features:
            raise DefinitionError(
                f"condition {text!r}: expected COLUMN=VALUE with one of {list(features)}"
            )
        if name in found:
            raise DefinitionError(
                f"condition {text!r}: {name} is named twice, and no row holds two values at once"
            )
        found[name] = value if features[name] == "category" else _number(text, value)
    return tuple(sorted(found.items()))


def show_where(where: Where) -> str:
    """Conditions in words."""
    return " and ".join(
        f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value:g}"
        for name, value in where
    )


def where_json(where: Where) -> str | None:
    """Conditions as they are stored; None for none."""
    return json.dumps(dict(where)) if where else None


def where_from_json(text: str | None) -> Where:
    """The inverse of :func:`where_json`."""
    return tuple(sorted(json.loads(text).items())) if text else ()


def where_columns(reaches: Iterable[Reach]) -> list[str]:
    """The columns that any condition names, sorted."""
    return sorted({name for reach in reaches for name, _ in reach.where})


def with_cells(table: pa.Table, rows: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Labels with columns of the rows they belong to; null where the row is not there.

    Args:
        table: with ``_key``.
        rows: with ``_key`` and the columns.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    absent = [name for name in columns if name not in table.column_names]
    if not absent:
        return table
    if not rows.num_rows:
        for name in absent:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
        return table
    place = pc.index_in(table[KEY], value_set=rows[KEY].combine_chunks()).combine_chunks()
    for name in absent:
        table = table.append_column(name, rows[name].take(place))
    return table


def _number(text: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise DefinitionError(f"condition {text!r}: expected a finite number, found {value!r}")
    return found


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
    import numpy as np

    since = ALWAYS if lineage.train_from is None else lineage.train_from
    # What a member was taught by another lies after that one's own rows.
    taught = [(m.pseudo_from, m.as_of) for m in lineage.members if m.pseudo_from is not None]
    spans = [(since, lineage.train_before), *taught]
    for i, part in enumerate(parts):
        inside = [(part.event >= start) & (part.event < end) for start, end in spans]
        mine = bad[i] & (part.known < lineage.as_of) & np.logical_or.reduce(inside)
        if kept_out is not None:
            mine &= ~kept_out[i]
        if mine.any():
            return True
    return False
