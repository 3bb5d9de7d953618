"""A pipeline: one stream and the rules for learning from it, as ``pipelines/<name>.toml`` says.

>>> Definition.model_validate(tomllib.loads(text)).calendar.length      # doctest: +SKIP
604800000000

Every field is typed and bounded; a wrong file names the key, what was found and what is allowed
(:func:`load`). The digest of the definition goes into every decision.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ratchet.contracts.clock import Calendar, Clock, ClockKind
from ratchet.errors import DefinitionError

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
FeatureKind = Literal["number", "category"]
Objective = Literal["binary", "multiclass", "regression"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))


class Source(_Part):
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


class Time(_Part):
    """The event-time column and how it is cut into windows."""

    column: str = Field(min_length=1)
    kind: ClockKind = "timestamp"
    zone: str | None = None  # IANA name; needed when the column holds naive times
    window: str | int = "7d"
    origin: str | int | AwareDatetime = "1970-01-05"  # a Monday

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        from zoneinfo import available_timezones

        if value is not None and value not in available_timezones():
            raise ValueError(f"{value!r} is not an IANA time zone such as America/New_York")
        return value


class Label(_Part):
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
            raise ValueError(f"{self.objective} takes {wanted[self.objective]} classes, found {n}")
        if len({str(c) for c in self.classes}) != n:
            raise ValueError(f"classes must differ from one another, found {list(self.classes)}")
        return self


class Validate(_Part):
    """Which rows may be learned from."""

    suite: str = Field(min_length=1)
    max_quarantined_share: Share = 0.05  # more failing rows than this block the whole batch
    max_unseen_share: Share = 0.2  # rows of one feature whose category the champion never saw
    min_rows: int = Field(default=50, ge=1)
    max_skill_loss: Share = (
        0.65  # new labels on which the champion loses more of its skill: blocked
    )


class Recipe(_Part):
    """One way to train: which history, which weights, which hyperparameters."""

    name: str = Field(pattern=NAME)
    history: int | None = Field(default=None, ge=1)  # windows; left out: all history
    half_life: float | None = Field(default=None, gt=0)  # windows; left out: equal weights
    rounds: int = Field(default=100, ge=1, le=10_000)
    max_depth: int = Field(default=6, ge=1, le=16)
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    min_child_weight: float = Field(default=1.0, ge=0)
    subsample: float = Field(default=1.0, gt=0, le=1)
    colsample_bytree: float = Field(default=1.0, gt=0, le=1)
    reg_lambda: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=256, ge=2, le=4096)


class Train(_Part):
    """What holds for every recipe."""

    seed: int = Field(default=20130101, ge=0, lt=2**31)
    threads: int = Field(default=2, ge=1, le=256)  # part of the lineage: it decides the bytes
    min_rows: int = Field(default=500, ge=1)
    holdout_windows: int = Field(
        default=1, ge=1, le=52
    )  # newest labelled windows, never trained on
    max_categories: int = Field(default=1000, ge=2, le=100_000)


class Drift(_Part):
    """When the world is said to have moved. A verdict here warns, it never blocks."""

    sample: int = Field(default=5000, ge=100, le=10_000)
    column_distance: Share = 0.1  # Jensen-Shannon distance from which a column counts as moved
    importance_share: Share = (
        0.3  # moved columns that carry this share of the champion's gain: WARN
    )


class Gate(_Part):
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


class Definition(_Part):
    """One pipeline. See ``docs/reference/pipeline.md`` for each key."""

    name: str = Field(pattern=NAME)
    source: Source
    time: Time
    label: Label
    features: dict[str, FeatureKind] = Field(min_length=1, max_length=5000)
    validate_: Validate = Field(alias="validate")
    train: Train = Train()
    recipes: tuple[Recipe, ...] = Field(min_length=1, max_length=32)
    drift: Drift = Drift()
    gate: Gate = Gate()

    @model_validator(mode="after")
    def _fits_together(self) -> Definition:
        names = [r.name for r in self.recipes]
        if len(set(names)) != len(names):
            raise ValueError(f"recipes: names must differ, found {names}")
        system = [f for f in self.features if f.startswith("_")]
        if system:
            raise ValueError(
                f"features: names that start with '_' are Ratchet's own, found {system}"
            )
        unknown = [s for s in self.gate.slices if s not in self.features]
        if unknown:
            raise ValueError(f"gate.slices: not among the features: {unknown}")
        if self.label.column in self.features:
            raise ValueError(
                f"features: {self.label.column!r} is the label, it cannot be a feature"
            )
        if self.label.known_column in self.features:
            raise ValueError(f"features: {self.label.known_column!r} is known only with the label")
        if self.source.labels is not None and not self.source.key:
            raise ValueError("source.key: labels that arrive apart need a key to be joined by")
        if self.time.kind == "integer" and self.source.known == "arrival":
            raise ValueError("source.known: 'arrival' needs timestamps; an integer column has none")
        _ = self.calendar, self.label_delay
        return self

    @cached_property
    def calendar(self) -> Calendar:
        """The windows of this pipeline."""
        clock = Clock(self.time.kind)
        default_origin = self.time.kind == "integer" and "origin" not in self.time.model_fields_set
        origin = clock.parse(0 if default_origin else str(self.time.origin))
        return Calendar(clock, origin, clock.duration(self.time.window))

    @cached_property
    def label_delay(self) -> int:
        """How long after its event a label is mature, in ticks."""
        return self.calendar.clock.duration(self.label.delay)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definition's content (hex); comments and key order do not count."""
        content = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def recipe(self, name: str) -> Recipe:
        """The recipe of this name.

        Raises:
            DefinitionError: there is none.
        """
        for recipe in self.recipes:
            if recipe.name == name:
                return recipe
        raise DefinitionError(f"recipe {name!r}: expected one of {[r.name for r in self.recipes]}")


def parse(text: str, where: str = "definition") -> Definition:
    """A definition from TOML text.

    Raises:
        DefinitionError: one line a wrong key: the key, what was found, what is allowed.
    """
    try:
        return Definition.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{where}: not valid TOML: {error}") from error
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors(include_url=False)]
        raise DefinitionError("\n".join([f"{where}:", *lines])) from error


def load(path: Path) -> Definition:
    """The definition in a file. See :func:`parse`.

    Raises:
        DefinitionError: the file is missing, not UTF-8 or wrong.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(whole file)"
    found = error.get("input")
    shown = "" if isinstance(found, dict | BaseModel) else f", found {found!r}"
    return f"  {key}: {error['msg'].removeprefix('Value error, ')}{shown}"
