"""What the stages show in the Prefect UI. Outside a flow run nothing is shown or fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from tasks.cycle import Cycle, in_flow_run


def _key(cycle: Cycle, name: str) -> str:
    text = f"{cycle.workspace.name}-{cycle.label}-{name}".lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


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
