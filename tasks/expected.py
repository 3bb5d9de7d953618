"""What the champion's scores let expect of rows whose labels have not come.

Earlier windows are estimated again, each by the version that served it and from labels that were
mature while it had none, and compared with what was measured. Decisions, tables and the registry
say all of it, so a replay finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ratchet import watch as core
from ratchet.contracts.columns import ACCEPTED, EVENT, KEY
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import predict
from ratchet.errors import ModelError, NotFound
from tasks.cycle import Cycle
from tasks.labelled import labelled
from tasks.sealed import sealed_mask, unsealed_of

if TYPE_CHECKING:
    from ratchet.contracts.bundle import Bundle
    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace

PAST = 12  # windows that the estimate is checked by
KNOWN = 4  # windows with labels that scores are calibrated on


class History:
    """The windows of a pipeline as of the end of ``newest``, scored by its versions."""

    def __init__(self, workspace: Workspace, newest: int) -> None:
        self.workspace, self.newest = workspace, newest
        definition = workspace.definition
        self.delay = -(-definition.label_delay // definition.calendar.length)  # in windows
        self.bundle, self.scored = cache(self._bundle), cache(self._scored)

    def _bundle(self, version: int) -> Bundle | None:
        try:
            return self.workspace.model(version)
        except (ModelError, NotFound):
            return None  # an old version may be gone; its windows are no evidence then

    def _scored(self, version: int, index: int) -> core.Scored | None:
        """Rows of a window that have a mature label, with this version's scores."""
        import numpy as np
        import pyarrow as pa

        window, bundle = self.workspace.calendar.window(self.newest), self.bundle(version)
        cycle = Cycle(self.workspace, window)
        rows, labels = labelled(cycle, window, (index, index), None, revoked=False)
        if bundle is None or not rows.num_rows:
            return None
        kept = np.isfinite(labels) & ~sealed_mask(self.workspace, rows)
        rows, labels = rows.filter(pa.array(kept)), labels[kept]
        return core.Scored(predict(bundle, rows), labels) if rows.num_rows else None

    def known(self, version: int, until: int) -> list[core.Scored]:
        """The newest windows up to ``until`` that this version has not learned."""
        bundle = self.bundle(version)
        if bundle is None:
            return []
        calendar = self.workspace.calendar
        first = calendar.window_of(bundle.manifest.lineage.train_before).index
        span = range(max(first, until - KNOWN + 1), until + 1)
        return [one for w in span if (one := self.scored(version, w)) is not None]

    def past(self, made: Sequence[Decision]) -> tuple[list[core.Past], int]:
        """Each of the last windows with labels, estimated as if it had none; and how many windows
        after these should have labels and have none, because they were blocked or did not come."""
        found, unchecked = [], 0
        for w in range(self.newest - self.delay - PAST + 1, self.newest - self.delay + 1):
            served = [d.champion_after for d in made if d.window_index < w]
            version = served[-1] if served else None
            if version is None or not (known := self.known(version, w - self.delay)):
                continue
            if (truth := self.scored(version, w)) is None:
                unchecked += 1
                continue
            unchecked = 0
            measured = float(row_losses("binary", truth.labels, truth.scores).mean())
            label = self.workspace.calendar.label(self.workspace.calendar.window(w))
            found.append(core.Past(label, core.guess(known, truth.scores), measured))
        return found, unchecked


def expected(workspace: Workspace, made: Sequence[Decision], version: int, newest: int) -> Evidence:
    """``watch.expected`` as of the end of the window ``newest``.

    Args:
        made: decisions before, oldest first.
        version: that serves now.
        newest: index of the newest window whose rows were accepted.
    """
    import pyarrow.compute as pc

    definition, history = workspace.definition, History(workspace, newest)
    if definition.label.objective != "binary":
        text = f"{definition.label.objective}: an estimate without labels needs two classes"
        return _none(text)
    if not history.delay:
        return _none("labels come with the rows, so there is nothing to estimate")
    columns = [KEY, EVENT, *definition.features]
    waiting = (newest - history.delay + 1, newest + 1)
    rows = unsealed_of(workspace, workspace.tables.read(ACCEPTED, columns, waiting))
    before = workspace.calendar.window(newest).end - definition.label_delay
    rows = rows.filter(pc.greater_equal(rows[EVENT], before)) if rows.num_rows else rows
    bundle, known = history.bundle(version), history.known(version, newest - history.delay)
    if bundle is None or not rows.num_rows or not known:
        return _none(
            "no rows without labels, or none with labels that this version has not learned"
        )
    now = core.guess(known, predict(bundle, rows.combine_chunks()))
    past, unchecked = history.past(made)
    return core.expected(past, now, definition.watch.alpha, unchecked)


def _none(text: str) -> Evidence:
    return Evidence(core.EXPECTED, Verdict.INCONCLUSIVE, text)
