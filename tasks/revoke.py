"""Takes a source back out: its rows, its labels, and the models that learned from them.

The rows stay where they are; a line in ``revocations`` keeps every later training from them. Done
twice it is done once, so a crash is mended by the same command, or by the next cycle.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ratchet.contracts.revocation as core
from ratchet.contracts.columns import (
    ACCEPTED,
    ACCOUNTS,
    EVENT,
    KNOWN,
    LABELS,
    REVOCATIONS,
    SOURCE,
    WINDOW,
    revocations_schema,
)
from ratchet.contracts.lineage import Lineage
from ratchet.contracts.seams import Append
from ratchet.errors import ModelError, NotFound, Refused
from ratchet.validate import Account
from tasks import decisions, show
from tasks.rollback import prove, put_back

if TYPE_CHECKING:
    from tasks.workspace import Workspace

CHAMPION = "champion"


@dataclass(frozen=True)
class Blast:
    """What hangs on a source.

    Attributes:
        source: its name.
        known_from: tick since which it is revoked.
        since: the same, for a person.
        rows, labels: accepted ones that are revoked.
        windows: the first and the last window they became known in; empty without any.
        versions: model versions that learned from them.
        champion: the champion before.
        restored: the version that serves afterwards: the champion if it is clean.
        note: what a person has to know.
    """

    source: str
    known_from: int
    since: str
    rows: int
    labels: int
    windows: tuple[str, ...]
    versions: tuple[int, ...]
    champion: int | None
    restored: int | None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""
        return asdict(self)


def blast_radius(workspace: Workspace, source: str, known_from: int | None) -> Blast:
    """What revoking a source would change; nothing is written.

    Args:
        workspace: the pipeline's.
        source: as ``_source`` names it.
        known_from: tick; None for all that it ever sent.

    Raises:
        NotFound: nothing was accepted from such a source.
    """
    columns = [SOURCE, EVENT, KNOWN]
    tables = [workspace.tables.read(name, [*columns, WINDOW]) for name in (ACCEPTED, LABELS)]
    seen = sorted({s for t in tables if t.num_rows for s in t[SOURCE].unique().to_pylist()})
    if source not in seen:
        raise NotFound(f"source {source!r}: nothing was accepted from it; found {seen or 'none'}")
    calendar = workspace.calendar
    since = calendar.origin if known_from is None else known_from
    start = -(2**62) if known_from is None else known_from
    tables = [t for t in tables if t.num_rows]
    masks = [core.revoked_mask(t, {source: start}) for t in tables]
    counts = [int(mask.sum()) for mask in masks] + [0]
    indices = sorted(
        {
            i
            for t, m in zip(tables, masks, strict=True)
            for i in t[WINDOW].filter(m).unique().to_pylist()
        }
    )
    names = tuple(calendar.label(calendar.window(i)) for i in indices[:1] + indices[1:][-1:])
    made = [d for d in decisions.done(workspace) if d.lineage and d.champion_after]
    lineages: dict[int, Lineage] = {}
    for decision in made:
        if decision.champion_after != decision.champion_before and decision.lineage:
            lineages.setdefault(decision.champion_after or 0, decision.lineage)
    parts = [core.Sent.of(table) for table in tables]
    tainted = core.tainted_versions(lineages, parts, {source: start})
    champion = workspace.registry.alias(workspace.name, CHAMPION)
    before = champion.version if champion else None
    restored, note = _clean(workspace, lineages, tainted, before)
    return Blast(
        source, start, calendar.clock.show(since), counts[0], counts[1], names,
        tuple(sorted(tainted)), before, restored, note,
    )  # fmt: skip


def revoke(
    workspace: Workspace, source: str, known_from: int | None, *, by: str, reason: str
) -> Blast:
    """Revoke what a source sent, and put the newest champion back that never learned from it.

    Raises:
        NotFound: nothing was accepted from such a source.
        Refused: nobody says who or why.
        LeaseHeld: a run works on this pipeline.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    from tasks.recover import recover

    with workspace.lease.hold(f"source revoke by {by}"):
        recover(workspace)
        return _revoke(workspace, source, known_from, by=by, reason=reason)


def restore(workspace: Workspace, source: str, *, by: str, reason: str) -> None:
    """Let a revoked source be learned from again, from the next window on.

    Raises:
        NotFound: the source is not revoked.
        Refused: nobody says who or why.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    with workspace.lease.hold(f"source restore by {by}"):
        if source not in revoked(workspace):
            raise NotFound(f"source {source!r} is not revoked; see 'ratchet source list'")
        _write(workspace, source, core.RESTORED, None, by, reason)


def revoked(workspace: Workspace) -> dict[str, int]:
    """Each source that is revoked now, and the tick since which."""
    return core.revoked_since(workspace.tables.read(REVOCATIONS))


def answer_alarms(workspace: Workspace) -> None:
    """Revoke each source whose account raised an alarm that nobody has answered yet.

    For a caller that holds the lease. A line in ``revocations`` after the alarm is an answer, a
    person's restoring included.
    """
    alarms: dict[str, dict[str, Any]] = {}
    table = workspace.tables.read(ACCOUNTS, columns=["source", "alarm", "state", WINDOW])
    for line in table.to_pylist():
        if line["alarm"]:
            alarms[line["source"]] = line
    answered: dict[str, int] = {}
    if alarms:
        for line in workspace.tables.read(REVOCATIONS).to_pylist():
            answered[line["source"]] = line[WINDOW]
    for source, line in sorted(alarms.items()):
        if answered.get(source, -(2**31)) > line[WINDOW]:
            continue
        since = Account.from_json(json.loads(line["state"])).since
        window = workspace.calendar.window(line[WINDOW] if since is None else since)
        known_from = window.start - workspace.definition.label_delay
        reason = f"the account of {source} raised an alarm in window {line[WINDOW]}"
        try:
            found = _revoke(workspace, source, known_from, by="ratchet", reason=reason)
        except NotFound:
            continue  # nothing of it was ever accepted
        show.log(f"{source} revoked since {found.since}: champion {found.restored} {found.note}")


def _revoke(
    workspace: Workspace, source: str, known_from: int | None, *, by: str, reason: str
) -> Blast:
    blast = blast_radius(workspace, source, known_from)
    # The champion first: killed in between, the line is still missing, and all is done again.
    if blast.restored is not None and blast.restored != blast.champion:
        put_back(workspace, blast.restored, by=by, reason=f"source {source} revoked: {reason}")
    _write(workspace, source, core.REVOKED, blast.known_from, by, reason)
    return blast


def _write(
    workspace: Workspace, source: str, status: str, known_from: int | None, by: str, reason: str
) -> None:
    import pyarrow as pa

    last = decisions.last_decided(workspace)
    first = workspace.calendar.window_of(workspace.calendar.origin).index
    window = first if last is None else last + 1
    line: dict[str, Any] = {
        "source": source,
        "status": status,
        "known_from": known_from,
        WINDOW: window,
    }
    line |= {"reason": reason, "by": by, "at": datetime.now(UTC)}
    rows = pa.Table.from_pylist([line], schema=revocations_schema())
    count = workspace.tables.read(REVOCATIONS, columns=["source"]).num_rows
    now = revoked(workspace)
    if status == core.REVOKED and now.get(source) == known_from:
        return  # done before
    txn = f"revocations/{count}/{source}/{status}"
    workspace.tables.append(Append(REVOCATIONS, rows, txn))


def _clean(
    workspace: Workspace, lineages: dict[int, Lineage], tainted: set[int], champion: int | None
) -> tuple[int | None, str]:
    """The newest version that served, learned nothing revoked, and loads."""
    if champion is None or champion not in tainted:
        return champion, ""
    for version in sorted(set(lineages) - tainted, reverse=True):
        try:
            prove(workspace, version)
        except (ModelError, NotFound):
            continue
        return version, ""
    note = (
        f"every champion so far learned from it, so version {champion} still serves; the next "
        "cycles train without it, and a person should look now"
    )
    return champion, note
