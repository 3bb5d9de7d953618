"""What the stages show in the Prefect UI. Outside a flow run nothing is shown or fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from tasks.cycle import Cycle, in_flow_run


def _key(cycle: Cycle, name: str) -> str:
    return _plain(f"{cycle.workspace.name}-{cycle.label}-{name}")


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def table(cycle: Cycle, name: str, rows: Sequence[dict[str, Any]], about: str) -> None:
    """A table on the run's artifact page."""
    if in_flow_run() and rows:
        from prefect.artifacts import create_table_artifact

        create_table_artifact(key=_key(cycle, name), table=list(rows), description=about)


def markdown(cycle: Cycle, name: str, text: str) -> None:
    """A page of Markdown on the run's artifact page."""
    if in_flow_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(key=_key(cycle, name), markdown=text)


def link(cycle: Cycle, name: str, address: str, text: str) -> None:
    """A link on the run's artifact page."""
    if in_flow_run():
        from prefect.artifacts import create_link_artifact

        create_link_artifact(key=_key(cycle, name), link=address, link_text=text)


def log(message: str) -> None:
    """One line in the log; inside a flow run Prefect shows it too (:mod:`tasks.observe`)."""
    logging.getLogger("ratchet.cycle").info(message)


def on_a_server() -> bool:
    """Whether this run's page is on a server that outlives the run."""
    if not in_flow_run():
        return False
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def entitle(name: str, tags: Iterable[str] = ()) -> None:
    """Rename this flow run and add tags, so that the list of runs says what happened."""
    if not in_flow_run():
        return
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    run = context.flow_run
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, name=name, tags=sorted({*run.tags, *tags}))


def summary_table(pipeline: str, rows: Sequence[dict[str, Any]], about: str) -> None:
    """The table of a whole run, beside those of its windows."""
    if in_flow_run() and rows:
        from prefect.artifacts import create_table_artifact

        create_table_artifact(key=f"{_plain(pipeline)}-run", table=list(rows), description=about)


class Progress:
    """A bar on the run's page that moves while the run goes on; nothing outside a flow run."""

    def __init__(self, pipeline: str, total: int) -> None:
        self._total, self._done = total, 0
        self._id: UUID | None = None
        if in_flow_run() and total > 1:
            from prefect.artifacts import create_progress_artifact

            key = f"{_plain(pipeline)}-progress"
            made = create_progress_artifact(0.0, key=key, description=f"0 of {total} windows")
            self._id = made if isinstance(made, UUID) else None

    def step(self, window: str, outcome: str) -> None:
        """One more window is decided."""
        self._done += 1
        if self._id is not None:
            from prefect.artifacts import update_progress_artifact

            update_progress_artifact(
                self._id,
                100.0 * self._done / self._total,
                f"{self._done} of {self._total} windows; newest {window}: {outcome}",
            )
