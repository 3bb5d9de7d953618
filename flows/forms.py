"""What a flow's parameters may hold.

Prefect's UI draws its forms from these and from the ``Args`` of the flows' docstrings, and its
server refuses what does not fit.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ratchet.contracts.recipes import NAME

_TIME = r"^(-?\d{1,18}|\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?)$"

Pipeline = Annotated[str, Field(pattern=NAME)]
Replay = Annotated[str, Field(pattern=NAME)]
Time = Annotated[str, Field(pattern=_TIME, max_length=32)]
Person = Annotated[str, Field(min_length=2, max_length=100)]
Reason = Annotated[str, Field(min_length=3, max_length=500)]
