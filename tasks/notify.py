"""Tells people what was decided, and that a run failed; once each, in bounded time.

>>> tell(workspace)                                                   # doctest: +SKIP

What has to be told is read from the tables, and what was told is kept in ``notifications``: so a
run that is repeated tells nothing twice, and one that was killed before it could is made up for by
the next. Promise: nothing here ever fails or holds up a cycle for longer than :data:`SECONDS`.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ratchet.adapters.notify import open_notifiers
from ratchet.contracts.columns import (
    DECISIONS,
    INCIDENTS,
    NOTIFICATIONS,
    REVOCATIONS,
    WINDOW,
    notifications_schema,
)
from ratchet.contracts.lineage import Decision
from ratchet.contracts.notice import (
    Notice,
    Notify,
    event_of,
    of_decision,
    of_failure,
    of_revocation,
    of_watch,
)
from ratchet.contracts.seams import Append, Notifier
from ratchet.errors import NotFound, NotifyError, Refused
from ratchet.logs import context
from tasks import decisions

if TYPE_CHECKING:
    from tasks.workspace import Workspace

logger = logging.getLogger("ratchet.notify")
SECONDS = 20.0  # for all messages of one call
EACH = 10.0  # for one message to one target
TRIES = 3  # runs in which a message is tried, before it is given up
FRESH = timedelta(days=1)  # what happened before that is history, and nobody is woken for it
BACK = 8  # windows before the newest in which news is looked for


def tell(workspace: Workspace) -> None:
    """Tell every target what it has not been told yet. Never raises."""
    if workspace.replay is not None:
        return
    try:
        targets = workspace.notifiers
        if targets and workspace.definition.notify.events:
            _deliver(workspace, targets, list(_news(workspace)))
    except Exception as error:
        logger.error("nobody could be told: %s: %s", type(error).__name__, error)


def failed(pipeline: str, error: Exception, link: str = "") -> None:
    """Tell every target that a run failed. Never raises.

    The tables may be what failed: then the message is sent all the same, and only logged.
    """
    try:
        if isinstance(error, Refused):
            return  # somebody asked for what must not be; they were told themselves
        workspace, wanted, targets = _open(pipeline)
        if "failed" not in wanted.events or not targets:
            return
        said = f"{type(error).__name__}: {error}"
        notice = of_failure(pipeline, context()["window"], said, link, datetime.now(UTC))
        _deliver(workspace, targets, [(notice, 0)])
    except Exception as trouble:
        logger.error("nobody could be told: %s: %s", type(trouble).__name__, trouble)


def _open(pipeline: str) -> tuple[Workspace | None, Notify, list[Notifier]]:
    """The pipeline's targets; where its file cannot be read, those of the environment."""
    from ratchet.settings import settings
    from tasks.workspace import open_workspace

    try:
        workspace = open_workspace(pipeline)
    except NotFound:
        return None, Notify(), []  # no such pipeline: nobody waits for it
    except Exception:
        return None, Notify(), open_notifiers(Notify(), settings())
    return workspace, workspace.definition.notify, workspace.notifiers


def _news(workspace: Workspace) -> Iterator[tuple[Notice, int]]:
    """What happened lately and is wanted, oldest first, with its window's index."""
    wanted, since = workspace.definition.notify.events, datetime.now(UTC) - FRESH
    last = decisions.last_decided(workspace)
    if last is None:
        return
    columns = ["phase", "at", "document", WINDOW]
    table = workspace.tables.read(DECISIONS, columns=columns, windows=(last - BACK, None))
    champion = None
    for row in table.to_pylist():
        if row["phase"] != "done":
            continue
        decision = Decision.from_json(json.loads(row["document"]))
        champion = decision.champion_after
        if row["at"] >= since and event_of(decision) in wanted:
            yield of_decision(decision, row["at"]), row[WINDOW]
    label = workspace.calendar.label(workspace.calendar.window(last))
    if "revoked" in wanted:
        for row in workspace.tables.read(REVOCATIONS).to_pylist():
            if row["status"] == "revoked" and row["at"] >= since:
                yield of_revocation(workspace.name, row, champion, label), row[WINDOW]
    if "watch" in wanted:
        for row in workspace.tables.read(INCIDENTS, windows=(last - BACK, None)).to_pylist():
            if row["kind"].startswith("watch.") and row["at"] >= since:
                yield of_watch(workspace.name, row, champion, label), row[WINDOW]


def _deliver(
    workspace: Workspace | None, targets: list[Notifier], news: list[tuple[Notice, int]]
) -> None:
    """Send what was not sent, and keep how that went."""
    deadline = time.monotonic() + SECONDS
    told = _told(workspace)
    for notice, index in news:
        for target in targets:
            before = told.get((notice.id, target.name), [])
            if "sent" in before or len(before) >= TRIES:
                continue
            left = min(EACH, deadline - time.monotonic())
            if left <= 0:
                logger.warning("no time left to tell %s: the next run does", notice.title)
                return
            trouble = attempt(target, notice, left)
            _keep(workspace, notice, target.name, index, trouble, len(before))


def attempt(target: Notifier, notice: Notice, seconds: float) -> str:
    """'' once it is sent, else why not; returns in time whatever the target does."""
    outcome: list[str] = []

    def work() -> None:
        try:
            target.send(notice, seconds)
            outcome.append("")
        except NotifyError as error:
            outcome.append(str(error))
        except Exception as error:
            outcome.append(type(error).__name__)  # the text may hold an address

    thread = threading.Thread(target=work, daemon=True, name="notify")
    thread.start()
    thread.join(seconds)
    trouble = outcome[0] if outcome else f"no answer within {seconds:.0f} s"
    if trouble:
        logger.error("%s was not told of %s: %s", target.name, notice.title, trouble)
    else:
        logger.info("%s was told of %s", target.name, notice.title)
    return trouble


def _told(workspace: Workspace | None) -> dict[tuple[str, str], list[str]]:
    """The outcomes so far by message and target; none where the tables do not answer."""
    found: dict[tuple[str, str], list[str]] = {}
    if workspace is None:
        return found
    try:
        rows = workspace.tables.read(NOTIFICATIONS).to_pylist()
    except Exception as error:
        logger.warning("what was told before is not known: %s", error)
        return found
    for row in rows:
        found.setdefault((row["id"], row["target"]), []).append(row["status"])
    return found


def _keep(
    workspace: Workspace | None, notice: Notice, target: str, index: int, trouble: str, before: int
) -> None:
    import pyarrow as pa

    if workspace is None:
        return
    line = {
        "id": notice.id,
        "event": notice.event,
        "target": target,
        "status": "failed" if trouble else "sent",
        "trouble": trouble,
        "title": notice.title,
        WINDOW: index,
        "at": datetime.now(UTC),
    }
    rows = pa.Table.from_pylist([line], schema=notifications_schema())
    try:
        txn = f"notify/{notice.id}/{target}/{before}"
        workspace.tables.append(Append(NOTIFICATIONS, rows, txn))
    except Exception as error:
        logger.warning("that %s was told could not be kept: %s", target, error)
