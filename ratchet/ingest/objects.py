"""Which objects are new, what they hold, and which content was seen before.

>>> from ratchet.contracts.definition import parse
>>> role_of("labels/2013-01-08.parquet", definition)                    # doctest: +SKIP
'labels'

Promise: an object is taken in exactly once by content, whatever it is called and however often it
is sent.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ratchet.contracts.definition import Definition
from ratchet.contracts.seams import ObjectRef
from ratchet.ingest.values import Role

if TYPE_CHECKING:
    import pyarrow as pa

FINAL = ("landed", "duplicate", "quarantined")


def role_of(key: str, definition: Definition) -> Role | None:
    """What the object of this key holds; None: no glob matches, so it is ignored.

    In a glob ``*`` and ``?`` stay within one folder and ``**`` crosses folders. The labels' glob
    is asked first, so ``features = "**"`` means all that is not labels. ``both`` means that the
    pipeline has no separate labels.
    """
    source = definition.source
    if source.labels is not None and _pattern(source.labels).fullmatch(key):
        return "labels"
    if _pattern(source.features).fullmatch(key):
        return "both" if source.labels is None else "features"
    return None


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(parts.get(t, re.escape(t)) for t in tokens), re.DOTALL)


def new_objects(listed: list[ObjectRef], ledger: pa.Table) -> list[ObjectRef]:
    """The listed objects that were not yet dealt with, in listed order.

    Args:
        listed: what the landing zone holds now.
        ledger: rows of ``objects`` (``columns.objects_schema``), or a table without columns.

    An object counts as dealt with when its (key, etag) has a final status in the ledger: landed,
    duplicate or quarantined. A re-sent object has a new etag, so it is looked at again, and its
    content decides (:func:`seen_content`).
    """
    done = {(line["object_key"], line["etag"]) for line in _final(ledger, ["object_key", "etag"])}
    return [ref for ref in listed if (ref.key, ref.etag) not in done]


def seen_content(ledger: pa.Table) -> dict[tuple[str, str], str]:
    """(role, SHA-256) of all content seen before, to the key that brought it first.

    An object whose (role, SHA-256) is in it is a ``duplicate``: a re-sent object or a renamed
    copy. Add to the dict while taking in new objects, so that two copies in one cycle count once.
    """
    seen: dict[tuple[str, str], str] = {}
    for line in _final(ledger, ["role", "sha256", "object_key"]):
        if line["sha256"]:
            seen.setdefault((line["role"] or "", line["sha256"]), line["object_key"])
    return seen


def _final(ledger: pa.Table, columns: list[str]) -> list[dict[str, str]]:
    if not ledger.num_rows:
        return []
    lines: list[dict[str, str]] = ledger.select([*columns, "status"]).to_pylist()
    return [line for line in lines if line["status"] in FINAL]
