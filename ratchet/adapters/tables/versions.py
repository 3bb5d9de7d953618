"""Which version of a table added which rows, told by its log.

>>> added(snapshot, snapshot.parts, log.total_at)                     # doctest: +SKIP
[0, 0, 0, 2, 2]

An entry of a file does not say which commit it is from, but the entries of one commit share a time,
later ones have a later time, and each commit records the sum of the marks of all files up to it. So
a commit's sum says how many of the commits that brought files came before it. Where no commit was
empty nothing has to be read; an empty one is found by halving, one small file of the log a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from ratchet.adapters.tables.log import Snapshot, sum_of
from ratchet.adapters.tables.parts import PartRef
from ratchet.errors import Damaged


def added(snapshot: Snapshot, refs: Sequence[PartRef], total_at: Callable[[int], int]) -> list[int]:
    """The version that added each row of these files, in their order, shape (rows,).

    Args:
        snapshot: that holds the files.
        total_at: version to the sum that its commit recorded; costs a request.

    Raises:
        Damaged: a commit recorded a sum that these files cannot have.
    """
    found = versions_of(snapshot, {ref.stamp for ref in refs}, total_at)
    return [version for ref in refs for version in [found[ref.stamp]] * ref.rows]


def versions_of(
    snapshot: Snapshot, stamps: Iterable[int], total_at: Callable[[int], int]
) -> dict[int, int]:
    """The version of each of these stamps; see :func:`added`."""
    every = sorted({part.stamp for part in snapshot.parts})
    place = {stamp: i + 1 for i, stamp in enumerate(every)}  # among commits that brought files
    after = _places(snapshot.parts)
    wanted = {place[stamp] for stamp in stamps}
    versions: dict[int, int] = {}

    def settle(low: int, before: int, high: int, last: int) -> None:
        """Versions of the places in ``(before, last]``, which lie in ``(low, high]``."""
        if not any(before < one <= last for one in wanted):
            return
        if last - before == high - low:
            versions.update({before + i: low + i for i in range(1, last - before + 1)})
            return
        middle = (low + high) // 2
        at = after.get(total_at(middle)) if high - low > 1 else None
        if at is None or not before <= at <= last:
            raise Damaged(f"the log's commit {middle} recorded other files than the table shows")
        settle(low, before, middle, at)
        settle(middle, at, high, last)

    settle(-1, 0, snapshot.version, len(every))
    return {every[one - 1]: versions[one] for one in wanted}


def _places(parts: Iterable[PartRef]) -> dict[int, int]:
    """The sum of marks after a number of commits that brought files, to that number."""
    ordered = sorted(parts, key=lambda part: part.stamp)
    found, total = {0: 0}, 0
    for _, batch in groupby(ordered, key=lambda part: part.stamp):
        total = sum_of(batch, total)
        found[total] = len(found)
    return found
