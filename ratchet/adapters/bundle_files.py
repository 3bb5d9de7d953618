"""A bundle as files in a directory: known names only, capped sizes, nothing outside.

>>> write_bundle_files(Path("model/bundle"), bundle.files())          # doctest: +SKIP
>>> files = read_bundle_files(Path("model/bundle"))                   # doctest: +SKIP
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ratchet.contracts.bundle import MANIFEST, MODEL, REFERENCE
from ratchet.errors import Refused, StorageError, Tampered

MAX_BYTES = {MANIFEST: 64 << 20, MODEL: 2 << 30, REFERENCE: 256 << 20}
MEMBER = re.compile(r"member-[a-z][a-z0-9_-]{0,62}\.ubj")
MAX_MEMBERS = 16


def read_bundle_files(directory: Path) -> dict[str, bytes]:
    """The files of a bundle; whatever else lies there is not looked at.

    Raises:
        Tampered: one is missing, is a link, or is larger than its cap; too many members.
        StorageError: the disk cannot be read.
    """
    caps = {MANIFEST: MAX_BYTES[MANIFEST], REFERENCE: MAX_BYTES[REFERENCE]}
    models = _members(directory) or [MODEL]
    return {name: _read(directory / name, cap) for name, cap in caps.items()} | {
        name: _read(directory / name, MAX_BYTES[MODEL]) for name in models
    }


def _members(directory: Path) -> list[str]:
    """The names of the boosters of a mixture; none where there is a single one."""
    try:
        found = sorted(p.name for p in directory.iterdir() if MEMBER.fullmatch(p.name))
    except OSError:
        return []  # reading says what is wrong with the folder
    if len(found) > MAX_MEMBERS:
        raise Tampered(f"{len(found)} files of members, at most {MAX_MEMBERS} can be: {directory}")
    return found


def _read(path: Path, cap: int) -> bytes:
    try:
        # O_NOFOLLOW: a link could name any file of this machine.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            content = file.read(cap + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Tampered(f"{path.name}: missing from the stored model ({path})") from error
    except OSError as error:
        if path.is_symlink() or path.is_dir():
            raise Tampered(f"{path.name}: expected a plain file, found a link or folder") from error
        raise StorageError(f"{path}: cannot be read: {error}") from error
    if len(content) > cap:
        raise Tampered(f"{path.name}: larger than {cap:,} bytes, the cap for this file")
    return content


def write_bundle_files(directory: Path, files: Mapping[str, bytes], sync: bool = False) -> None:
    """Write the files; with ``sync`` they are on the disk, not in a cache, when this returns.

    Raises:
        StorageError: disk full or read-only.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with (directory / name).open("wb") as file:
                file.write(content)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
        if sync:
            sync_directory(directory)
    except OSError as error:
        raise StorageError(f"{directory}: the model cannot be written: {error}") from error


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def inside(root: Path, name: str) -> Path:
    """The path of ``name`` below ``root``.

    Raises:
        Refused: it is absolute or leaves the root, also through a link.
    """
    parts = PurePosixPath(name).parts
    path = root.joinpath(*parts)
    contained = path.resolve().is_relative_to(root.resolve())
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or not contained:
        raise Refused(f"{name!r}: expected a relative path inside {root}")
    return path
