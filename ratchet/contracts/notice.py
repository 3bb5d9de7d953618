"""What people are told when something happens to a pipeline, and who wants to hear of what.

>>> notice = of_decision(decision)                                    # doctest: +SKIP
>>> notice.title                                                      # doctest: +SKIP
'Ratchet: flights 2013-03-05 blocked'

Promise: a notice holds no secret and cannot be mistaken for more than text: what came with the data
is one line, cut short, without control characters, mentions or links that can be clicked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import field_validator

from ratchet.contracts.defence import Part
from ratchet.contracts.lineage import Decision, digest_of
from ratchet.contracts.revocation import Reach, where_from_json

Event = Literal["blocked", "rolled_back", "revoked", "failed", "approval", "watch", "promoted"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST = 500  # characters of a reason


class Notify(Part):
    """Whom to tell of what. It decides nothing that is learned, so no digest covers it.

    ``webhook`` gets a signed POST. Addresses that hold a secret belong into the environment
    (``RATCHET_NOTIFY_URLS``), and are told of the same events.
    """

    events: tuple[Event, ...] = (
        "blocked",
        "rolled_back",
        "revoked",
        "failed",
        "approval",
        "watch",
    )
    webhook: str | None = None

    @field_validator("webhook")
    @classmethod
    def _safe(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        plain = parts.scheme == "http" and parts.hostname in LOOPBACK
        if not parts.hostname or "@" in parts.netloc or not (parts.scheme == "https" or plain):
            raise ValueError("expected https:// (http:// on loopback alone) without a user")
        return value


@dataclass(frozen=True)
class Notice:
    """One message. ``id`` is the same whenever the same thing is told again."""

    id: str
    event: str
    pipeline: str
    window: str
    outcome: str
    reason: str
    champion_before: int | None
    champion_after: int | None
    next_step: str
    link: str
    at: str  # ISO 8601, UTC

    @property
    def title(self) -> str:
        """One line: who and what."""
        about = f"{self.pipeline} {self.window}".strip()
        return f"Ratchet: {about} {self.outcome}"

    @property
    def text(self) -> str:
        """The message as plain text: reason, champion, what to do, where to look."""
        before, after = self.champion_before, self.champion_after
        moved = f"version {before} -> {after}" if before else f"version {after}, the first"
        champion = (moved if before != after else f"version {after} stays") if after else "none"
        lines = [self.reason, f"Champion: {champion}", f"Next: {self.next_step}"]
        return "\n".join([*lines, f"Run: {self.link}"] if self.link else lines)

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""
        return asdict(self)


def event_of(decision: Decision) -> Event | None:
    """The event that a done decision is; None for what nobody has to hear of."""
    if decision.is_rollback:
        return "rolled_back"
    if decision.awaits_approval:
        return "approval"
    events: Mapping[str, Event] = {
        "blocked": "blocked",
        "error": "failed",
        "promoted": "promoted",
    }
    return events.get(decision.outcome)


def of_decision(decision: Decision, at: datetime) -> Notice:
    """The notice of a decision that is an event; ``at`` is when it was entered."""
    event = event_of(decision)
    where = f"-p {decision.pipeline}"
    look = f"ratchet explain {decision.window} {where}"
    steps = {
        "blocked": f"{look}, then: ratchet quarantine list {where}",
        "failed": f"{look}; mend the instrument that it names",
        "rolled_back": f"ratchet explain {decision.champion_after} {where}",
        "approval": f"{look}, then: ratchet approve {where} --by YOU --reason WHY",
    }
    outcomes = {"rolled_back": "rolled back", "approval": "waits for approval"}
    link = decision.links.get("mlflow", "")
    return Notice(
        id=digest_of([decision.cycle_key, event])[:32],
        event=str(event),
        pipeline=decision.pipeline,
        window=clean(decision.window),
        outcome=outcomes.get(str(event), decision.outcome),
        reason=clean("; ".join(decision.reasons)),
        champion_before=decision.champion_before,
        champion_after=decision.champion_after,
        next_step=steps.get(str(event), look),
        link=link if link.startswith("http") else "",
        at=_iso(at),
    )


def of_revocation(
    pipeline: str, line: Mapping[str, Any], champion: int | None, window: str
) -> Notice:
    """The notice of a line of ``revocations`` whose status is ``revoked``."""
    where = line.get("where")
    what = Reach(line["source"], object=line["object"], where=where_from_json(where)).show()
    known = [line[k] for k in ("source", "object", "known_from", "known_until")]
    known += [where] if where else []
    return Notice(
        id=digest_of([pipeline, "revoked", *known, _iso(line["at"])])[:32],
        event="revoked",
        pipeline=pipeline,
        window=window,
        outcome="revoked",
        reason=clean(f"{what} revoked by {line['by']}: {line['reason']}"),
        champion_before=champion,
        champion_after=champion,
        next_step=f"ratchet source list -p {pipeline}",
        link="",
        at=_iso(line["at"]),
    )


def of_watch(pipeline: str, line: Mapping[str, Any], champion: int | None, window: str) -> Notice:
    """The notice of a line of ``incidents`` that the watch entered."""
    return Notice(
        id=digest_of([pipeline, "watch", line["id"]])[:32],
        event="watch",
        pipeline=pipeline,
        window=window,
        outcome=f"{line['kind']} is wrong",
        reason=clean(line["summary"]),
        champion_before=champion,
        champion_after=champion,
        next_step=f"ratchet status -p {pipeline}, then perhaps: ratchet rollback -p {pipeline}",
        link="",
        at=_iso(line["at"]),
    )


def of_failure(pipeline: str, window: str, error: str, link: str, at: datetime) -> Notice:
    """The notice of a run that failed; the same failure has one id a day."""
    return Notice(
        id=digest_of([pipeline, "failed", window, error, at.date().isoformat()])[:32],
        event="failed",
        pipeline=pipeline,
        window=clean(window),
        outcome="failed",
        reason=clean(error),
        champion_before=None,
        champion_after=None,
        next_step="do what the error says and run the same again; the champion still serves",
        link=link,
        at=_iso(at),
    )


def of_test(pipeline: str, at: datetime) -> Notice:
    """A message that says that messages arrive."""
    return Notice(
        digest_of([pipeline, "test", _iso(at)])[:32],
        "test",
        pipeline,
        "",
        "test",
        "somebody asked whether messages arrive",
        None,
        None,
        "nothing",
        "",
        _iso(at),
    )


def clean(text: str) -> str:
    """One line of at most :data:`LONGEST` characters that no receiver takes for more than text.

    Line breaks become spaces, control and bidirectional characters go, ``@all`` mentions nobody,
    ``<!here>`` and ``[text](address)`` do nothing, and no address can be clicked.
    """
    line = " ".join(text.split())
    line = "".join(c for c in line if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
    line = re.sub(r"(?<!\w)@(?=\w)", "(at)", line)
    line = line.replace("://", ":// ").replace("](", "] (").replace("<!", "< !")
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
