"""From an address and the settings to tables that are known to be safe to write.

>>> tables = open_tables(".ratchet/tables/flights", Settings())       # doctest: +SKIP

Promise: a root that could alias another, or a store that cannot keep one of two racing commits out,
is refused before the first row is written.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.adapters import s3
from ratchet.adapters.tables.delta import DeltaTables
from ratchet.adapters.tables.files import Remembered, S3Files
from ratchet.errors import DefinitionError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from ratchet.settings import Settings

REMEMBER = 128 * 2**20  # bytes of decoded columns that a process keeps of one root's tables
_STRANGE = re.compile(r"[\\%?#*\[\]\x00-\x1f\x7f\ud800-\udfff]")
_proven: set[tuple[str | None, str, str]] = set()  # stores probed by this process


def open_tables(root: str, settings: Settings, reading: bool = False) -> DeltaTables:
    """The tables below ``root``: a directory (as is) or ``s3://bucket/prefix``.

    An S3 server is asked once a process to prove its conditional writes; who is only ``reading``
    does not ask, because to prove them it must write.

    Raises:
        DefinitionError: the root is not in its one canonical form, or the endpoint is unsafe.
        NoConditionalWrites: the S3 server would let two writers overwrite each other.
        StorageError: the S3 server cannot be reached.
    """
    check_root(root)
    if not root.startswith("s3://"):
        return DeltaTables(root, remember=REMEMBER)
    client, bucket, prefix = open_store(root, settings, reading)
    files = Remembered(S3Files(client, bucket, prefix))
    return DeltaTables(root, storage_options(settings), files, REMEMBER)


def open_store(root: str, settings: Settings, reading: bool = False) -> tuple[S3Client, str, str]:
    """Client, bucket and prefix of an S3 root whose conditional writes are proven.

    Raises:
        As :func:`open_tables`.
    """
    bucket, prefix = s3.split(root)
    client = s3.client(settings)
    place = (settings.s3_endpoint, bucket, prefix)
    if place not in _proven and not reading:
        s3.probe_conditional_writes(client, bucket, prefix)
        _proven.add(place)
    return client, bucket, prefix


def check_root(root: str) -> None:
    r"""Refuse a root with ``//``, ``\``, ``..`` or characters that a store may read differently.

    Some stores treat such a path as another one, so that two roots would share their tables; Delta
    itself decodes ``%20`` and ends the process at ``[``.

    Raises:
        DefinitionError: it is not in its one canonical form.
    """
    scheme, _, path = root.rpartition("://")
    if scheme not in ("", "s3") or not path:
        raise DefinitionError(f"root {root!r}: expected a directory or s3://bucket/prefix")
    steps = path.removeprefix("./").removesuffix("/").split("/")
    if not scheme and path.startswith("/"):
        steps = steps[1:]
    unsafe = [step for step in steps if step in ("", "..") or _STRANGE.search(step)]
    if scheme and "." in steps:
        unsafe.append(".")
    if not unsafe and not scheme and _STRANGE.search(str(Path(root).resolve())):
        unsafe.append(str(Path(root).resolve()))
    if unsafe and path not in ("/", "./"):
        raise DefinitionError(
            f"root {root!r}: {unsafe[0]!r} is not safe in it, because a store may take it for "
            "another path. Write it without '//', '..', backslashes and the characters % ? # * [ ]"
        )


def storage_options(settings: Settings) -> dict[str, str]:
    """What Delta's object store needs to know; keys left out are found by its own chain."""
    secret = settings.s3_secret_key
    values = {
        "AWS_REGION": settings.s3_region,
        "AWS_ENDPOINT_URL": settings.s3_endpoint,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": secret.get_secret_value() if secret else None,
        "AWS_ALLOW_HTTP": "true" if s3.is_loopback(settings.s3_endpoint or "") else None,
        "conditional_put": "etag",  # the store itself lets one of several commits win
        "connect_timeout": f"{s3.CONNECT_SECONDS}s",
        "timeout": f"{s3.READ_SECONDS}s",
        "max_retries": "6",  # its back-off starts at 0.1 s: together up to about 7 s
        "retry_timeout": "30s",
    }
    return {name: value for name, value in values.items() if value is not None}
