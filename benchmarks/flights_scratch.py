"""The flights pipeline over clean weeks in a directory of its own.

>>> workspace(Path("/tmp/scratch"), weeks=12).name                        # doctest: +SKIP
'flights'
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.settings import Settings

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def workspace(scratch: Path, weeks: int | None = None) -> Workspace:
    """So many undamaged weeks of flights (all by default), landed below ``scratch``."""
    from ratchet.adapters.nycflights import land
    from tasks.workspace import open_workspace

    land(scratch / "landing", damage=False, weeks=weeks)
    flights = open_workspace("flights")
    source = flights.definition.source.model_copy(update={"landing": str(scratch / "landing")})
    (scratch / "state").mkdir()
    return replace(
        flights,
        definition=flights.definition.model_copy(update={"source": source}),
        settings=Settings(root=str(scratch / "tables"), state=scratch / "state"),
    )
