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
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from ratchet.contracts.clock import Calendar, Clock
from ratchet.contracts.defence import Part, Record, Shield, TrueObjective, Trusted, Watch
from ratchet.contracts.economics import Economics
from ratchet.contracts.fitness import Fitness
from ratchet.contracts.notice import Notify
from ratchet.contracts.recipes import NAME, Mixture, Recipe
from ratchet.contracts.sealed import Sealed
from ratchet.contracts.search import Search
from ratchet.contracts.sections import (
    Drift,
    FeatureKind,
    Gate,
    Label,
    Source,
    Time,
    Train,
    Validate,
)
from ratchet.contracts.wrong_keys import explain
from ratchet.errors import DefinitionError

# The sections of the first release. One that came later is left out of the digest where it is not
# declared, so that digests stay what they were.
FIRST = frozenset(
    [
        "name",
        "source",
        "time",
        "label",
        "features",
        "validate",
        "train",
        "recipes",
        "drift",
        "gate",
        "watch",
        "shield",
        "trusted",
        "record",
    ]
)
# Keys that later came into these, left out where they are as a file without them has them.
LATER_KEYS = (
    ("watch", "label_free", False),
    ("gate", "discover", False),
    ("gate", "shortcuts", False),
    ("validate", "moved_after", 3),
    ("trusted", "confirm", None),
)


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
    search: Search | None = None
    drift: Drift = Drift()
    gate: Gate = Gate()
    watch: Watch = Watch()
    shield: Shield = Shield()
    trusted: Trusted | None = None
    record: Record | None = None
    sealed: Sealed | None = None
    true_objective: TrueObjective | None = None
    fitness: Fitness | None = None
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
        self._fitness_fits()
        self._true_objective_fits()
        self._globs_can_be_read()
        self._times_can_be_read()
        self._pupils_fit()
        return self

    def _pupils_fit(self) -> None:
        taught = [n for n, t in self.mixture.teachers.items() if t] if self.mixture else []
        if taught and self.label.objective != "binary":
            raise ValueError(
                f"mixture.members: {taught} have a teacher; soft labels are for binary labels, "
                f"found {self.label.objective}"
            )
        if taught and not self.label_delay:
            raise ValueError(
                f"mixture.members: {taught} have a teacher, but with a label.delay of 0 no row "
                "waits for its label"
            )

    def _fitness_fits(self) -> None:
        fitness = self.fitness
        if fitness is None or self.sealed is not None:
            return
        asked = sorted(k for k in fitness.model_fields_set if "membership" in k)
        if asked:
            raise ValueError(
                f"fitness.{asked[0]}: only [sealed] rows can be compared with trained ones"
            )

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

        Nor does ``notify``: whoever is told, the same is learned. What came after the first
        release is left out where it is not declared.
        """
        found = self.model_dump(mode="json", by_alias=True, exclude={"notify"})
        for later in found.keys() - FIRST:
            if found[later] is None:
                del found[later]
        for section, key, before in LATER_KEYS:
            if found.get(section) and found[section][key] == before:
                del found[section][key]
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
        raise DefinitionError(
            "\n".join([f"{where}:", *explain(error, document, Definition)])
        ) from error


def load(path: Path) -> Definition:
    """The definition in a file. See :func:`parse`.

    Raises:
        DefinitionError: the file is missing, not UTF-8 or wrong.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error
