"""The audit of a suspicious batch: a few rows are looked up in the source of record.

>>> picks = choose(batch, comparison.suspicious, 100, seed=17)                  # doctest: +SKIP
>>> audit = judge_audit(picks, batch, found, reverse, definition)               # doctest: +SKIP
>>> audit.evidence.arithmetic                                                   # doctest: +SKIP
'100 rows looked up: 0 of 50 drawn at random and 0 of 50 suspicious ones differ; clean'

Half of the look-ups are drawn anywhere, half where the batch looks worst, because a backdoor of 1 %
would be hit by a random draw of 50 only two times in five. Rows that the trusted control knows are
not asked for again; what it said of them counts with the random draw. A second draw runs the other
way: true records that the batch should hold but does not.

Slips of honest paths are allowed for, also where the suspicious rows are the top of a ranking and
slips gather among them.

Promise: a clean audit needs answers; a record that cannot be reached is an ERROR.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import EVENT, KEY, LABEL
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.match import match
from ratchet.validate.tails import binomial_sf, fisher

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.validate.sample import Comparison, Sample

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

CHECK = "audit.rows"
ALPHA = 0.003  # of an audit; split over its three counts
FEWEST = 2  # wrong rows that make a count dirty: one may be a slip
EXAMPLES = 5
SPLITS = 101  # of the allowed share between the top of a ranking and the rest


@dataclass(frozen=True, eq=False)
class Picks:
    """The rows that are looked up.

    Attributes:
        uniform, pointed: positions in the batch: drawn anywhere, and among the suspicious rows.
        keys: of both, in that order.
        suspicious: the mask that was pointed at.
        ranked: whether it is the top of a ranking.
        known, differs: positions in the batch of the rows that the control knows, and whether they
            differ from it.
    """

    uniform: Ints
    pointed: Ints
    keys: tuple[str, ...]
    suspicious: Mask
    ranked: bool
    known: Ints
    differs: Mask


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit concluded.

    Attributes:
        evidence: of the check ``audit.rows``.
        checked: positions in the batch of the uniform half, for the accounts of the sources.
        differs: shape of ``checked``.
        rows: mask over the batch of the rows to quarantine: none when it is clean, the suspicious
            ones if all that is wrong lies there, else all.
    """

    evidence: Evidence
    checked: Ints
    differs: Mask
    rows: Mask


def choose(batch: Sample, compared: Comparison, lookups: int, seed: int) -> Picks:
    """Half of the look-ups anywhere, half among the suspicious rows; disjoint, by keyed hash.

    The hash is keyed with ``seed``, which must not be known to whoever sends the batch.
    """
    import numpy as np

    keys = batch.rows[KEY].to_pylist()
    secret = seed.to_bytes(16, "big", signed=True)
    draw = np.array([_hash(key, secret) for key in keys], dtype=np.uint64)
    order = np.argsort(draw, kind="stable")
    rest = np.ones(batch.rows.num_rows, dtype=bool)
    rest[compared.checked] = False
    pointed = order[(compared.suspicious & rest)[order]][: lookups // 2]
    rest[pointed] = False
    # Drawn by a second hash: the rows of the first draw must not be its left-overs.
    again = np.argsort(np.array([_hash(key, secret + b"again") for key in keys]), kind="stable")
    uniform = again[rest[again]][: lookups - len(pointed)]
    chosen = np.concatenate([uniform, pointed]).astype(np.int64)
    return Picks(
        uniform,
        pointed,
        tuple(keys[i] for i in chosen.tolist()),
        compared.suspicious,
        compared.ranked,
        compared.checked,
        compared.differs,
    )


def judge_audit(
    picks: Picks, batch: Sample, found: pa.Table, reverse: pa.Table, definition: Definition
) -> Audit:
    """Compare the looked-up rows with the record, and the record's own draw with the batch.

    A row whose key the record does not know is forged; one that differs in a value is altered; a
    true record that the batch lacks is missing. Each of the three counts is tested against the
    share that honest paths differ in, with an exact binomial tail.

    Args:
        picks: what was looked up.
        batch: with labels.
        found: what the record knows of ``picks.keys``.
        reverse: true records of the batch's time span, at random.
        definition: for ``shield.max_mismatch``, ``validate.max_quarantined_share``, ``features``.
    """
    import numpy as np

    wrong = _wrong(picks, batch, found, definition)
    u = len(picks.uniform)
    bad_u, bad_p = int(wrong[:u].sum()), int(wrong[u:].sum())
    missing, asked = _missing(batch, reverse)
    allowed, lost = definition.shield.max_mismatch, definition.validate_.max_quarantined_share
    dirty_u = _beyond(bad_u + int(picks.differs.sum()), u + len(picks.known), allowed)
    dirty_p = _pointed_are_dirty(picks, wrong, allowed)
    dirty_m = _beyond(missing, asked, lost)
    rows = np.zeros(batch.rows.num_rows, dtype=bool)
    dirty = (dirty_u, dirty_p, dirty_m)
    evidence = _evidence((bad_u, bad_p), (missing, asked), dirty, picks, wrong)
    seen = np.concatenate([picks.uniform, picks.known])
    elsewhere = np.concatenate([wrong[:u], picks.differs]) & ~picks.suspicious[seen]
    if evidence.verdict is Verdict.BLOCK:
        confined = dirty_p and not dirty_m and not elsewhere.any() and not picks.ranked
        rows = picks.suspicious.copy() if confined else ~rows
    return Audit(evidence, picks.uniform, wrong[:u], rows)


def _pointed_are_dirty(picks: Picks, wrong: Mask, allowed: float) -> bool:
    """Whether the suspicious rows hold more wrong ones than slips explain.

    The top of a ranking gathers slips. So the question there is whether the *batch* holds more than
    the allowed share, whatever part of it lies at the top: three independent counts (the trusted
    rows, the draw from the rest, the draw from the top), their exact tails combined (Fisher 1932)
    and taken at the worst split of the allowed share between top and rest.
    """
    import numpy as np

    u, p = len(picks.uniform), len(picks.pointed)
    bad = int(wrong[u:].sum())
    if not picks.ranked or p == 0:
        return _beyond(bad, p, allowed)
    top = float(picks.suspicious.sum()) / max(len(picks.suspicious) - len(picks.known), 1)
    rest = ~picks.suspicious[picks.uniform]
    drawn, off = int(rest.sum()), int(wrong[:u][rest].sum())
    before = binomial_sf(int(picks.differs.sum()), len(picks.known), allowed)

    def tail(share: float) -> float:
        others = max(0.0, allowed - top * share) / (1 - top) if top < 1 else 0.0
        parts = (before, binomial_sf(bad, p, share), binomial_sf(off, drawn, others))
        return fisher(parts)

    shares = np.linspace(0, min(1.0, allowed / top), SPLITS).tolist()
    return bad >= FEWEST and max(tail(share) for share in shares) < ALPHA / 3


def unreachable(error: Exception, rows: int) -> Audit:
    """An audit that could not be held: nothing is known, so nothing passes."""
    import numpy as np

    text = f"the source of record did not answer, so the suspicion stands: {error}"
    evidence = Evidence(CHECK, Verdict.ERROR, text)
    nothing = np.zeros(0, dtype=np.int64)
    return Audit(evidence, nothing, nothing.astype(bool), np.ones(rows, dtype=bool))


def _hash(key: str, secret: bytes) -> int:
    digest = hashlib.blake2b(str(key).encode(), key=secret, digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _wrong(picks: Picks, batch: Sample, found: pa.Table, definition: Definition) -> Mask:
    """For each look-up, whether the record does not know it or says otherwise."""
    import numpy as np
    import pyarrow as pa

    chosen = np.concatenate([picks.uniform, picks.pointed]).astype(np.int64)
    labels = pa.array(batch.labels[chosen], from_pandas=True)
    mine = batch.rows.select([KEY, *definition.features]).take(pa.array(chosen))
    paired = match(mine.append_column(LABEL, labels), found, definition.features)
    wrong = np.ones(len(chosen), dtype=bool)
    wrong[paired.positions] = paired.differs
    return wrong


def _missing(batch: Sample, reverse: pa.Table) -> tuple[int, int]:
    import pyarrow.compute as pc

    if not reverse.num_rows:
        return 0, 0
    there = pc.is_in(reverse[KEY], value_set=batch.rows[KEY].combine_chunks())
    return reverse.num_rows - int(pc.sum(there).as_py() or 0), reverse.num_rows


def _beyond(wrong: int, rows: int, allowed: float) -> bool:
    return wrong >= FEWEST and binomial_sf(wrong, rows, allowed) < ALPHA / 3


def _evidence(
    bad: tuple[int, int],
    missing: tuple[int, int],
    dirty: tuple[bool, bool, bool],
    picks: Picks,
    wrong: Mask,
) -> Evidence:
    uniform, pointed = len(picks.uniform), len(picks.pointed)
    if uniform + pointed == 0:
        return Evidence(CHECK, Verdict.INCONCLUSIVE, "no row could be looked up")
    counts = (
        f"{bad[0]} of {uniform} drawn at random and {bad[1]} of {pointed} suspicious ones are not "
        f"as the record says; {missing[0]} of {missing[1]} true records are missing"
    )
    if slips := int(picks.differs.sum()):
        counts += f"; {slips} of {len(picks.known):,} trusted rows differed before"
    verdict = Verdict.BLOCK if any(dirty) else Verdict.PASS
    said = "dirty" if any(dirty) else "clean"
    examples = [key for key, off in zip(picks.keys, wrong.tolist(), strict=True) if off][:EXAMPLES]
    details: dict[str, Any] = {"examples": examples} if examples else {}
    text = f"{uniform + pointed} rows looked up: {counts}: {said}"
    return Evidence(CHECK, verdict, text, sum(bad) / (uniform + pointed), None, details)


def audit_span(batch: Sample) -> tuple[int, int]:
    """The half-open span of event ticks that the batch covers."""
    import pyarrow.compute as pc

    ends = pc.min_max(batch.rows[EVENT]).as_py()
    return int(ends["min"]), int(ends["max"]) + 1
