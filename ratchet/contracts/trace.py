"""Which versions of a table hold what is revoked, so that nobody has to open a copy to know.

>>> trace = Trace("accepted", {3: 100, 5: 100, 9: 50}, newest=41)
>>> trace.show()
'versions 3 to 41 hold rows of it, the newest 250 (added by 3, 5, 9)'
>>> trace.rows_in(4), trace.rows_in(2)
(100, 0)

Tables only grow: what a version added, every later one holds too, and so will those to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import LABELS, LANDED_LABELS, QUARANTINE

if TYPE_CHECKING:
    import pyarrow as pa

_WORDS = {LABELS: "labels", LANDED_LABELS: "labels", QUARANTINE: "blocked lines"}


@dataclass(frozen=True)
class Trace:
    """The versions of one table that hold what is revoked.

    Attributes:
        table: its name.
        added: version to how many revoked rows it added, ascending; empty where no version did.
        newest: the table's newest version; -1 where there is none.
    """

    table: str
    added: Mapping[int, int]
    newest: int

    @classmethod
    def of(cls, table: str, added: pa.ChunkedArray, newest: int) -> Trace:
        """From the version that added each revoked row, shape (rows,)."""
        counts = added.value_counts().to_pylist()
        found = {int(one["values"]): int(one["counts"]) for one in counts}
        return cls(table, dict(sorted(found.items())), newest)

    @property
    def first(self) -> int | None:
        """The first version that holds any; every later one does too. None where none does."""
        return next(iter(self.added), None)

    @property
    def rows(self) -> int:
        """How many the newest version holds."""
        return sum(self.added.values())

    def rows_in(self, version: int) -> int:
        """How many of the revoked rows a version holds."""
        return sum(rows for added, rows in self.added.items() if added <= version)

    def show(self) -> str:
        """In words."""
        if self.first is None:
            return "no version holds any of it"
        word = _WORDS.get(self.table, "rows")
        if self.first == self.newest:
            return f"version {self.first} holds {word} of it: {self.rows:,}"
        return (
            f"versions {self.first} to {self.newest} hold {word} of it, the newest {self.rows:,} "
            f"(added by {runs(self.added)})"
        )

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""
        found = asdict(self) | {"added": {str(k): v for k, v in self.added.items()}}
        return {**found, "first": self.first, "rows": self.rows, "said": self.show()}


def runs(versions: Iterable[int], most: int = 12) -> str:
    """Versions in words, neighbours together, so many runs of them.

    >>> runs([3, 5, 6, 9, 10, 11])
    '3, 5, 6, 9 to 11'
    >>> runs([3, 5, 7, 9], most=2)
    '3, 5 and others up to 9'
    """
    versions, found = sorted(versions), list[str]()
    for _, run in groupby(enumerate(versions), key=lambda pair: pair[1] - pair[0]):
        each = [version for _, version in run]
        whole = [f"{each[0]} to {each[-1]}"]
        found += whole if len(each) > 2 else [str(version) for version in each]
    more = f" and others up to {versions[-1]}" if found[most:] else ""
    return ", ".join(found[:most]) + more
