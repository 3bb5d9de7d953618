"""What a model was made from, and what a cycle concluded.

A training set is a query, never a file: (table versions, window, as-of, recipe). :class:`Lineage`
holds that query and the digests of its answer, so that anyone can rebuild it years later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from ratchet.contracts.evidence import Evidence

APPROVAL = "gate.approval"  # the check that is a person's word
# Fields of a decision that the first release did not have.
_LATER = (
    "levelled_losses",
    "sharpness_losses",
    "member_sharpness",
    "share_losses",
    "level",
    "sources",
    "ledger",
    "bill",
)
Outcome = Literal["promoted", "held", "blocked", "no_data", "error"]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, no NaN: the same value always gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class MemberLineage:
    """One member of a mixture: what it was made from, and how much it counts.

    It may be older than the mixture: it learned what was known before its own ``as_of`` (ticks),
    of events in ``[train_from, train_before)``. ``weight`` is not negative; all sum to 1.

    A member with a teacher learned ``pseudo_rows`` besides, of events in ``[pseudo_from, as_of)``,
    with the scores of the mixture's own teacher member as labels; ``pseudo_note`` says why none.

    ``halves`` is what models of each half of its rows lost on the other, for one that learns the
    newest window alone; ``levelled_halves`` the same with the level of each half set right.

    ``sharpness`` is what its margins are multiplied by before they are mixed.
    """

    name: str
    weight: float
    recipe: Mapping[str, Any]
    as_of: int
    train_from: int | None
    train_before: int
    rows: int
    data_digest: str
    model_digest: str = ""
    pseudo_rows: int = 0
    pseudo_from: int | None = None
    pseudo_note: str = ""
    halves: float | None = None
    levelled_halves: float | None = None
    sharpness: float = 1.0

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict; what only some members have is left out elsewhere."""
        out = asdict(self)
        if not out["pseudo_rows"]:
            del out["pseudo_rows"], out["pseudo_from"]
        if not out["pseudo_note"]:
            del out["pseudo_note"]
        for name in ("halves", "levelled_halves"):
            if out[name] is None:
                del out[name]
        if out["sharpness"] == 1:
            del out["sharpness"]
        return out


@dataclass(frozen=True)
class Lineage:
    """Everything that decides a model's bytes. Times are ticks; ``[train_from, train_before)``.

    ``train_from`` is None for all history. ``parent`` is the champion's version when the candidate
    was trained, or None.
    """

    pipeline: str
    window: str
    as_of: int
    recipe: Mapping[str, Any]
    seed: int
    threads: int
    accepted_version: int
    labels_version: int
    train_from: int | None
    train_before: int
    rows: int
    data_digest: str
    definition_digest: str
    code_digest: str
    parent: int | None
    model_digest: str = ""
    revocations_version: int = -1  # of the table that says what may not be learned from
    trusted_version: int = -1  # of the trusted rows that stood in for blocked labels
    sealed_share: float = 0.0  # of all rows that were sealed, and so left out
    members: tuple[MemberLineage, ...] = ()  # of a mixture
    level: tuple[float, ...] = ()  # that is added to a mixture's margins, for each class or for all
    temperature: float = 1.0  # that a mixture's margins are divided by

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict; what the first release did not have is left out where unused,
        so that its digests stay what they were."""
        out = {**asdict(self), "recipe": dict(self.recipe)}
        for later in ("revocations_version", "trusted_version"):
            if out[later] < 0:
                del out[later]
        if not out["sealed_share"]:
            del out["sealed_share"]
        out["members"] = [member.as_json() for member in self.members]
        if not out["members"]:
            del out["members"]
        if not out["level"]:
            del out["level"]
        if out["temperature"] == 1:
            del out["temperature"]
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Lineage:
        """The inverse of :meth:`as_json`; unknown keys of newer releases are ignored."""
        kept = _known(cls, value)
        members = (MemberLineage(**_known(MemberLineage, m)) for m in kept.get("members", ()))
        level = tuple(kept.get("level", ()))
        return cls(**{**kept, "members": tuple(members), "level": level})


@dataclass(frozen=True)
class Decision:
    """What a cycle concluded and why.

    ``seconds`` (stage to wall seconds), ``bill``, ``peak_mib``, ``run_id`` and ``links`` describe
    one execution; all other fields are the same whenever the same cycle is replayed, and
    :attr:`digest` covers just those.
    """

    pipeline: str
    window: str
    window_index: int
    as_of: int
    cycle_key: str
    definition_digest: str
    outcome: Outcome
    reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    rows_in: int = 0
    accepted: int = 0
    quarantined: int = 0
    labels_in: int = 0
    labels_quarantined: int = 0
    drift: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    recipe_losses: Mapping[str, float] = field(default_factory=dict)  # on this cycle's holdout
    levelled_losses: Mapping[str, float] = field(default_factory=dict)  # of a mixture's members
    sharpness_losses: Mapping[str, float] = field(default_factory=dict)  # of a mixture, there
    member_sharpness: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of each
    share_losses: Mapping[str, float] = field(default_factory=dict)  # by the share dealt out
    level: Mapping[str, Any] = field(default_factory=dict)  # what its level came to there
    candidate: Mapping[str, float] = field(default_factory=dict)  # metric to value, on the holdout
    champion: Mapping[str, float] = field(default_factory=dict)
    champion_before: int | None = None
    champion_after: int | None = None
    lineage: Lineage | None = None
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # to rows and labels in
    ledger: Mapping[str, Any] = field(default_factory=dict)  # what the gate knows from here on
    seconds: Mapping[str, float] = field(default_factory=dict)
    bill: Mapping[str, float] = field(default_factory=dict)  # CPU seconds: spent, training, ...
    peak_mib: float = 0.0
    run_id: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict; what the first release did not have is left out where empty, so
        that old digests stay what they were."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        for later in _LATER:
            if not out[later]:
                del out[later]
        out["evidence"] = [e.as_json() for e in self.evidence]
        out["lineage"] = self.lineage.as_json() if self.lineage else None
        out["reasons"] = list(self.reasons)
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Decision:
        """The inverse of :meth:`as_json`; unknown keys of newer releases are ignored."""
        kept = _known(cls, value)
        kept["evidence"] = tuple(Evidence.from_json(e) for e in kept.get("evidence", ()))
        kept["lineage"] = Lineage.from_json(kept["lineage"]) if kept.get("lineage") else None
        kept["reasons"] = tuple(kept.get("reasons", ()))
        return cls(**kept)

    @property
    def awaits_approval(self) -> bool:
        """Whether its candidate passed every gate but a person's word, which is not there yet."""
        asked = any(e.check == APPROVAL and not e.verdict.lets_through for e in self.evidence)
        return asked and self.outcome == "held" and self.lineage is not None

    @property
    def again(self) -> str:
        """Why a window was learned from once more after it was decided, in one word; else empty."""
        return "" if self.is_rollback else "/".join(self.cycle_key.split("/")[3:])

    @property
    def is_rollback(self) -> bool:
        """Whether an earlier champion was put back, and no cycle concluded."""
        return self.cycle_key.startswith(f"{self.pipeline}/rollback/")

    @property
    def digest(self) -> str:
        """SHA-256 over all that must not differ between two executions of one cycle."""
        volatile = ("seconds", "bill", "peak_mib", "run_id", "links")
        return digest_of({k: v for k, v in self.as_json().items() if k not in volatile})


def _known(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that this release has a field for."""
    names = {f.name for f in fields(kind)}
    return {k: v for k, v in value.items() if k in names}


def held_back(rows: int, labels: int) -> str:
    """How much was held back, in words; labels only where there are any.

    >>> held_back(2, 0), held_back(0, 6564)
    ('2', '0 rows and 6,564 labels')
    """
    return f"{rows:,} rows and {labels:,} labels" if labels else f"{rows:,}"


def mixture_lineage(lineage: Lineage, members: Sequence[MemberLineage]) -> Lineage:
    """The lineage with these members, and the digests that cover theirs."""
    parts: list[list[Any]] = [[m.name, m.weight, m.model_digest] for m in members]
    parts += [["sharpness", m.name, m.sharpness] for m in members if m.sharpness != 1]
    if lineage.level:
        parts.append(["level", *lineage.level])
    if lineage.temperature != 1:
        parts.append(["temperature", lineage.temperature])
    return replace(
        lineage,
        members=tuple(members),
        data_digest=digest_of([[m.name, m.data_digest] for m in members]),
        model_digest=digest_of(parts),
    )


def cycle_key(pipeline: str, window_index: int, definition_digest: str) -> str:
    """The idempotence key of one cycle, from (pipeline, window, definition)."""
    return f"{pipeline}/{window_index}/{definition_digest[:16]}"
