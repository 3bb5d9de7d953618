"""The landing zone: where other systems drop files. A directory, or a bucket prefix through boto3.

>>> zone = open_zone("landing/flights", settings())                     # doctest: +SKIP
>>> objects, unsafe = zone.list()                                       # doctest: +SKIP
>>> data = zone.read(objects[0], max_bytes=2**30)                       # doctest: +SKIP

Promise: objects are never modified; what is read is exactly the version that was listed; and a key
that another key could alias, or that leaves the zone, is reported and never read.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.contracts.seams import LandingZone, ObjectRef
from ratchet.errors import DefinitionError, ObjectChanged, StorageError, TooLarge, UnsafeKey
from ratchet.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_KEY = 1024
_TEMPORARY = (".tmp", ".part", ".crc")
_CHUNK = 8 * 2**20
_TRIES = 3


def open_zone(address: str, settings: Settings) -> LandingZone:
    """The landing zone at an address of a pipeline definition.

    Args:
        address: a directory (relative ones lie below ``settings.home``) or ``s3://bucket/prefix``.
        settings: endpoint, region and credentials for S3.

    Raises:
        DefinitionError: another kind of address, or one that holds credentials.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return DirectoryZone(settings.home / address, address)
    if scheme != "s3":
        raise DefinitionError(
            f"landing zone {scheme}://…: expected a directory or s3://bucket/prefix"
        )
    bucket, _, prefix = rest.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", bucket):
        raise DefinitionError(
            "landing zone s3://…: expected s3://bucket/prefix; credentials belong in "
            "RATCHET_S3_ACCESS_KEY and RATCHET_S3_SECRET_KEY"
        )
    return S3Zone(bucket, prefix, _s3_client(settings))


def ignored(key: str) -> bool:
    """Whether a key names a temporary or hidden file, which is left alone until it is renamed.

    A part that starts with ``.`` or ``_``, or a name that ends in ``.tmp``, ``.part`` or ``.crc``.
    """
    parts = key.replace("\\", "/").split("/")
    hidden = any(p.startswith(("_", ".")) and p not in (".", "..") for p in parts)
    return hidden or key.endswith(_TEMPORARY)


def unsafe_reason(key: str) -> str | None:
    """Why a key must not be read; None when it is a canonical relative POSIX path."""
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    reasons = {
        f"the key has {size} bytes, allowed are 1 to {MAX_KEY}": not 0 < size <= MAX_KEY,
        "a backslash, which some systems take for a slash": "\\" in key,
        "it starts with a slash": key.startswith("/"),
        "an empty part, '.' or '..', so another key could name the same object": any(
            part in ("", ".", "..") for part in key.split("/")
        ),
        "control or invisible characters": any(
            unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in key
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def canonical(key: str) -> str:
    """The form in which two keys meet that some system takes for one."""
    parts = unicodedata.normalize("NFC", key).replace("\\", "/").split("/")
    return "/".join(p for p in parts if p not in ("", "."))


def shown_key(key: str) -> str:
    """A key as safe ASCII text; bytes that are not UTF-8 as ``\\xff``."""
    raw = key.encode("utf-8", errors="surrogateescape")
    return ascii(raw.decode("utf-8", errors="backslashreplace"))[1:-1][:MAX_KEY]


def _sift(
    found: list[tuple[ObjectRef, str | None]],
) -> tuple[list[ObjectRef], list[tuple[str, str]]]:
    """Sort by key; set apart keys that are unsafe alone or alias one another."""
    forms = Counter(canonical(ref.key) for ref, _ in found)
    objects, unsafe = [], []
    for ref, reason in sorted(found, key=lambda item: item[0].key):
        why = reason or unsafe_reason(ref.key)
        if why is None and forms[canonical(ref.key)] > 1:
            why = "another key of the zone is the same once cleaned up"
        if why is None:
            objects.append(ref)
        else:
            unsafe.append((shown_key(ref.key), why))
    return objects, unsafe


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
            return _sift(list(self._walk(self.root, "")))
        except OSError as error:
            raise StorageError(f"landing zone {self.root}: cannot be listed: {error}") from error

    def _walk(self, directory: Path, prefix: str) -> Iterator[tuple[ObjectRef, str | None]]:
        with os.scandir(directory) as entries:
            for entry in entries:
                key = prefix + entry.name
                if ignored(key):
                    continue
                if entry.is_dir(follow_symlinks=False):
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
            if stat.S_ISLNK(self._mode(ref.key)):
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

    def _mode(self, key: str) -> int:
        path = self.root
        for part in key.split("/"):
            path = path / part
            if path.is_symlink():
                return stat.S_IFLNK
        return 0


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
    arrived = datetime.fromtimestamp(facts.st_mtime, UTC)
    return ObjectRef(key, etag, facts.st_size, arrived)


@dataclass(frozen=True)
class S3Zone:
    """A bucket prefix. A multipart upload that was not completed is not listed by S3 at all.

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
        return f"{self.prefix.rstrip('/')}/" if self.prefix.rstrip("/") else ""

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
            raise StorageError(f"{self.name}: cannot be listed: {_said(error)}") from error
        return _sift(found)

    def read(self, ref: ObjectRef, max_bytes: int) -> bytes:
        """See :class:`ratchet.contracts.seams.LandingZone`.

        Raises:
            UnsafeKey: the key is not one that :meth:`list` would give.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        _check(ref, max_bytes)
        for attempt in range(_TRIES):
            try:
                return self._read(ref)
            except ClientError as error:
                if error.response["Error"]["Code"] in (
                    "404",
                    "412",
                    "NoSuchKey",
                    "PreconditionFailed",
                ):
                    raise _changed(ref.key, "overwritten or deleted") from error
                raise StorageError(f"{ref.key}: cannot be read: {_said(error)}") from error
            except BotoCoreError as error:  # a body that broke off; botocore retries only requests
                if attempt == _TRIES - 1:
                    raise StorageError(f"{ref.key}: cannot be read: {_said(error)}") from error
        raise AssertionError("unreachable")

    def _read(self, ref: ObjectRef) -> bytes:
        answer = self.client.get_object(
            Bucket=self.bucket, Key=self._base + ref.key, IfMatch=f'"{ref.etag}"'
        )
        with answer["Body"] as body:
            if answer["ContentLength"] != ref.size or answer["ETag"].strip('"') != ref.etag:
                raise _changed(ref.key, "changed")
            data: bytes = body.read(ref.size + 1)
        if len(data) != ref.size:
            raise _changed(ref.key, f"{len(data)} bytes came of {ref.size}: changed")
        return data


def _said(error: Any) -> str:
    """What S3 answered, without the request (which may hold credentials)."""
    response = getattr(error, "response", None)
    if response:
        return f"{response['Error'].get('Code')}: {response['Error'].get('Message', '')[:120]}"
    return type(error).__name__


def _s3_client(settings: Settings) -> S3Client:
    import boto3
    from botocore.config import Config

    secret = settings.s3_secret_key
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            retries={"mode": "standard", "max_attempts": _TRIES},
            connect_timeout=5,
            read_timeout=30,
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        ),
    )
