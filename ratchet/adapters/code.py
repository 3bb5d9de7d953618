"""The digest of the code that makes models, so that a lineage can say which code it was.

>>> len(code_digest())
64
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

_MAKERS = ("xgboost", "numpy", "pyarrow")  # the libraries that decide a model's bytes


@lru_cache(maxsize=1)
def code_digest() -> str:
    """SHA-256 (hex) over Ratchet's sources and the libraries that decide a model's bytes."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    for name in _MAKERS:
        digest.update(f"{name}=={version(name)}\0".encode())
    return digest.hexdigest()
