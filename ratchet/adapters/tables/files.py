"""Where the bytes of the tables lie: a directory or a bucket, behind the same four verbs.

>>> files = LocalFiles("/tmp/tables")                                 # doctest: +SKIP
>>> files.put("landed/_window=0/part-a.parquet", b"...")              # doctest: +SKIP

Promise: ``put`` is all or nothing. A reader sees the whole file or none, even when the writer is
killed or the disk is full.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ratchet.adapters import s3


@dataclass(frozen=True)
class Stored:
    """One file as listed: ``path`` below the root, ``size`` in bytes, ``age`` in seconds."""

    path: str
    size: int
    age: float


class Files(Protocol):
    """Bytes below one root. Paths are relative, with ``/``."""

    def address(self, path: str) -> str:
        """The full address, for people and for error messages."""

    def put(self, path: str, data: bytes) -> None:
        """Write a file, all or nothing; replaces an earlier one of that path."""

    def get(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: there is none.
        """

    def exists(self, path: str) -> bool:
        """Whether the file is there."""

    def walk(self, prefix: str, now: float) -> Iterator[Stored]:
        """Every file below ``prefix``; ``now`` is seconds since 1970."""

    def delete(self, path: str) -> None:
        """Remove a file; none is fine."""

    def abort_uploads(self, prefix: str, older_than: float, now: float, /) -> list[str]:
        """End uploads that were never finished; gives the keys they were for."""


class LocalFiles:
    """:class:`Files` in a directory."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def address(self, path: str) -> str:
        """The path on this machine."""
        return str(self._root / path)

    def put(self, path: str, data: bytes) -> None:
        """Write beside, then rename: the file appears whole."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            beside.write_bytes(data)
            beside.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise

    def get(self, path: str) -> bytes:
        """Read, never map: a file that shrinks under a mapping would kill the process."""
        return (self._root / path).read_bytes()

    def exists(self, path: str) -> bool:
        """Look it up."""
        return (self._root / path).exists()

    def walk(self, prefix: str, now: float) -> Iterator[Stored]:
        """Walk the directory."""
        for directory, _, names in os.walk(self._root / prefix):
            for name in sorted(names):
                file = Path(directory) / name
                with contextlib.suppress(FileNotFoundError):  # it went while we looked
                    facts = file.stat()
                    relative = file.relative_to(self._root).as_posix()
                    yield Stored(relative, facts.st_size, now - facts.st_mtime)

    def delete(self, path: str) -> None:
        """Remove the file."""
        (self._root / path).unlink(missing_ok=True)

    def abort_uploads(self, _prefix: str, _older_than: float, _now: float, /) -> list[str]:
        """A directory has none: what a killed writer leaves there is listed as a file."""
        return []


class S3Files:
    """:class:`Files` below ``prefix`` in a bucket. ``client`` is a boto3 S3 client."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    def address(self, path: str) -> str:
        """``s3://bucket/prefix/path``."""
        return f"s3://{self._bucket}/{self._key(path)}"

    def put(self, path: str, data: bytes) -> None:
        """One PUT: S3 shows an object when it is whole."""
        self._client.put_object(Bucket=self._bucket, Key=self._key(path), Body=data)

    def get(self, path: str) -> bytes:
        """One GET of the whole object, asked for again when it breaks off."""
        try:
            return s3.fetch(self._client, Bucket=self._bucket, Key=self._key(path))[1]
        except Exception as error:
            if s3.code(error) in s3.ABSENT:
                raise FileNotFoundError(self.address(path)) from None
            raise

    def exists(self, path: str) -> bool:
        """One HEAD."""
        try:
            self._client.head_object(Bucket=self._bucket, Key=self._key(path))
        except Exception as error:
            if s3.code(error) in s3.ABSENT:
                return False
            raise
        return True

    def walk(self, prefix: str, now: float) -> Iterator[Stored]:
        """Every object, page by page."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._key(prefix)):
            for each in page.get("Contents", []):
                age = now - each["LastModified"].timestamp()
                yield Stored(each["Key"][len(self._key("")) :], each["Size"], age)

    def delete(self, path: str) -> None:
        """Remove the object."""
        self._client.delete_object(Bucket=self._bucket, Key=self._key(path))

    def abort_uploads(self, prefix: str, older_than: float, now: float, /) -> list[str]:
        """Abort multipart uploads begun more than ``older_than`` seconds ago."""
        aborted = []
        pages = self._client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._key(prefix)):
            for each in page.get("Uploads", []):
                if now - each["Initiated"].timestamp() >= older_than:
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )
                    aborted.append(f"s3://{self._bucket}/{each['Key']}")
        return aborted

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


class Remembered:
    """:class:`Files` of data that never change once written, the newest of it kept in memory.

    A cycle reads the same files of a table many times; over a network each one costs a round trip.
    What is kept was read or written by this process, and its reader checks its digest each time.

    Args:
        inner: where the bytes lie.
        most: bytes that are kept at most.
    """

    def __init__(self, inner: Files, most: int = 128 * 2**20) -> None:
        self._inner, self._most = inner, most
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self.address, self.exists, self.walk = inner.address, inner.exists, inner.walk
        self.abort_uploads = inner.abort_uploads

    def put(self, path: str, data: bytes) -> None:
        """Write it; what was kept of that path is forgotten."""
        self._forget(path)
        self._inner.put(path, data)

    def get(self, path: str) -> bytes:
        """What is kept, else what is read, and then kept."""
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        data = self._inner.get(path)
        if path.endswith(".parquet") and len(data) <= self._most // 4:
            self._keep(path, data)
        return data

    def delete(self, path: str) -> None:
        """Remove the file."""
        self._forget(path)
        self._inner.delete(path)

    def _keep(self, path: str, data: bytes) -> None:
        with self._lock:
            if path not in self._kept:
                self._kept[path] = data
                self._size += len(data)
            while self._size > self._most:
                _, oldest = self._kept.popitem(last=False)
                self._size -= len(oldest)

    def _forget(self, path: str) -> None:
        with self._lock:
            self._size -= len(self._kept.pop(path, b""))
