"""A lease on one machine: the kernel keeps it, and frees it when its holder dies.

>>> with FileLease(Path("/tmp/flights.lock")).hold("retrain") as token:   # doctest: +SKIP
...     print(token)
1
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ratchet.adapters.lease.holder import Holder
from ratchet.errors import LeaseHeld, StorageError

_descriptors: set[int] = set()  # lock files that this process holds open
_guards: list[bool] = []  # not empty once forked children let go of them


class FileLease:
    """A lease on one machine: ``flock`` on ``path``; who holds it is in ``path`` + ``.json``.

    The kernel frees it when the holder dies, even by SIGKILL. Child processes do not inherit it.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._record = self._path.with_name(self._path.name + ".json")
        self._held: Holder | None = None

    @contextlib.contextmanager
    def hold(self, owner: str) -> Iterator[int]:
        """Hold the lease for the block; gives a fencing token that rises with each holder."""
        descriptor = self._lock(owner)
        try:
            self._held = self._next(owner)
            yield self._held.token
        finally:
            self._held = None
            if descriptor in _descriptors:  # not in a forked child, which let go of it
                _descriptors.discard(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # also if a child that forks now has it
                os.close(descriptor)

    def check(self) -> None:
        """Prove that the lease is still held, before a write that only its holder may make.

        Raises:
            LeaseHeld: it is not held, or the record names another holder.
        """
        if self._held is None:
            raise LeaseHeld(f"lease {self._path}: not held by this run; hold it first")
        found = self._read()
        if found is None or found.nonce != self._held.nonce:
            who = found.describe() if found else "somebody else (its record is gone)"
            raise LeaseHeld(f"lease {self._path} was taken over by {who}; this run must stop")

    def held(self) -> bool | None:
        """Whether some process holds the lock, by ``/proc/locks``; None where there is none.

        Trying the lock would turn away a run that begins just then.
        """
        try:
            place = self._path.stat()
            locks = Path("/proc/locks").read_text(encoding="ascii")
        except FileNotFoundError:
            return None if self._path.exists() else False
        device = f"{os.major(place.st_dev):02x}:{os.minor(place.st_dev):02x}:{place.st_ino}"
        return any(line.split()[5] == device for line in locks.splitlines() if "FLOCK" in line)

    def _lock(self, owner: str) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"lease {self._path} cannot be opened: {error.strerror}. Let this user write "
                "there, or set RATCHET_STATE to a directory where it may"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            found = self._read()
            who = found.describe() if found else "another run"
            raise LeaseHeld(
                f"{owner!r} cannot start: {who} holds {self._path}. Wait for it to end"
            ) from None
        _descriptors.add(descriptor)
        _guard_forks()
        return descriptor

    def _next(self, owner: str) -> Holder:
        """Record this holder, whose token is one more than the last; all or nothing."""
        last = self._read()
        holder = Holder.new(owner, last.token + 1 if last else 1)
        beside = self._record.with_name(self._record.name + ".tmp")
        try:
            beside.write_bytes(holder.to_bytes())
            beside.replace(self._record)
        except OSError as error:
            raise StorageError(
                f"lease {self._record} cannot be written: {error.strerror}. Free space or make it "
                "writable, then run again"
            ) from None
        return holder

    def _read(self) -> Holder | None:
        try:
            return Holder.from_bytes(self._record.read_bytes())
        except OSError:
            return None


def _guard_forks() -> None:
    """Let forked children close the lock files, so that they cannot outlive the holder's death."""
    if not _guards:
        _guards.append(True)
        os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    for descriptor in _descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()
