"""Who holds a lease, as it is written beside the lock.

>>> Holder.from_bytes(Holder.new("retrain flights", 3).to_bytes()).token
3
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime


@dataclass(frozen=True)
class Holder:
    """Who holds a lease.

    Attributes:
        owner: what the run is, for people.
        pid, host: where it runs.
        since: ISO 8601, UTC.
        token: fencing token, from 1.
        nonce: unique to this holding.
        ttl: seconds that it lasts after its last sign of life; 0 where the kernel watches.
        beat: signs of life so far. Each one changes the bytes and thereby the ETag, so that nobody
            can take over on the strength of an older state.
        released: its holder is done.
    """

    owner: str
    pid: int
    host: str
    since: str
    token: int
    nonce: str
    ttl: float = 0.0
    beat: int = 0
    released: bool = False

    @classmethod
    def new(cls, owner: str, token: int, ttl: float = 0.0) -> Holder:
        """This process, from now on."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        nonce = uuid.uuid4().hex
        return cls(owner, os.getpid(), socket.gethostname(), since, token, nonce, ttl)

    def to_bytes(self) -> bytes:
        """JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Holder | None:
        """The inverse of :meth:`to_bytes`; None when it is something else."""
        try:
            value = json.loads(data)
            known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
            holder = cls(**known)
            return replace(holder, token=int(holder.token), ttl=float(holder.ttl))
        except (ValueError, TypeError):
            return None

    def describe(self) -> str:
        """Who and since when, for people."""
        return f"{self.owner!r} (process {self.pid} on {self.host}) since {self.since}"
