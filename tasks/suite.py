"""The pipeline's suite, and the changes that recent windows call for.

A proposal never changes anything. Accepting it writes the suite's file, with who and why in each
rule that changed; the file is the user's, and under their version control.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet import profile, validate
from ratchet.contracts.columns import LANDED, TRUSTED, WINDOW
from ratchet.errors import NotFound, Refused
from tasks import decisions, windows

if TYPE_CHECKING:
    import pandas as pd

    from tasks.workspace import Workspace

RECENT = 8  # windows that a proposal looks at


@dataclass(frozen=True)
class Proposal:
    """What recent windows say of the suite.

    Attributes:
        windows: the names of those looked at.
        rows: how many rows were believed.
        trusted: whether they are trusted ones; else they are all that landed.
        changes: the rules that they break.
    """

    windows: tuple[str, ...]
    rows: int
    trusted: bool
    changes: tuple[profile.Change, ...]

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict."""
        return asdict(self)


def propose(workspace: Workspace, recent: int = RECENT) -> Proposal:
    """The changes that the newest decided windows call for; nothing is written.

    Before the first decision, the newest complete ones.

    Raises:
        NotFound: no window is complete, or nothing landed in the newest ones.
    """
    decided = decisions.last_decided(workspace)
    last = windows.newest(workspace).index if decided is None else decided
    trusted = workspace.definition.trusted is not None
    span = (last + 1 - recent, last + 1)
    whole = _frames(workspace, LANDED, span)
    believed = _frames(workspace, TRUSTED, span) if trusted else whole
    if not believed:
        what = "trusted row" if trusted else "row"
        raise NotFound(f"{workspace.name}: no {what} landed in the last {recent} windows")
    return Proposal(
        windows=tuple(believed),
        rows=sum(len(frame) for frame in believed.values()),
        trusted=trusted,
        changes=tuple(profile.revise(workspace.suite, believed, whole)),
    )


def accept(
    workspace: Workspace, proposal: Proposal, rules: Sequence[int], *, by: str, reason: str
) -> tuple[Path, tuple[profile.Change, ...]]:
    """Write the proposal's changes of these rules (numbers from 0; none means all) to the file.

    Returns the file and the changes made.

    Raises:
        Refused: nobody says who or why, or no such change can be made.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    able = {c.index: c for c in proposal.changes if c.kwargs is not None}
    wrong = [number for number in rules if number not in able]
    if wrong or not able:
        raise Refused(
            f"no change is proposed for rule {wrong or 'any'}; proposed: {sorted(able) or 'none'}"
        )
    chosen = tuple(able[number] for number in (rules or sorted(able)))
    note = {"by": by, "reason": reason, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    changed = profile.apply(workspace.suite, chosen, note)
    workspace.suites.run(changed, next(iter(_frames(workspace, LANDED, (None, None)).values())))
    path = workspace.settings.home / workspace.definition.validate_.suite
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(profile.suite_text(changed), "utf-8")
    draft.replace(path)
    return path, chosen


def _frames(
    workspace: Workspace, table: str, span: tuple[int | None, int | None]
) -> dict[str, pd.DataFrame]:
    """Window's name to its rows as a suite sees them, for the windows that have any."""
    import pyarrow.compute as pc

    rows = workspace.landing_tables.read(table, windows=span)
    if not rows.num_rows:
        return {}
    calendar, found = workspace.calendar, {}
    for index in sorted(pc.unique(rows[WINDOW]).to_pylist()):
        part = rows.filter(pc.equal(rows[WINDOW], index)).combine_chunks()
        name = calendar.label(calendar.window(index))
        found[name] = validate.suite_frame(part, workspace.definition)
    return found
