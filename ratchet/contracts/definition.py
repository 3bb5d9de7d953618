"""A pipeline: one stream and the rules for learning from it, as ``pipelines/<name>.toml`` says.

>>> Definition.model_validate(tomllib.loads(text)).calendar.length      # doctest: +SKIP
604800000000

Every field is typed and bounded; a wrong file names the key, what was found and what is allowed
(:func:`load`). The digest of the definition goes into every decision.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ratchet.contracts.clock import Calendar, Clock, ClockKind
from ratchet.contracts.defence import Part, Record, Share, Shield, TrueObjective, Trusted, Watch
from ratchet.contracts.economics import Economics
from ratchet.contracts.notice import Notify
from ratchet.contracts.recipes import NAME, Mixture, Recipe
from ratchet.contracts.sealed import Sealed
from ratchet.errors import DefinitionError

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
    approval: bool = False  # a person has the last word on each promotion
    approval_hours: float = Field(default=24, gt=0, le=24 * 30)  # how long a run waits for them


class Definition(Part):
    """One pipeline. See ``docs/reference/pipeline.md`` for each key."""

    name: str = Field(pattern=NAME)
    source: Source
    time: Time
    label: Label
    features: dict[str, FeatureKind] = Field(min_length=1, max_length=5000)
    validate_: Validate = Field(alias="validate")
    train: Train = Train()
    recipes: tuple[Recipe, ...] = Field(default=(), max_length=32)
    mixture: Mixture | None = None
    economics: Economics | None = None
    drift: Drift = Drift()
    gate: Gate = Gate()
    watch: Watch = Watch()
    shield: Shield = Shield()
    trusted: Trusted | None = None
    record: Record | None = None
    sealed: Sealed | None = None
    true_objective: TrueObjective | None = None
    notify: Notify = Notify()

    @model_validator(mode="after")
    def _fits_together(self) -> Definition:
        names = [r.name for r in self.recipes]
        if len(set(names)) != len(names):
            raise ValueError(f"recipes: names must differ, found {names}")
        if bool(names) == (self.mixture is not None):
            key, found = ("mixture", "both") if names else ("recipes", "neither")
            raise ValueError(f"{key}: expected either [[recipes]] or [mixture], found {found}")
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
        if self.trusted is not None and not self.source.key:
            raise ValueError("source.key: trusted rows need a key to be joined by")
        if self.record is not None and not self.source.key:
            raise ValueError("source.key: rows are looked up in the record by their key")
        self._true_objective_fits()
        self._globs_can_be_read()
        self._times_can_be_read()
        return self

    def _true_objective_fits(self) -> None:
        true = self.true_objective
        if true is None:
            return
        if not self.source.key:
            raise ValueError("source.key: rows of the true objective need a key to be joined by")
        if self.label.objective == "multiclass":
            raise ValueError("true_objective: a score of several classes has no one direction")
        if true.column in (self.label.column, *self.features):
            raise ValueError(
                f"true_objective.column: {true.column!r} is the label or a feature; what the "
                "model learns from cannot judge what it is for"
            )

    def _globs_can_be_read(self) -> None:
        trusted = self.trusted.objects if self.trusted else None
        true = self.true_objective.objects if self.true_objective else None
        globs = {"source.features": self.source.features, "source.labels": self.source.labels}
        apart = {"trusted.objects": trusted, "true_objective.objects": true}
        for name, glob in {**globs, **apart}.items():
            found = [part for part in (glob or "").split("/") if "{" in part or "}" in part]
            if found not in ([], ["{source}"]):
                raise ValueError(
                    f"{name}: {{source}} stands for one whole folder, once; found {found}"
                )
        for name, glob in apart.items():
            others = [g for n, g in {**globs, **apart}.items() if n != name]
            if glob is not None and glob in ("**", *others):
                raise ValueError(
                    f"{name}: {glob!r} is asked first, so it would take every object of the "
                    f"stream; expected a place of its own such as {name.split('.')[0]}/**"
                )

    def _origin(self) -> int:
        default = self.time.kind == "integer" and "origin" not in self.time.model_fields_set
        return Clock(self.time.kind).parse(0 if default else self.time.origin)

    def _times_can_be_read(self) -> None:
        clock = Clock(self.time.kind)
        readers: tuple[tuple[str, Callable[[], object]], ...] = (
            ("time.window", lambda: clock.duration(self.time.window)),
            ("time.origin", self._origin),
            ("time.window", lambda: self.calendar),
            ("label.delay", lambda: self.label_delay),
        )
        for key, read in readers:
            try:
                read()
            except DefinitionError as error:
                raise ValueError(f"{key}: {error}") from error

    @cached_property
    def calendar(self) -> Calendar:
        """The windows of this pipeline."""
        clock = Clock(self.time.kind)
        return Calendar(clock, self._origin(), clock.duration(self.time.window))

    @cached_property
    def label_delay(self) -> int:
        """How long after its event a label is mature, in ticks."""
        return self.calendar.clock.duration(self.label.delay)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definition's content (hex); comments and key order do not count.

        Nor does ``notify``: whoever is told, the same is learned. A part that the first release did
        not have is left out where it is not declared, so that its digests stay what they were.
        """
        found = self.model_dump(mode="json", by_alias=True, exclude={"notify"})
        for later in ("sealed", "mixture", "true_objective", "economics"):
            if found[later] is None:
                del found[later]
        if not found["watch"]["label_free"]:
            del found["watch"]["label_free"]
        content = json.dumps(found, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but without what was derived from the old content (digest, calendar)."""
        copied = super().model_copy(update=update, deep=deep)
        for derived in set(copied.__dict__) - set(type(self).model_fields):
            del copied.__dict__[derived]
        return copied


def check_name(name: str, what: str) -> None:
    """Names of pipelines and of replays become folders and keys, so they are plain words.

    Raises:
        DefinitionError: it is not.
    """
    if not re.fullmatch(NAME, name):
        raise DefinitionError(
            f"{what} {name!r}: expected lower-case letters, digits, '_' and '-', a letter first, "
            "63 at most"
        )


def parse(text: str, where: str = "definition") -> Definition:
    """A definition from TOML text.

    Raises:
        DefinitionError: one line a wrong key: the key, what was found, what is allowed.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{where}: not valid TOML: {error}") from error
    try:
        return Definition.model_validate(document)
    except ValidationError as error:
        raise DefinitionError("\n".join([f"{where}:", *_explain(error, document)])) from error


def load(path: Path) -> Definition:
    """The definition in a file. See :func:`parse`.

    Raises:
        DefinitionError: the file is missing, not UTF-8 or wrong.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error


def _explain(error: ValidationError, document: Mapping[str, Any]) -> list[str]:
    """One line a wrong key, though pydantic says each member of a union that did not fit."""
    said: dict[tuple[str, str], list[str]] = {}
    errors = error.errors(include_url=False)
    inside = {e["loc"][:n] for e in errors for n in range(1, len(e["loc"]))}
    for one in errors:
        if one["type"] == "too_short" and one["loc"] in inside:
            continue  # pydantic counts only the members that are right
        key, wrong, found = _wrong(one, document)
        said.setdefault((key, found), []).append(wrong)
    return [
        "  " + ": ".join(part for part in (key, " or ".join(wrong) + found) if part)
        for (key, found), wrong in said.items()
    ]


def _wrong(error: Any, document: Mapping[str, Any]) -> tuple[str, str, str]:
    """The key, what is wrong with it, and what was found there."""
    loc, found = error["loc"], error.get("input")
    shown = "" if isinstance(found, dict | BaseModel) else f", found {found!r:.200}"
    if error["type"] == "missing":
        return ".".join(map(str, loc)), "is missing, but required", ""
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed_keys(loc[:-1]))
        return _key(loc, document), f"no such key{shown}; allowed here: {allowed}", ""
    return _key(loc, document), error["msg"].removeprefix("Value error, "), shown


def _key(loc: Sequence[str | int], document: Any) -> str:
    """The key as the file spells it: pydantic adds the member of a union that it tried."""
    parts = []
    for part in loc:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            break
        parts.append(str(part))
    return ".".join(parts)


def _allowed_keys(loc: Sequence[str | int]) -> list[str]:
    """The keys of the table at a place in the file."""
    model: type[BaseModel] = Definition
    for part in loc:
        for name, field in model.model_fields.items():
            if part == (field.alias or name):
                kinds = (field.annotation, *get_args(field.annotation))
                model = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
    return sorted(field.alias or name for name, field in model.model_fields.items())
