"""How much of a batch one source may give.

>>> quota({"a": 900, "b": 300, "c": 300}, {}, max_share=0.5)
{'a': 600, 'b': 300, 'c': 300}

A source that floods the batch outvotes all others, so ``shield.max_source_share`` bounds its share
of what is kept, not of what was sent: sending more rows raises nobody's own bound. Which rows stay
is drawn by a keyed hash, so no order of sending pushes anybody out.

Promise: one source's rows or bad name never lower what another may give; with a share of 1 no row
is ever set aside.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY, SOURCE
from ratchet.contracts.evidence import Evidence, Verdict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

CHECK = "shield.quota"
UNKNOWN = 0.5  # trust of a source of which nothing is known; see ``Account.trust``
ROUNDING = 1e-9  # 0.1 * 30 is 3 rows


@dataclass(frozen=True, eq=False)
class Quota:
    """What the quotas concluded.

    Attributes:
        evidence: of the check ``shield.quota``: WARN where rows are over, BLOCK where none is left.
        over: mask over the rows of those that go to quarantine.
    """

    evidence: Evidence
    over: NDArray[np.bool_]


def quota(rows: Mapping[str, int], trust: Mapping[str, float], max_share: float) -> dict[str, int]:
    """How many of its rows each source may give.

    The bound is ``max_share`` of the largest batch in which no source has more than that. It is
    lowered, for that source alone, in proportion to a trust below that of an unknown one. Fewer
    sources than 1 / ``max_share`` cannot keep the bound: then nothing is allowed.

    Args:
        rows: source to the rows it sent.
        trust: source to :attr:`Account.trust`; a source that is left out is unknown.
        max_share: ``shield.max_source_share``; at 1 there are no quotas.
    """
    if max_share >= 1:
        return dict(rows)
    bound = max_share * _balanced(rows, max_share)
    return {
        source: min(
            sent, math.floor(bound * min(1.0, trust.get(source, UNKNOWN) / UNKNOWN) + ROUNDING)
        )
        for source, sent in rows.items()
    }


def check_quota(
    rows: pa.Table, definition: Definition, trust: Mapping[str, float], seed: int
) -> Quota:
    """Set the rows aside that are over their source's quota.

    Args:
        rows: with ``_key`` and ``_source``.
        definition: for ``shield.max_source_share``.
        trust: see :func:`quota`.
        seed: of the draw; anything that a sender cannot know beforehand.
    """
    import numpy as np
    import pyarrow.compute as pc

    counted = pc.value_counts(rows[SOURCE]).to_pylist()
    sent = {c["values"]: c["counts"] for c in sorted(counted, key=lambda c: str(c["values"]))}
    share = definition.shield.max_source_share
    allowed = quota(sent, trust, share)
    over = np.zeros(rows.num_rows, dtype=bool)
    for source in (s for s in sent if allowed[s] < sent[s]):
        mine = np.flatnonzero(pc.equal(rows[SOURCE], source).to_numpy(zero_copy_only=False))
        over[mine[_draw(rows[KEY].take(mine).to_pylist(), seed)[allowed[source] :]]] = True
    return Quota(_evidence(sent, allowed, share), over)


def _balanced(rows: Mapping[str, int], share: float) -> float:
    """The largest K that is the sum of all min(rows, share * K).

    The K at which the m largest sources are bounded solves K = rest + m * share * K; the largest
    solution has the fewest of them.
    """
    largest = sorted(rows.values(), reverse=True)
    rest = sum(largest)
    for bounded, most in enumerate(largest):
        kept = rest / (1 - bounded * share)
        if most <= share * kept + ROUNDING:
            return kept
        rest -= most
        if (bounded + 1) * share >= 1 - ROUNDING:
            return 0.0
    return 0.0


def _draw(keys: list[str], seed: int) -> NDArray[np.int64]:
    """Positions in an order that only the seed decides."""
    import numpy as np

    secret = seed.to_bytes(16, "big", signed=True)
    hashes = [hashlib.blake2b(k.encode(), key=secret, digest_size=8).digest() for k in keys]
    drawn = np.array([int.from_bytes(h, "big") for h in hashes], dtype=np.uint64)
    return np.asarray(np.argsort(drawn, kind="stable"), dtype=np.int64)


def _evidence(sent: Mapping[str, int], allowed: Mapping[str, int], share: float) -> Evidence:
    total, kept = sum(sent.values()), sum(allowed.values())
    largest = max(sent.values(), default=0) / total if total else 0.0
    over = {source: n - allowed[source] for source, n in sent.items() if n > allowed[source]}
    if not over:
        text = f"the largest of {len(sent)} sources gives {largest:.3g} of {total:,} rows"
        text += f", {share:g} allowed"
        return Evidence(CHECK, Verdict.PASS, text, largest, share)
    named = sorted(over, key=lambda s: (-over[s], s))[:4]
    each = ", ".join(f"{s} {over[s]:,} of {sent[s]:,}" for s in named)
    text = f"{total - kept:,} of {total:,} rows are over their source's quota of {share:g}: {each}"
    if kept:
        return Evidence(CHECK, Verdict.WARN, text, largest, share, {"over": over})
    text += f"; {len(sent)} sources cannot each stay below that share, so nothing is left"
    return Evidence(CHECK, Verdict.BLOCK, text, largest, share, {"over": over})
