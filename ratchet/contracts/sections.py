"""The sections of a pipeline's file that every pipeline has. Those that came later, and may be left
out, have files of their own beside this one.

>>> Gate().alpha
0.05
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ratchet.contracts.clock import ClockKind
from ratchet.contracts.defence import Part, Share

FeatureKind = Literal["number", "category"]
Objective = Literal["binary", "multiclass", "regression"]


class Source(Part):
    """Where the data land. ``landing`` is a directory or ``s3://bucket/prefix``."""

    landing: str = Field(min_length=1)
    features: str = "**"  # glob of object keys below the landing zone
    labels: str | None = None  # left out: the label travels with the features
    key: tuple[str, ...] = ()  # left out: object key and row number
    known: Literal["declared", "arrival"] = "declared"
    ignore: tuple[str, ...] = ()  # undeclared columns that objects may carry; "*" allows all
    max_object_mib: int = Field(default=1024, ge=1, le=65_536)
    max_decoded_mib: int = Field(default=4096, ge=1, le=262_144)
    max_cell_chars: int = Field(default=10_000, ge=1, le=1_000_000)


class Time(Part):
    """The event-time column and how it is cut into windows."""

    column: str = Field(min_length=1)
    kind: ClockKind = "timestamp"
    zone: str | None = None  # IANA name; needed when the column holds naive times
    window: str | int = "7d"
    origin: str | int = "1970-01-05"  # a Monday

    @field_validator("origin", mode="before")
    @classmethod
    def _date_as_text(cls, value: object) -> object:
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        from zoneinfo import available_timezones

        if value is not None and value not in available_timezones():
            raise ValueError(f"{value!r} is not an IANA time zone such as America/New_York")
        return value


class Label(Part):
    """What is predicted, and when it can be known.

    ``classes`` lists the raw values in order: index 1 is the positive class of a binary label.
    ``delay`` is how long after the event a label is mature. ``known_column`` names the column that
    says when each label became known; left out, it is the event time plus the delay.
    """

    column: str = Field(min_length=1)
    objective: Objective = "binary"
    classes: tuple[str | int | bool, ...] = ()
    delay: str | int = 0
    known_column: str | None = None
    min_labelled_share: Share = 0.5

    @model_validator(mode="after")
    def _classes_fit(self) -> Label:
        wanted = {"binary": "exactly 2", "multiclass": "3 to 1000", "regression": "no"}
        n = len(self.classes)
        fits = {"binary": n == 2, "multiclass": 3 <= n <= 1000, "regression": n == 0}
        if not fits[self.objective]:
            raise ValueError(
                f"classes: {self.objective} takes {wanted[self.objective]} classes, found {n}"
            )
        if len({str(c) for c in self.classes}) != n:
            raise ValueError(f"classes must differ from one another, found {list(self.classes)}")
        return self


class Validate(Part):
    """Which rows may be learned from."""

    suite: str = Field(min_length=1)
    max_quarantined_share: Share = 0.05  # more failing rows than this block the whole batch
    max_unseen_share: Share = 0.2  # rows of one feature whose category the champion never saw
    min_rows: int = Field(default=50, ge=1)
    max_skill_loss: Share = (
        0.65  # new labels on which the champion loses more of its skill: blocked
    )
    # Such windows in a row from which on labels that foretell one another are a world that moved;
    # 0: a person decides. Only where no trusted source can tell.
    moved_after: int = Field(default=3, ge=0, le=52)


class Train(Part):
    """What holds for every recipe."""

    seed: int = Field(default=20130101, ge=0, lt=2**31)
    threads: int = Field(default=2, ge=1, le=256)  # part of the lineage: it decides the bytes
    min_rows: int = Field(default=500, ge=1)
    holdout_windows: int = Field(
        default=1, ge=1, le=52
    )  # newest labelled windows, never trained on
    max_categories: int = Field(default=1000, ge=2, le=100_000)


class Drift(Part):
    """When the world is said to have moved. A verdict here warns, it never blocks."""

    sample: int = Field(default=5000, ge=100, le=10_000)
    column_distance: Share = 0.1  # Jensen-Shannon distance from which a column counts as moved
    importance_share: Share = (
        0.3  # moved columns that carry this share of the champion's gain: WARN
    )


class Gate(Part):
    """What a candidate has to show on rows that neither model has seen."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    resamples: int = Field(default=2000, ge=200, le=100_000)
    blocks: int = Field(default=56, ge=8, le=10_000)  # time blocks of the bootstrap
    min_rows: int = Field(default=500, ge=1)
    min_improvement: float = Field(default=0.0, ge=0)  # mean loss; the lower bound must exceed it
    slices: tuple[str, ...] = ()
    slice_min_rows: int = Field(default=300, ge=1)
    slice_margin: Share = 0.05  # of the champion's loss: how much worse a slice may be
    floor: float = 0.55  # AUC (binary), balanced accuracy (multiclass), R2 (regression)
    max_calibration_error: float = Field(default=0.1, gt=0)
    calibration_margin: float = Field(default=0.02, ge=0)
    discover: bool = False  # search for slices that nobody declared
    shortcuts: bool = False  # look for features that leak the label
    approval: bool = False  # a person has the last word on each promotion
    approval_hours: float = Field(default=24, gt=0, le=24 * 30)  # how long a run waits for them
