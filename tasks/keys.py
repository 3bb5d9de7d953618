"""One row and one label a key: what comes back from quarantine or a revocation takes no key that is
taken.

Of two under one key nobody can tell which is true, and both would be learned from, or the second
never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet import ingest as core
from ratchet.contracts.columns import ACCEPTED, KEY, KNOWN, LABELS, OBJECT, REVOCATIONS, SOURCE
from ratchet.contracts.revocation import revoked_now
from ratchet.errors import Refused
from tasks.reach import masked

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.workspace import Workspace

COLUMNS = [KEY, KNOWN, SOURCE, OBJECT]


def check_release(workspace: Workspace, table: str, rows: pa.Table, of_these: str) -> None:
    """Before ``rows`` are appended to a table; ``of_these`` names them, with a place for a number.

    Raises:
        Refused: some key is twice in ``rows``, or was accepted already and is not revoked.
    """
    import pyarrow as pa

    if twice := _repeated(rows):
        raise Refused(
            f"{of_these.format(f'{twice:,}')} have the key of another one of it, and nobody can "
            "tell which is true. Discard it, and have the right ones delivered"
        )
    there = workspace.tables.read(table, COLUMNS, keys=rows[KEY])
    if there.num_rows:
        there = there.filter(core.find_keys(there[KEY], rows[KEY]))
    taken = revoked_now(workspace.tables.read(REVOCATIONS))
    if there.num_rows and taken:
        there = there.filter(pa.array(~masked(workspace, there, taken)))
    if there.num_rows:
        raise Refused(
            f"{of_these.format(f'{there.num_rows:,}')} have a key that was accepted before, and "
            f"what was accepted stays. Discard it; or, if it is right, {_take_back(there)} and "
            "release it then"
        )


def check_restore(workspace: Workspace, source: str) -> None:
    """Before a source is restored.

    Raises:
        Refused: a row or label that would come back has the key of another one, of this source or
            of one that took it meanwhile.
    """
    import pyarrow as pa

    taken = revoked_now(workspace.tables.read(REVOCATIONS))
    left = tuple(reach for reach in taken if reach.source != source)
    for table, kind in ((ACCEPTED, "rows"), (LABELS, "labels")):
        lines = workspace.tables.read(table, COLUMNS)
        if not lines.num_rows:
            continue
        now = masked(workspace, lines, taken)
        back = lines.filter(pa.array(now & ~masked(workspace, lines, left)))
        if not back.num_rows:
            continue
        kept = lines.filter(pa.array(~now))
        there = kept.filter(core.find_keys(kept[KEY], back[KEY])) if kept.num_rows else kept
        own = _repeated(back) + there[SOURCE].to_pylist().count(source)
        if own:  # restoring lets all of a source in again, so taking one of two back does not help
            raise Refused(
                f"source {source!r}: {own:,} of its {kind} have a key of {back.num_rows:,} that "
                "would come back. Have the right ones delivered under a source of its own"
            )
        if there.num_rows:
            raise Refused(
                f"source {source!r}: {there.num_rows:,} of {back.num_rows:,} {kind} that would "
                "come back have a key that was accepted again meanwhile. If what comes back is "
                f"right, {_take_back(there)} and restore it then"
            )


def _repeated(rows: pa.Table) -> int:
    """How many rows have the key of one before them."""
    import pyarrow.compute as pc

    return int(rows.num_rows - pc.count_distinct(rows[KEY]).as_py())


def _take_back(there: pa.Table) -> str:
    import pyarrow.compute as pc

    objects = pc.unique(there[OBJECT]).to_pylist()
    more = f" and {len(objects) - 1} more objects" if objects[1:] else ""
    return f"take the others back first ('ratchet source revoke --object {objects[0][:12]}'{more})"
