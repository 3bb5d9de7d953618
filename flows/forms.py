"""What a flow's parameters may hold.

Prefect's UI draws its forms from these, and its server refuses what does not fit.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ratchet.contracts.definition import NAME

_TIME = r"^(-?\d{1,18}|\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?)$"
_NAMED = "A date, a UTC time, or a number where the pipeline counts its windows."

Pipeline = Annotated[
    str, Field(pattern=NAME, description="The name of a file in pipelines/, without .toml.")
]
Time = Annotated[str, Field(pattern=_TIME, max_length=32, description=_NAMED)]
Replay = Annotated[
    str,
    Field(pattern=NAME, description="Name of an isolated replay; the same name again resumes it."),
]
Person = Annotated[str, Field(min_length=2, max_length=100, description="Who decides.")]
Reason = Annotated[str, Field(min_length=3, max_length=500, description="Why; it is kept.")]
