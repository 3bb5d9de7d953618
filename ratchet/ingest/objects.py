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
from ratchet.errors import UnsafeKey
from ratchet.ingest.values import Role, shown

if TYPE_CHECKING:
    import pyarrow as pa

FINAL = ("landed", "duplicate", "quarantined")
SENDER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


def role_of(key: str, definition: Definition) -> Role | None:
    """What the object of this key holds; None: no glob matches, so it is ignored.

    In a glob ``*`` and ``?`` stay within one folder, ``**`` crosses folders and ``{source}`` is one
    folder's name. The trusted glob is asked first, then that of the true objective, then the
    labels', so ``features = "**"`` means all that is none of these. ``both`` means that the
    pipeline has no separate labels.
    """
    source = definition.source
    if definition.trusted is not None and _pattern(definition.trusted.objects).fullmatch(key):
        return "trusted"
    true = definition.true_objective
    if true is not None and _pattern(true.objects).fullmatch(key):
        return "true_objective"
    if source.labels is not None and _pattern(source.labels).fullmatch(key):
        return "labels"
    if _pattern(source.features).fullmatch(key):
        return "both" if source.labels is None else "features"
    return None


def source_of(key: str, role: Role, definition: Definition) -> str | None:
    """Who sent the object: the folder in the place of ``{source}``; None: the glob has no such.

    A sender is known by where the store lets it write (permissions on a prefix), not by what it
    says of itself: no column of an object can name its source.

    Raises:
        UnsafeKey: the folder's name is no plain name.
    """
    trusted = definition.trusted.objects if definition.trusted else ""
    true = definition.true_objective.objects if definition.true_objective else ""
    labels = definition.source.labels or ""
    globs = {"labels": labels, "trusted": trusted, "true_objective": true}
    glob = globs.get(role, definition.source.features)
    found = _pattern(glob).fullmatch(key)
    if found is None or "source" not in found.groupdict():
        return None
    name = found["source"]
    if not re.fullmatch(SENDER, name):
        raise UnsafeKey(
            f"the folder {shown(name)} names the source: expected letters, digits, '.', '_' and "
            "'-', at most 63, a letter or digit first"
        )
    return name


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    parts = {
        "**/": "(?:.*/)?",
        "**": ".*",
        "*": "[^/]*",
        "?": "[^/]",
        "{source}": "(?P<source>[^/]+)",
    }
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\{source\})", glob)
    return re.compile("".join(parts.get(t, re.escape(t)) for t in tokens), re.DOTALL)


def transaction_of(role: str, sha256: str) -> str:
    """The application transaction that lands an object: its rows and labels come by this alone."""
    return f"object/{role}/{sha256}"


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

    An object whose (role, SHA-256) is in it is a ``duplicate``: a re-sent object, a renamed copy,
    or what another source sent before: the rows belong to the source that sent them first. Add to
    the dict while taking in new objects, so that two copies in one cycle count once.
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
