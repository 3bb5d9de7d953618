"""The commit log of one Delta table: open it, check it, commit to it, and say what is broken.

>>> log = Log("/tmp/tables/landed", "landed", LocalFiles("/tmp/tables"), {})   # doctest: +SKIP
>>> log.open().version                                                # doctest: +SKIP
7

Promise: a log that lost an entry is found out. Delta readers skip an empty commit file without a
word, and such files are what a power cut leaves. So each commit records, as application
transactions of its own, its version and the sum of the marks of all files; both must add up.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratchet.adapters import s3
from ratchet.adapters.tables.files import Files
from ratchet.adapters.tables.parts import Part, PartRef
from ratchet.contracts.columns import KEY, WINDOW
from ratchet.errors import Damaged, NotFound, StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

RESERVED = "ratchet:"
VERSION_MARK, FILES_MARK = RESERVED + "version", RESERVED + "files"
_MODULUS = 1 << 62
_CONFIGURATION = {
    "delta.appendOnly": "true",
    "delta.checkpointInterval": "10",  # opening reads one checkpoint and at most ten commits
    "delta.enableExpiredLogCleanup": "false",  # every version stays readable
}


@dataclass(frozen=True)
class Snapshot:
    """One version of a table: Arrow ``schema`` and its files in reading order."""

    version: int
    schema: pa.Schema
    parts: tuple[PartRef, ...]
    delta: DeltaTable

    def committed(self, txn: str) -> bool:
        """Whether this application transaction is in the log."""
        return self.delta.transaction_version(txn) is not None

    def next_stamp(self, now_ms: int) -> int:
        """A time for the next commit's files, later than all before, even if the clock is not."""
        return max([now_ms, *(part.stamp + 1 for part in self.parts)])


class Log:
    """The log of the table ``name`` at ``uri``; ``options`` go to the object store of Delta."""

    def __init__(self, uri: str, name: str, files: Files, options: dict[str, str]) -> None:
        self._uri, self._name, self._files, self._options = uri, name, files, options

    def open(self, version: int | None = None) -> Snapshot | None:
        """The newest snapshot, or that of ``version``; None when the table does not exist.

        Raises:
            Damaged: an entry of the log is broken, emptied, shortened or missing.
            NotFound: there is no such version.
            StorageError: the store cannot be reached.
        """
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            snapshot = self._load(version)
        except TableNotFoundError:
            return None
        except OSError as error:
            raise self.failure("cannot be opened", error) from None
        except (DeltaError, ValueError) as error:
            if version is not None:
                self._require(version)
            raise self._damage(error) from None
        self._verify(snapshot)
        return snapshot

    def is_newest(self, snapshot: Snapshot) -> bool:
        """Whether nothing was committed after it; one look-up, where opening takes a dozen.

        Raises:
            StorageError: the store cannot be reached.
        """
        try:
            path = f"{self._name}/_delta_log/{snapshot.version + 1:020}.json"
            return not self._files.exists(path)
        except Exception as error:
            raise self.failure("cannot be looked up", error) from None

    def _load(self, version: int | None) -> Snapshot:
        """As Delta reads it; a listing that breaks off is asked for again, which Delta does not."""
        import deltalake

        for again in range(s3.BODIES):
            try:
                return _snapshot(deltalake.DeltaTable(self._uri, version, self._options or None))
            except OSError as error:
                if "response body" not in str(error) or again == s3.BODIES - 1:
                    raise
            time.sleep(s3.REST * 2**again)
        raise AssertionError("the loop returns or raises")

    def create(self, schema: pa.Schema, parts: Sequence[Part], txn: str, now_ms: int) -> None:
        """Create the table and commit the first files, in one step."""
        from deltalake import Schema
        from deltalake.transaction import create_table_with_add_actions

        refs = _refs(parts, now_ms)
        create_table_with_add_actions(
            self._uri,
            Schema.from_arrow(schema),
            [_action(ref) for ref in refs],
            mode="error",
            partition_by=[WINDOW],
            configuration=_CONFIGURATION,
            storage_options=self._options or None,
            commit_properties=_properties(0, sum_of(refs), txn),
        )

    def commit(self, base: Snapshot, parts: Sequence[Part], txn: str, now_ms: int) -> None:
        """Commit the files as version ``base.version + 1``, or fail if somebody else took it."""
        refs = _refs(parts, base.next_stamp(now_ms))
        total = sum_of(refs, sum_of(base.parts))
        base.delta.create_write_transaction(
            [_action(ref) for ref in refs],
            mode="append",
            schema=base.schema,
            partition_by=[WINDOW],
            commit_properties=_properties(base.version + 1, total, txn),
        )

    def widen(self, base: Snapshot, fields: Sequence[pa.Field]) -> None:
        """Add nullable columns, as version ``base.version + 1``; earlier rows get null."""
        from deltalake import Field

        base.delta.alter.add_columns(
            [Field.from_arrow(field) for field in fields],
            commit_properties=_properties(base.version + 1, sum_of(base.parts)),
        )

    def total_at(self, version: int) -> int:
        """The sum of the marks of all files that this version's commit recorded; one request.

        Raises:
            Damaged: that commit is missing or holds no such sum.
            StorageError: the store cannot be reached.
        """
        try:
            lines = self._files.get(f"{self._name}/_delta_log/{version:020}.json").splitlines()
            marks = {a["txn"]["appId"]: a["txn"] for a in map(json.loads, lines) if "txn" in a}
            return int(marks[FILES_MARK]["version"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            raise self._damage(f"commit {version} does not say which files there are") from None
        except Exception as error:
            raise self.failure("cannot be read", error) from None

    def failure(self, what: str, error: BaseException) -> StorageError:
        """A StorageError that says what to do about an error of the store."""
        text = s3.clean(error, self._secrets())
        hint = next((h for pattern, h in _HINTS if re.search(pattern, text, re.I)), "")
        hint = hint or s3.advice(error, _HINT)
        return StorageError(f"table {self._name} at {self._uri} {what}: {text}. {hint}")

    def _require(self, version: int) -> None:
        newest = self.open()
        if newest is None or version > newest.version:
            found = "does not exist" if newest is None else f"ends at version {newest.version}"
            raise NotFound(f"table {self._name}: no version {version}; it {found}")

    def _verify(self, snapshot: Snapshot) -> None:
        """Compare the snapshot with what its newest commit recorded."""
        version = snapshot.delta.transaction_version(VERSION_MARK)
        total = snapshot.delta.transaction_version(FILES_MARK)
        if version == snapshot.version and total == sum_of(snapshot.parts):
            return
        raise self._damage(
            f"the log shows {len(snapshot.parts)} files at version {snapshot.version}, and its "
            "newest commit recorded others"
        )

    def _damage(self, error: BaseException | str) -> Damaged:
        culprit = ""
        with contextlib.suppress(Exception):  # the store may fail now; the first error counts
            culprit = _find_broken_commit(self._files, f"{self._name}/_delta_log")
        where = culprit or f"the log of {self._files.address(self._name)}"
        return Damaged(
            f"{where} is damaged: {s3.clean(error, self._secrets())}. Nothing was read or written. "
            "Restore this file from a backup (a broken checkpoint may be deleted together with "
            "_last_checkpoint: all commits are kept)"
        )

    def _secrets(self) -> tuple[str, ...]:
        return tuple(v for k, v in self._options.items() if "KEY" in k.upper() or "TOKEN" in k)


_HINT = "The append is safe to repeat: a transaction is committed once"
_HINTS = (
    (
        r"No space left|quota|os error 28|os error 122",
        "Free space, then run again; nothing is lost",
    ),
    (r"Read-only file system|os error 30", "Make the root writable, then run again"),
    (r"File too large|os error 27", "Raise the file size limit, then run again; nothing is lost"),
    (r"Permission denied|os error 13", "Let this user read and write there, then run again"),
    (r"Not a directory|File exists|os error (17|20)", "Point RATCHET_ROOT at a directory"),
)


def _snapshot(delta: DeltaTable) -> Snapshot:
    import pyarrow as pa

    actions = pa.table(delta.get_add_actions(flatten=True))
    names = [f"partition.{WINDOW}", "modification_time", "path", "size_bytes", "num_records"]
    names += [n for n in (f"min.{KEY}", f"max.{KEY}") if n in actions.column_names]
    rows = zip(*(actions.column(name).to_pylist() for name in names), strict=True)
    schema = pa.schema(delta.schema().to_arrow())
    parts = tuple(sorted(PartRef(*row) for row in rows))
    return Snapshot(delta.version(), schema, parts, delta)


def _refs(parts: Sequence[Part], stamp: int) -> list[PartRef]:
    return [PartRef(p.window, stamp, p.path, len(p.data), p.rows, p.low, p.high) for p in parts]


def sum_of(refs: Iterable[PartRef], before: int = 0) -> int:
    """The sum of the marks of these files and of those before, as commits record it."""
    return (before + sum(ref.mark for ref in refs)) % _MODULUS


def _action(ref: PartRef) -> Any:
    from deltalake.transaction import AddAction

    statistics: dict[str, Any] = {"numRecords": ref.rows}
    if ref.low is not None:
        statistics |= {"minValues": {KEY: ref.low}, "maxValues": {KEY: ref.high}}
        statistics["nullCount"] = {KEY: 0}
    window = {WINDOW: str(ref.window)}
    return AddAction(ref.path, ref.size, window, ref.stamp, True, json.dumps(statistics))


def _properties(version: int, total: int, txn: str | None = None) -> CommitProperties:
    """One attempt only: on a conflict the marks must be computed again."""
    from deltalake import CommitProperties, Transaction

    marks = [Transaction(VERSION_MARK, version), Transaction(FILES_MARK, total)]
    own = [Transaction(txn, 1)] if txn else []
    return CommitProperties(app_transactions=own + marks, max_commit_retries=0)


def _find_broken_commit(files: Files, log: str) -> str:
    """The address of the first commit or checkpoint that cannot be what was written; or ''."""
    names = {stored.path.rsplit("/", 1)[-1]: stored for stored in files.walk(log, 0.0)}
    versions = sorted(int(name[:20]) for name in names if re.fullmatch(r"\d{20}\.json", name))
    total = 0
    for expected in range(versions[-1] + 1 if versions else 1):
        path = f"{log}/{expected:020}.json"
        if expected not in versions:
            return f"{files.address(path)} (missing)"
        after = _total_after(files.get(path), expected, total)
        if after is None:
            return files.address(path)
        total = after
    for name in sorted(n for n in names if n.endswith(".parquet")):
        if not files.get(f"{log}/{name}").endswith(b"PAR1"):
            return files.address(f"{log}/{name}")
    return ""


def _total_after(data: bytes, version: int, before: int) -> int | None:
    """The sum of marks after a commit; None when the commit is not what was written."""
    try:
        actions = [json.loads(line) for line in data.splitlines()]
        marks = {a["txn"]["appId"]: a["txn"]["version"] for a in actions if "txn" in a}
        refs = [_ref_of(action["add"]) for action in actions if "add" in action]
    except (ValueError, KeyError, TypeError):
        return None
    total = sum_of(refs, before)
    whole = marks.get(VERSION_MARK) == version and marks.get(FILES_MARK) == total
    return total if whole else None


def _ref_of(add: dict[str, Any]) -> PartRef:
    stats = json.loads(add["stats"])
    window = int(add["partitionValues"][WINDOW])
    keys = (stats.get(name, {}).get(KEY) for name in ("minValues", "maxValues"))
    return PartRef(
        window, add["modificationTime"], add["path"], add["size"], stats["numRecords"], *keys
    )
