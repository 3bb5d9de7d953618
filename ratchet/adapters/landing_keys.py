"""Which keys of a landing zone may be read.

>>> unsafe_reason("features/2013-01-01.parquet") is None
True
>>> unsafe_reason("p//q")
"an empty part, '.' or '..', so another key could name the same object"

Promise: of two keys that some system takes for one, neither is read.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

from ratchet.contracts.seams import ObjectRef

MAX_KEY = 1024
TEMPORARY = (".tmp", ".part", ".crc")


def ignored(key: str) -> bool:
    """Whether a key names a temporary or hidden file, which is left alone until it is renamed.

    A part that starts with ``.`` or ``_``, or a name that ends in ``.tmp``, ``.part`` or ``.crc``.
    """
    parts = key.replace("\\", "/").split("/")
    hidden = any(p.startswith(("_", ".")) and p not in (".", "..") for p in parts)
    return hidden or key.endswith(TEMPORARY)


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


def sift(
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
