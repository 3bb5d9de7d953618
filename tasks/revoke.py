"""Takes a source, a batch or an object back out: rows, labels, and the models they taught.

The rows stay where they are; a line in ``revocations`` keeps every later training from them. Done
twice it is done once, so a crash is mended by the same command, or by the next cycle.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ratchet.contracts.revocation as core
from ratchet.contracts.columns import (
    ACCOUNTS,
    REVOCATIONS,
    WINDOW,
    revocations_schema,
)
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.seams import Append
from ratchet.errors import NotFound, Refused
from ratchet.validate import Account
from tasks import decisions, observe
from tasks.blast import Blast, blast_radius
from tasks.cycle import Cycle
from tasks.keys import check_restore
from tasks.rollback import put_back

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def revoke(workspace: Workspace, reach: core.Reach, *, by: str, reason: str) -> Blast:
    """Revoke what was sent, and put the newest champion back that never learned from it.

    For a caller that holds the lease and has recovered.

    Raises:
        NotFound: see :func:`blast_radius`.
        Refused: nobody says who or why.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    blast = blast_radius(workspace, reach)
    # The champion first: killed in between, the line is still missing, and all is done again.
    if blast.restored is not None and blast.restored != blast.champion:
        put_back(workspace, blast.restored, by=by, reason=f"{reach.show()} revoked: {reason}")
    _write(workspace, reach, core.REVOKED, by, reason)
    blast = replace(blast, left_out_by=workspace.tables.version(REVOCATIONS))
    observe.revoked(workspace.name, blast.as_json(), by)
    return blast


def restore(workspace: Workspace, source: str, *, by: str, reason: str) -> None:
    """Let a revoked source be learned from again, from the next window on.

    Raises:
        NotFound: the source is not revoked.
        Refused: nobody says who or why, or keys of it were accepted again meanwhile.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    with workspace.lease.hold(f"source restore by {by}"):
        if source not in {reach.source for reach in revoked(workspace)}:
            raise NotFound(f"source {source!r} is not revoked; see 'ratchet source list'")
        check_restore(workspace, source)
        _write(workspace, core.Reach(source), core.RESTORED, by, reason)


def revoked(workspace: Workspace) -> tuple[core.Reach, ...]:
    """All that is revoked now."""
    return core.revoked_now(workspace.tables.read(REVOCATIONS))


def answer_alarms(workspace: Workspace) -> list[Blast]:
    """Revoke each source whose account raised an alarm that nobody has answered yet.

    For a caller that holds the lease. A line in ``revocations`` after the alarm is an answer, a
    person's restoring included. Returns what was revoked.
    """
    answers: list[Blast] = []
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
            found = revoke(workspace, core.Reach(source, known_from), by="ratchet", reason=reason)
        except NotFound:
            continue  # nothing of it was ever accepted
        answers.append(found)
    return answers


def revocation_key(workspace: Workspace) -> str:
    """Names the state of all revocations, for the key of a cycle that learns without them."""
    return f"without-{workspace.tables.version(REVOCATIONS)}"


def note_revocation(cycle: Cycle, blast: Blast) -> None:
    """The evidence of a cycle that learns again: its data were judged before, less the revoked."""
    earlier = [d for d in cycle.history if d.window_index == cycle.window.index]
    cycle.rows_in = max((d.rows_in for d in earlier), default=0) or blast.rows + blast.labels
    cycle.data_evidence = [
        Evidence(
            "source.revoked",
            Verdict.WARN,
            f"trained again without {blast.reached} {blast.span}: "
            f"{blast.rows:,} rows and {blast.labels:,} labels revoked{blast.since_versions}",
        )
    ]


def _write(workspace: Workspace, reach: core.Reach, status: str, by: str, reason: str) -> None:
    import pyarrow as pa

    if status == core.REVOKED and reach in revoked(workspace):
        return  # done before
    last = decisions.last_decided(workspace)
    first = workspace.calendar.window_of(workspace.calendar.origin).index
    line: dict[str, Any] = {
        "source": reach.source,
        "status": status,
        "known_from": reach.known_from if status == core.REVOKED else None,
        "known_until": reach.known_until,
        "object": reach.object,
        "where": core.where_json(reach.where),
        WINDOW: first if last is None else last + 1,
        "reason": reason,
        "by": by,
        "at": datetime.now(UTC),
    }
    rows = pa.Table.from_pylist([line], schema=revocations_schema())
    count = workspace.tables.read(REVOCATIONS, columns=["source"]).num_rows
    txn = f"revocations/{count}/{reach.source}/{status}"
    workspace.tables.append(Append(REVOCATIONS, rows, txn))
