"""One run per pipeline at a time: a lock file on one machine, a conditional object on S3.

>>> lease = open_lease(".ratchet/tables/flights", settings())         # doctest: +SKIP
>>> with lease.hold("retrain flights 2013-03-05") as token:           # doctest: +SKIP
...     lease.check()

Promise: two holders never believe at the same time that a write is theirs to make, as long as each
calls ``check`` before it. Tokens rise with each holder. A holder that dies frees the lease: at once
on one machine (the kernel does it), within its time to live on S3.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.adapters.lease.file import FileLease
from ratchet.adapters.lease.s3 import S3Lease
from ratchet.adapters.tables.opening import check_root, open_store
from ratchet.contracts.seams import Lease

if TYPE_CHECKING:
    from ratchet.settings import Settings

__all__ = ["FileLease", "S3Lease", "open_lease"]


def open_lease(root: str, settings: Settings, reading: bool = False) -> Lease:
    """The lease of the tables below ``root``: a lock file in ``settings.state``, or an S3 object.

    ``reading`` as in :func:`~ratchet.adapters.tables.opening.open_tables`: for ``held`` alone.

    Raises:
        DefinitionError: the root is not in its canonical form.
        NoConditionalWrites: the S3 server cannot keep one of two runs out.
    """
    check_root(root)
    if root.startswith("s3://"):
        client, bucket, prefix = open_store(root, settings, reading)
        return S3Lease(client, bucket, f"{prefix}/_lease.json".lstrip("/"))
    whole = str(Path(root).resolve())
    name = re.sub(r"[^A-Za-z0-9_-]", "_", Path(whole).name)[:40]
    which = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return FileLease(settings.state / "locks" / f"{name}-{which}.lock")
