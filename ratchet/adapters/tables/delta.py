"""Versioned tables on Delta Lake, in a directory or on S3.

>>> tables = DeltaTables("/tmp/tables")                               # doctest: +SKIP
>>> tables.append(Append("landed", rows, txn="flights/3/land"))       # doctest: +SKIP
0
>>> tables.read("landed", windows=(3, 4)).num_rows                    # doctest: +SKIP
6453

Promise: an append happens once or not at all, whatever fails between and however many writers race;
a read gives exactly the rows that were committed, in the same order each time, or an error that
names the file. Only Ratchet writes these tables; any Delta reader may read them.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ratchet.adapters.tables import parts as parquet
from ratchet.adapters.tables.files import Files, LocalFiles
from ratchet.adapters.tables.log import RESERVED, Log, Snapshot
from ratchet.adapters.tables.memory import Columns
from ratchet.adapters.tables.parts import Part, PartRef
from ratchet.adapters.tables.versions import added
from ratchet.contracts.columns import ADDED, WINDOW
from ratchet.contracts.seams import Append
from ratchet.errors import Conflict, Damaged, NotFound, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("ratchet.tables")
RACES = 40  # conflicts with other writers that one append outlives
FAILURES = 3  # errors of the store itself
READERS = 2  # files decoded at a time: memory stays at one result and two files
_PAUSE = 0.02  # seconds; doubles with each conflict, up to 16 times this
_REST = 0.25  # seconds; doubles with each error of the store


class DeltaTables:
    """:class:`~ratchet.contracts.seams.Tables` on Delta Lake.

    Args:
        root: a directory, or ``s3://bucket/prefix``.
        storage_options: for Delta's object store (endpoint, keys); empty for a directory.
        files: where the bytes are; a directory's are found from ``root``.
        remember: bytes of decoded columns that are kept for further reads; 0 reads anew each time.
    """

    def __init__(
        self,
        root: str,
        storage_options: Mapping[str, str] | None = None,
        files: Files | None = None,
        remember: int = 0,
    ) -> None:
        self._root = root.rstrip("/")
        self._options = dict(storage_options or {})
        self._files = files or LocalFiles(root)
        self._columns = Columns(remember)
        self._newest: dict[str, Snapshot] = {}  # as last seen of each table

    def __repr__(self) -> str:
        return f"DeltaTables({self._root!r})"

    def append(self, append: Append) -> int:
        """Append, and return the table's version after it; see the seam for the promise."""
        if not append.txn or append.txn.startswith(RESERVED):
            raise StorageError(f"transaction {append.txn!r}: expected text not starting {RESERVED}")
        log, failures = self._log(append.table), 0
        base: Snapshot | None = None
        parts: list[Part] | None = None
        error: Exception | None = None
        for race in range(RACES):
            seen = self._open(append.table)  # also after an error: the commit may have succeeded
            if seen is not None and seen.committed(append.txn):
                return seen.version
            if error is not None and _version(seen) == _version(base):  # no race: the store failed
                failures += 1
                if failures == FAILURES:
                    raise log.failure("did not take a commit", error) from None
                time.sleep(_REST * 2**failures * random.random())  # noqa: S311 - jitter
            if parts is None or _schema(seen) != _schema(base):
                schema, parts = _encoded(append, seen)
                self._put(log, append.table, parts)
            base = seen
            self._newest.pop(append.table, None)  # a commit changes it
            try:
                return _attempt(log, base, append, schema, parts)
            except StorageError:
                raise
            except Exception as caught:
                error = caught
                kind = type(caught).__name__  # a lost race, or the store: what it says may be long
                logger.info("table %s: not committed (%s), trying again", append.table, kind)
            time.sleep(_PAUSE * min(2**race, 16) * random.random())  # noqa: S311 - jitter
        raise Conflict(
            f"table {append.table}: other writers were faster {RACES} times; nothing was written. "
            "Run again when fewer of them write"
        )

    def committed(self, table: str, txn: str) -> bool:
        """Whether this application transaction was committed."""
        snapshot = self._open(table)
        return snapshot is not None and snapshot.committed(txn)

    def version(self, table: str) -> int:
        """The newest version; -1 when the table does not exist."""
        snapshot = self._open(table)
        return -1 if snapshot is None else snapshot.version

    def windows(self, table: str) -> dict[int, int]:
        """Rows by window, of windows that have any; known from the log, no file is read."""
        snapshot = self._log(table).open()
        counts: dict[int, int] = {}
        for part in snapshot.parts if snapshot else ():
            counts[part.window] = counts.get(part.window, 0) + part.rows
        return {window: rows for window, rows in sorted(counts.items()) if rows}

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        windows: tuple[int | None, int | None] = (None, None),
        version: int | None = None,
        keys: pa.ChunkedArray | None = None,
        txns: Collection[str] | None = None,
    ) -> pa.Table:
        """Rows of the windows ``[first, end)``, ordered by window, then by commit.

        Shape (rows, columns); each file is checked against its recorded size and digest. With
        ``keys``, files that can hold none of them are left out, by what their commits say. With
        ``txns``, only files of these application transactions are read, by their names.

        Raises:
            Damaged: log or data file damaged or missing; it is named.
            NotFound: that version does not exist.
            StorageError: no such column, or the store cannot be reached.
        """
        import pyarrow as pa

        snapshot = self._open(table) if version in (None, -1) else self._log(table).open(version)
        if snapshot is None:
            if version not in (None, -1):
                raise NotFound(f"table {table}: no version {version}; it does not exist")
            return pa.table({})
        stored = columns and ([name for name in columns if name != ADDED] or [WINDOW])
        schema = parquet.project(snapshot.schema, stored, table)
        refs = [] if version == -1 else [p for p in snapshot.parts if _inside(p.window, windows)]
        if keys is not None:
            wanted = sorted(keys.to_pylist())
            refs = [ref for ref in refs if ref.may_hold(wanted)]
        if txns is not None:
            writers = {parquet.writer_of(txn) for txn in txns}
            refs = [ref for ref in refs if ref.writer in writers]
        with ThreadPoolExecutor(READERS) as pool:
            found = list(pool.map(lambda ref: self._part(table, ref, schema), refs))
        rows = pa.concat_tables(found) if found else schema.empty_table()
        if columns is None or ADDED not in columns:
            return rows
        versions = added(snapshot, refs, self._log(table).total_at)
        return rows.append_column(ADDED, pa.array(versions, pa.int64())).select(list(columns))

    def collect(self, table: str, older_than: float = 7 * 86_400) -> list[str]:
        """Remove what killed writers left: files that no commit names, uploads never finished.

        Args:
            older_than: seconds; younger ones may belong to an append that is still under way.

        Returns:
            The addresses of what was removed.
        """
        snapshot = self._log(table).open()
        known = {f"{table}/{part.path}" for part in snapshot.parts} if snapshot else set()
        now = time.time()
        removed = self._files.abort_uploads(f"{table}/", older_than, now)
        for stored in list(self._files.walk(f"{table}/", now)):
            in_log = stored.path.startswith(f"{table}/_delta_log/")
            if in_log or stored.path in known or stored.age < older_than:
                continue
            self._files.delete(stored.path)
            removed.append(self._files.address(stored.path))
        return removed

    def _put(self, log: Log, table: str, parts: list[Part]) -> None:
        for part in parts:
            try:
                self._files.put(f"{table}/{part.path}", part.data)
            except Exception as error:
                raise log.failure("did not take a file", error) from None

    def _part(self, table: str, ref: PartRef, schema: pa.Schema) -> pa.Table:
        import pyarrow as pa

        if schema.names == [WINDOW]:
            return parquet.of_log(ref, schema)
        path = f"{table}/{ref.path}"
        kept = self._columns.get(path)
        lacking = [field for field in schema if field.name not in kept]
        if lacking:
            found = self._decoded(table, ref, path, pa.schema(lacking))
            self._columns.put(path, found)
            kept = {**kept, **dict(zip(found.column_names, found.columns, strict=True))}
        return pa.Table.from_arrays([kept[field.name] for field in schema], schema=schema)

    def _decoded(self, table: str, ref: PartRef, path: str, schema: pa.Schema) -> pa.Table:
        try:
            data = self._files.get(path)
        except (FileNotFoundError, IsADirectoryError):
            raise Damaged(
                f"{self._files.address(path)}: this file of {ref.rows} rows was committed and is "
                "missing. Restore it from a backup; nothing was read"
            ) from None
        except Exception as error:
            raise self._log(table).failure("cannot be read", error) from None
        parquet.check(ref, data, self._files.address(path))
        return parquet.decode(ref, data, schema)

    def _open(self, table: str) -> Snapshot | None:
        """The newest snapshot: the one last seen, if nothing was committed since."""
        log, kept = self._log(table), self._newest.get(table)
        if kept is not None and log.is_newest(kept):
            return kept
        found = log.open()
        if found is not None:
            self._newest[table] = found
        return found

    def _log(self, table: str) -> Log:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", table):
            raise StorageError(f"table name {table!r}: expected lower-case letters, digits and _")
        return Log(f"{self._root}/{table}", table, self._files, self._options)


def _attempt(
    log: Log, base: Snapshot | None, append: Append, schema: pa.Schema, parts: list[Part]
) -> int:
    """One attempt to commit; gives the version that it made."""
    now_ms = int(time.time() * 1000)
    if base is None:
        log.create(schema, parts, append.txn, now_ms)
        return 0
    new = [field for field in schema if field.name not in base.schema.names]
    if new:
        log.widen(base, new)
        base = _reopened(log, base.version + 1)
    log.commit(base, parts, append.txn, now_ms)
    return base.version + 1


def _encoded(append: Append, base: Snapshot | None) -> tuple[pa.Schema, list[Part]]:
    """The schema of the table after the append, and the files to write."""
    schema = _merged(append, base)
    rows = parquet.fit(append.rows, schema, append.table)
    split = parquet.by_window(rows) if rows.num_rows else ()
    return schema, [parquet.encode(part, window, append.txn) for window, part in split]


def _merged(append: Append, base: Snapshot | None) -> pa.Schema:
    """The table's schema with the nullable columns that the rows add."""
    import pyarrow as pa

    found: pa.Schema = append.rows.schema.remove_metadata()
    if WINDOW not in found.names:
        raise StorageError(f"table {append.table}: rows without the column {WINDOW}")
    known = [] if base is None else base.schema.names
    new = [field for field in found if field.name not in known]
    typeless = [field.name for field in new if pa.types.is_null(field.type)]
    if typeless:
        raise StorageError(f"table {append.table}: columns {typeless} have no type; declare one")
    if base is None:
        return found
    required = [field.name for field in new if not field.nullable]
    if required:
        raise StorageError(
            f"table {append.table}: new columns {required} are required, but earlier rows have "
            "none; make them nullable"
        )
    return pa.schema([*base.schema, *new])


def _reopened(log: Log, version: int) -> Snapshot:
    snapshot = log.open(version)
    if snapshot is None:  # the table went away between two commits
        raise OSError(f"version {version} is gone")
    return snapshot


def _inside(window: int, windows: tuple[int | None, int | None]) -> bool:
    first, end = windows
    return (first is None or window >= first) and (end is None or window < end)


def _version(snapshot: Snapshot | None) -> int:
    return -1 if snapshot is None else snapshot.version


def _schema(snapshot: Snapshot | None) -> pa.Schema | None:
    return None if snapshot is None else snapshot.schema
