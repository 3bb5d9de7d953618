"""What a pipeline declares of its defence: the trusted control, the source of record, the shield,
the watch.

>>> Shield().alpha
0.001
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A section of a definition: frozen, nothing unknown, no NaN."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, ignored_types=(cached_property,)
    )


class Trusted(Part):
    """A random sample of each window by an independent path, or rows that were confirmed.

    ``objects`` is a glob of keys in the landing zone; these objects carry key, time, features and
    label, and nobody who can write the others may write them.
    """

    objects: str = Field(min_length=1)
    min_rows: int = Field(default=100, ge=20)  # fewer in a window are no control: nothing passes
    keyed: bool = (
        True  # its rows carry the stream's keys, so that each can be compared with its own
    )
    confirm: Annotated[float, Field(gt=0, le=0.5)] | None = None  # share that `ratchet draw` draws


class TrueObjective(Part):
    """What the label only stands for, measured on some rows by another path: surveys, refunds.

    ``objects`` is a glob of keys in the landing zone; these objects carry key, time and ``column``,
    and nobody who can write the others may write them. ``classes`` lists the raw values: index 1
    is the good one, which a high score should go with.
    """

    objects: str = Field(min_length=1)
    column: str = Field(min_length=1)
    classes: tuple[str | int | bool, str | int | bool]
    known_column: str | None = None  # left out: known when the label is
    min_rows: int = Field(default=100, ge=20)  # fewer in the held-out windows: nothing passes
    margin: Share = 0.01  # of AUC that a candidate may lose: two trainings always differ a little


class Record(Part):
    """The source of record, in which single rows can be looked up.

    See docs/how-to/defend-a-stream.md. ``uri`` holds no password; ``RATCHET_RECORD_PASSWORD`` does.
    """

    uri: str = Field(min_length=1)  # a Parquet path, an SQLAlchemy URL, or https://
    table: str | None = None  # SQL only
    lookups: int = Field(default=100, ge=20, le=10_000)  # rows of one audit


class Shield(Part):
    """How sure the shield must be. Every chance here is of harming clean data, not of missing."""

    alpha: float = Field(default=0.001, gt=0, le=0.05)  # a clean batch is blocked by comparison
    suspicion: float = Field(default=0.1, gt=0, le=0.5)  # a clean batch is nominated for an audit
    lifetime_alpha: float = Field(default=0.001, gt=0, le=0.05)  # an honest source is ever accused
    max_mismatch: float = Field(default=0.005, gt=0, lt=0.5)  # rows that honest paths differ in
    max_source_share: Share = 1.0  # of a batch that may come from one source
    displacement: Share = 0.02  # of the best champion's trusted loss: how much may ever be lost


class Watch(Part):
    """How the serving model is watched between cycles."""

    alpha: float = Field(default=0.01, gt=0, lt=0.5)  # a champion that is no worse is ever accused
    rollback: bool = False  # put the champion before back when this one is shown to be worse
    label_free: bool = False  # estimate the loss on rows whose labels have not come; warns at most
