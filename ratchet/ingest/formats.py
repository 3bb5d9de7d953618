"""Which format an object is in, and how it is unpacked. Nothing is ever written to disk.

>>> decode(data, "features/2013-01-01.csv.gz", {"x"}, print, limits)    # doctest: +SKIP

Known: ``.parquet``, ``.csv``, ``.jsonl``/``.ndjson``, each also as the one member of a ``.zip``;
text also as ``.gz``. Contents decide over names: a Parquet file is one whatever it is called.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import PurePosixPath
from typing import IO

from ratchet.errors import TooLarge, Unreadable
from ratchet.ingest.parquet import read_parquet
from ratchet.ingest.raw import Raw
from ratchet.ingest.text import read_csv, read_json_lines
from ratchet.ingest.values import MIB, Limits, shown

_READERS = {
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
}
# From zipfile: NotImplementedError is an unknown compression, RuntimeError a password.
_DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


def decode(
    data: bytes,
    key: str,
    wanted: Collection[str],
    check: Callable[[list[str]], None],
    limits: Limits,
) -> Raw:
    """The wanted columns of an object.

    Args:
        data: the object's bytes.
        key: its key; the ending names the format.
        wanted: columns to read; those that it lacks are left out.
        check: called with all its column names; raises to refuse it.
        limits: caps on bytes as delivered and once decoded.

    Raises:
        Unreadable: unknown format, truncated or damaged.
        TooLarge: over a cap, found before or while decoding.
    """
    if len(data) > limits.object_bytes:
        raise TooLarge(
            f"{len(data) / MIB:.0f} MiB, allowed are {limits.object_bytes // MIB} MiB; split it "
            "into smaller objects, or raise source.max_object_mib"
        )
    if not data:
        raise Unreadable("empty: 0 bytes; it may be truncated: send it again")
    name = key.lower()
    if name.endswith(".zip"):
        name, data = _member(data, limits)
    elif name.endswith(".gz"):
        name, data = name.removesuffix(".gz"), _gunzip(data, limits)
    ending = ".parquet" if data[:4] == b"PAR1" else PurePosixPath(name).suffix
    reader = _READERS.get(ending)
    if reader is None:
        raise Unreadable(
            f"{shown(key)}: unknown format {ending or '(no ending)'!r}; expected .parquet, .csv or "
            ".jsonl (text also as .gz), or a .zip that holds one of them"
        )
    try:
        return reader(data, wanted, check, limits)
    except MemoryError as error:
        raise TooLarge(f"decoded it needs more memory than there is: {error}") from error


def _gunzip(data: bytes, limits: Limits) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return _bounded(stream, limits)
    except _DAMAGED as error:
        raise Unreadable(f"gzip is damaged: {error}; send it again") from error


def _member(data: bytes, limits: Limits) -> tuple[str, bytes]:
    """Name and content of the one file in a zip archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            for member in members:
                _check_member(member.filename)
            if len(members) != 1:
                raise Unreadable(f"the archive holds {len(members)} files, expected exactly 1")
            with archive.open(members[0]) as stream:
                return members[0].filename.lower(), _bounded(stream, limits)
    except _DAMAGED as error:
        raise Unreadable(f"zip is damaged: {shown(str(error), 120)}; send it again") from error


def _check_member(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise Unreadable(f"the archive names a file outside itself: {shown(name)}")


def _bounded(stream: IO[bytes] | gzip.GzipFile, limits: Limits) -> bytes:
    content = stream.read(limits.decoded_bytes + 1)
    if len(content) > limits.decoded_bytes:
        raise TooLarge(
            f"unpacked it takes more than {limits.decoded_bytes // MIB} MiB; split it into "
            "smaller objects, or raise source.max_decoded_mib"
        )
    return content
