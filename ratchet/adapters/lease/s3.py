"""A lease in an object of a bucket, taken and renewed by conditional writes.

>>> lease = S3Lease(client, "bucket", "flights/_lease.json", ttl_seconds=60)   # doctest: +SKIP
>>> with lease.hold("retrain flights"):                               # doctest: +SKIP
...     lease.check()
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from ratchet.adapters import s3
from ratchet.adapters.lease.holder import Holder
from ratchet.errors import LeaseHeld, StorageError

# Where the system has it, the clock that goes on while a machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class S3Lease:
    """A lease in one object of a bucket, kept alive by a thread while it is held.

    Whether the last holder's time is up is judged by the store's own clock (its ``Date`` and
    ``Last-Modified``), so the clocks of the machines need not agree.

    Args:
        client: boto3 S3 client, of a store whose conditional writes were proven.
        bucket, key: the object.
        ttl_seconds: how long after its last sign of life a dead holder's lease stays taken.
    """

    def __init__(self, client: Any, bucket: str, key: str, ttl_seconds: float = 60) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._ttl = ttl_seconds
        self._lock = threading.Lock()  # renewals and checks take turns
        self._held: Holder | None = None
        self._etag = ""
        self._alive_until = 0.0  # monotonic seconds
        self._lost = ""

    @contextlib.contextmanager
    def hold(self, owner: str) -> Iterator[int]:
        """Hold the lease for the block; gives a fencing token that rises with each holder.

        Raises:
            LeaseHeld: another run holds it, or was faster.
            StorageError: the store cannot be reached.
        """
        holder = self._take(owner)
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(stop,), name="lease", daemon=True)
        keeper.start()
        try:
            yield holder.token
        finally:
            stop.set()
            keeper.join()
            self._release()

    def check(self) -> None:
        """Prove that the lease is still held, before a write that only its holder may make.

        It asks the store, so a run that was paused for longer than its time finds out here.

        Raises:
            LeaseHeld: it is not held, or somebody took it over.
            StorageError: the store did not answer while the time ran out.
        """
        with self._lock:
            if self._held is None:
                raise LeaseHeld(f"lease {self._address}: not held by this run; hold it first")
            self._renew()
            if self._lost:
                raise LeaseHeld(f"lease {self._address} {self._lost}; this run must stop")
            if _now() >= self._alive_until:
                raise StorageError(
                    f"lease {self._address} could not be renewed in time; this run must stop. "
                    "Check that the S3 server is up, then run again"
                )

    def held(self) -> bool | None:
        """Whether somebody holds it and gave a sign of life in time.

        Raises:
            StorageError: the store cannot be reached.
        """
        last, _, age = self._read()
        return last is not None and _in_time(last, age)

    @property
    def _address(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def _take(self, owner: str) -> Holder:
        last, etag, age = self._read()
        if last is not None and _in_time(last, age):
            raise LeaseHeld(
                f"{owner!r} cannot start: {last.describe()} holds {self._address}, last seen "
                f"{age:.0f} s ago. It is free {last.ttl:.0f} s after its holder's last sign of life"
            )
        holder = Holder.new(owner, last.token + 1 if last else 1, self._ttl)
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        began = _now()
        won = self._write(holder, condition)
        if not won:
            winner, _, _ = self._read()
            who = winner.describe() if winner else "another run"
            raise LeaseHeld(f"{owner!r} cannot start: {who} was faster to take {self._address}")
        with self._lock:
            self._held, self._etag, self._lost = holder, won, ""
            self._alive_until = began + self._ttl
        return holder

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(self._ttl / 3):
            with self._lock:
                self._renew()
                if self._lost:
                    return

    def _renew(self) -> None:
        """One sign of life; an error of the store is tried again until the time is up."""
        if self._held is None or self._lost:
            return
        began = _now()
        self._held = replace(self._held, beat=self._held.beat + 1)
        try:
            etag = self._write(self._held, {"IfMatch": self._etag})
        except StorageError:
            return
        if etag:
            self._etag, self._alive_until = etag, began + self._ttl
        else:
            self._lost = "was taken over by another run after this one gave no sign of life"

    def _release(self) -> None:
        """Mark it free, unless somebody took it over; its token stays on record."""
        with self._lock:
            holder, self._held = self._held, None
            if holder is not None and not self._lost:
                with contextlib.suppress(StorageError):  # it is free after its time
                    self._write(replace(holder, released=True), {"IfMatch": self._etag})

    def _write(self, holder: Holder, condition: dict[str, str]) -> str:
        """Write under a condition; the new ETag, or '' when somebody else wrote in between."""
        try:
            return self._put(holder, condition)
        except Exception as error:
            refused = s3.code(error) in s3.REFUSED + s3.ABSENT
            found, etag, _ = self._read()  # an answer may have been lost: was it our own write?
            if found == holder:
                return etag
            if not refused:
                raise self._failure(error) from None
            if found is None or found.nonce != holder.nonce:
                return ""
        try:  # an earlier sign of life arrived after all: go on from it
            return self._put(holder, {"IfMatch": etag})
        except Exception as error:
            raise self._failure(error) from None

    def _put(self, holder: Holder, condition: dict[str, str]) -> str:
        body = holder.to_bytes()
        request = {"Bucket": self._bucket, "Key": self._key, "Body": body, **condition}
        return str(self._client.put_object(**request)["ETag"])

    def _read(self) -> tuple[Holder | None, str, float]:
        """The holder on record, the object's ETag ('' for none) and its age in whole seconds."""
        try:
            answer, body = s3.fetch(self._client, Bucket=self._bucket, Key=self._key)
        except Exception as error:
            if s3.code(error) in s3.ABSENT:
                return None, "", 0.0
            raise self._failure(error) from None
        holder = Holder.from_bytes(body)
        if holder is None:
            raise StorageError(
                f"lease {self._address} holds something else than a lease; look at it, and remove "
                "it if no run is under way"
            )
        sent = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return holder, answer["ETag"], (sent - answer["LastModified"]).total_seconds()

    def _failure(self, error: Exception) -> StorageError:
        return StorageError(
            f"lease {self._address}: {s3.clean(error)}. "
            + s3.advice(error, "Check the S3 server and that the keys may write there")
        )


def _in_time(last: Holder, age: float) -> bool:
    return not last.released and age <= last.ttl + 1  # ages are whole seconds
