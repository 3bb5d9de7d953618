"""The landing zone: where other systems drop files. A directory, or a bucket prefix through boto3.

>>> zone = open_zone("landing/flights", settings())                     # doctest: +SKIP
>>> objects, unsafe = zone.list()                                       # doctest: +SKIP
>>> data = zone.read(objects[0], max_bytes=2**30)                       # doctest: +SKIP

Promise: objects are never modified; what is read is exactly the version that was listed; and a key
that another key could alias, or that leaves the zone, is reported and never read.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.adapters import s3
from ratchet.adapters.landing_keys import MAX_KEY, ignored, shown_key, sift, unsafe_reason
from ratchet.contracts.clock import EPOCH
from ratchet.contracts.seams import LandingZone, ObjectRef
from ratchet.errors import DefinitionError, ObjectChanged, StorageError, TooLarge, UnsafeKey
from ratchet.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LAST_MICROSECOND = 253_402_300_799_999_999  # of year 9999; a file may claim to be younger


def open_zone(address: str, settings: Settings) -> LandingZone:
    """The landing zone at an address of a pipeline definition.

    Args:
        address: a directory (relative ones lie below ``settings.landing``, else below
            ``settings.home``) or ``s3://bucket/prefix``.
        settings: endpoint, region and credentials for S3.

    Raises:
        DefinitionError: another kind of address, or one that holds credentials.
    """
    if settings.landing and "://" not in address and not Path(address).is_absolute():
        base = settings.landing
        address = f"{base}{'' if base.endswith('/') else '/'}{address}"
    scheme, separator, rest = address.partition("://")
    if not separator:
        return DirectoryZone(settings.home / address, address)
    if scheme != "s3" or "@" in rest:
        raise DefinitionError(
            f"landing zone {scheme}://...: expected a directory or s3://bucket/prefix; credentials "
            "belong in RATCHET_S3_ACCESS_KEY and RATCHET_S3_SECRET_KEY"
        )
    return S3Zone(*s3.split(address), s3.client(settings))


def _check(ref: ObjectRef, max_bytes: int) -> None:
    if reason := unsafe_reason(ref.key):
        raise UnsafeKey(f"{shown_key(ref.key)}: {reason}; rename it")
    if ref.size > max_bytes:
        raise TooLarge(
            f"{ref.key}: {ref.size} bytes, allowed are {max_bytes}; split it into smaller objects, "
            "or raise source.max_object_mib"
        )


def _changed(key: str, what: str) -> ObjectChanged:
    return ObjectChanged(f"{key}: {what} since it was listed; the next cycle looks again")


@dataclass(frozen=True)
class DirectoryZone:
    """A directory, read recursively. Links are never followed.

    ``etag`` is size, modification time (ns) and inode; ``arrived`` is the modification time. Drop
    files by renaming a finished one into place: that is atomic.
    """

    root: Path
    name: str = ""

    def list(self) -> tuple[list[ObjectRef], list[tuple[str, str]]]:
        """See :class:`ratchet.contracts.seams.LandingZone`."""
        try:
            if not self.root.is_dir():
                raise StorageError(
                    f"landing zone {self.root}: there is no such directory; create it, or change "
                    "source.landing"
                )
            return sift(list(self._walk(self.root, "")))
        except OSError as error:
            raise StorageError(f"landing zone {self.root}: cannot be listed: {error}") from error

    def _walk(self, directory: Path, prefix: str) -> Iterator[tuple[ObjectRef, str | None]]:
        with os.scandir(directory) as entries:
            for entry in entries:
                key = prefix + entry.name
                if ignored(key):
                    continue
                if entry.is_dir(follow_symlinks=False) and len(os.fsencode(key)) < MAX_KEY:
                    yield from self._walk(Path(entry.path), f"{key}/")
                    continue
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # gone since it was listed
                    continue
                reason = None
                if stat.S_ISLNK(facts.st_mode):
                    reason = "a symbolic link; links are not followed"
                elif not stat.S_ISREG(facts.st_mode):
                    reason = "not a regular file"
                yield _file_ref(key, facts), reason

    def read(self, ref: ObjectRef, max_bytes: int) -> bytes:
        """See :class:`ratchet.contracts.seams.LandingZone`.

        Raises:
            UnsafeKey: the key is not one that :meth:`list` would give.
        """
        _check(ref, max_bytes)
        try:
            return self._read(ref)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise _changed(ref.key, "deleted") from error
        except OSError as error:
            if self._has_link(ref.key):
                raise _changed(ref.key, "replaced by a link") from error
            raise StorageError(f"{ref.key}: cannot be read: {error.strerror}") from error

    def _read(self, ref: ObjectRef) -> bytes:
        """Open part by part, so that no folder on the way can be swapped for a link."""
        *folders, last = ref.key.split("/")
        at = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                inner = os.open(folder, flags, dir_fd=at)
                os.close(at)
                at = inner
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(last, flags, dir_fd=at), "rb") as file:  # noqa: PTH123
                return _exactly(file, ref)
        finally:
            os.close(at)

    def _has_link(self, key: str) -> bool:
        paths = accumulate(key.split("/"), Path.joinpath, initial=self.root)
        return any(path.is_symlink() for path in list(paths)[1:])


def _exactly(file: Any, ref: ObjectRef) -> bytes:
    """The file's bytes, if it is what was listed both before and after it is read."""
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode) or _file_ref(ref.key, facts) != ref:
        raise _changed(ref.key, "changed")
    data: bytes = file.read(ref.size + 1)
    if len(data) != ref.size or _file_ref(ref.key, os.fstat(file.fileno())) != ref:
        raise _changed(ref.key, "changed while it was read,")
    return data


def _file_ref(key: str, facts: os.stat_result) -> ObjectRef:
    etag = f"{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ino}"
    micros = min(max(facts.st_mtime_ns // 1000, 0), _LAST_MICROSECOND)
    return ObjectRef(key, etag, facts.st_size, EPOCH + timedelta(microseconds=micros))


@dataclass(frozen=True)
class S3Zone:
    """A bucket prefix (no slash at its ends). S3 does not list an unfinished multipart upload.

    ``etag`` is S3's; a read names it (``If-Match``), so an overwritten object is never mistaken for
    the one listed. ``arrived`` is ``LastModified``.
    """

    bucket: str
    prefix: str
    client: S3Client = field(repr=False)

    @property
    def name(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def _base(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""

    def list(self) -> tuple[list[ObjectRef], list[tuple[str, str]]]:
        """See :class:`ratchet.contracts.seams.LandingZone`."""
        from botocore.exceptions import BotoCoreError, ClientError

        found: list[tuple[ObjectRef, str | None]] = []
        try:
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._base):
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(self._base)
                    folder = item["Key"].endswith("/") and not item["Size"]
                    if folder or ignored(key):
                        continue
                    etag = item["ETag"].strip('"')
                    found.append((ObjectRef(key, etag, item["Size"], item["LastModified"]), None))
        except (BotoCoreError, ClientError) as error:
            raise self._unreachable("listing", error) from None
        return sift(found)

    def read(self, ref: ObjectRef, max_bytes: int) -> bytes:
        """See :class:`ratchet.contracts.seams.LandingZone`.

        Raises:
            UnsafeKey: the key is not one that :meth:`list` would give.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        failure: Exception
        _check(ref, max_bytes)
        for again in range(s3.BODIES):
            try:
                return self._read(ref)
            except (BotoCoreError, ClientError) as error:
                if s3.code(error) in (*s3.ABSENT, *s3.REFUSED):
                    raise _changed(ref.key, "overwritten or deleted") from None
                raise self._unreachable(ref.key, error) from None
            except (HTTPError, OSError) as error:  # the body broke off: botocore lets it through
                failure = error  # as urllib3 raised it, and retries only requests
            time.sleep(s3.REST * 2**again)
        raise self._unreachable(ref.key, failure)

    def _read(self, ref: ObjectRef) -> bytes:
        answer = self.client.get_object(
            Bucket=self.bucket, Key=self._base + ref.key, IfMatch=f'"{ref.etag}"'
        )
        if answer.get("ContentLength") != ref.size or answer["ETag"].strip('"') != ref.etag:
            answer["Body"].close()
            raise _changed(ref.key, "changed")
        return s3.whole(dict(answer))  # bounded by the length just checked

    def _unreachable(self, what: str, error: Exception) -> StorageError:
        return StorageError(
            f"{self.name}: {what}: {s3.clean(error)}. "
            + s3.advice(error, "Check the endpoint, the keys and the bucket")
        )
