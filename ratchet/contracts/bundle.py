"""A model as stored, shown and served: XGBoost's own UBJ, a JSON manifest, a reference sample.

Nothing is ever unpickled. The manifest carries the digests of the other files; the digest of the
manifest (:attr:`Bundle.digest`) is what the registry records and checks before anything is parsed.
One booster lies in ``model.ubj`` (format 1); the members of a mixture each in a file of its own
(format 2; 3 where their margins are sharpened before they are mixed).
:mod:`ratchet.contracts.score` asks them.

>>> bundle = unpack(files, expected_digest)                           # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ratchet.contracts.lineage import Lineage, canonical_json, mixture_lineage
from ratchet.errors import ModelError, Tampered

MANIFEST, MODEL, REFERENCE = "manifest.json", "model.ubj", "reference.parquet"
FORMAT = 3  # the newest that is read; the oldest that can hold a model is written


def member_file(name: str) -> str:
    """Where the booster of a mixture's member lies."""
    return f"member-{name}.ubj"


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What is needed to score rows with the model, and where it came from.

    Attributes:
        objective: binary, multiclass or regression.
        classes: raw label values in the order of the class index; empty for regression.
        features: name to ``number`` or ``category``, in the order of the model's columns.
        categories: for each category feature, the sorted values the model knows.
        gains: feature to its share of the model's total gain; sums to 1.
        lineage: what the model was made from.
        files: file name to SHA-256.
        member_categories: for each member of a mixture, its ``categories``; a member knows only
            those of its own rows. The mixture's ``categories`` are all that any member knows.
    """

    objective: str
    classes: tuple[Any, ...]
    features: Mapping[str, str]
    categories: Mapping[str, tuple[str, ...]]
    gains: Mapping[str, float]
    lineage: Lineage
    files: Mapping[str, str] = field(default_factory=dict)
    member_categories: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @property
    def format(self) -> int:
        """Version of this layout; readers accept every version up to their own."""
        if any(member.sharpness != 1 for member in self.lineage.members):
            return 3
        return 2 if self.lineage.members else 1

    @property
    def model_files(self) -> tuple[str, ...]:
        """The names of the files that hold boosters."""
        names = [m.name for m in self.lineage.members]
        return tuple(member_file(name) for name in names) or (MODEL,)

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same manifest always gives the same bytes."""
        content: dict[str, Any] = {
            "format": self.format,
            "objective": self.objective,
            "classes": list(self.classes),
            "features": [[name, kind] for name, kind in self.features.items()],
            "categories": {k: list(v) for k, v in self.categories.items()},
            "gains": dict(self.gains),
            "lineage": self.lineage.as_json(),
            "files": dict(self.files),
        }
        if self.member_categories:
            content["member_categories"] = {
                name: {k: list(v) for k, v in known.items()}
                for name, known in self.member_categories.items()
            }
        return canonical_json(content).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """The inverse of :meth:`to_bytes`.

        Raises:
            ModelError: not a manifest, or of a format that this release does not know.
        """
        import json

        try:
            value = json.loads(data)
            if value["format"] > FORMAT:
                raise ModelError(
                    f"manifest format {value['format']}: this release reads up to {FORMAT}; "
                    "upgrade Ratchet"
                )
            found = cls(
                objective=value["objective"],
                classes=tuple(value["classes"]),
                features=dict(value["features"]),
                categories={k: tuple(v) for k, v in value["categories"].items()},
                gains=value["gains"],
                lineage=Lineage.from_json(value["lineage"]),
                files=value["files"],
                member_categories={
                    name: {k: tuple(v) for k, v in known.items()}
                    for name, known in value.get("member_categories", {}).items()
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{MANIFEST}: not a manifest: {error!r}") from error
        if set(found.member_categories) != {m.name for m in found.lineage.members}:
            raise ModelError(f"{MANIFEST}: not a manifest: its members and their categories differ")
        return found


@dataclass(frozen=True)
class Bundle:
    """The files of one model. Build it with :func:`pack`, read it with :func:`unpack`.

    ``without`` names features that do not come any more: the model is asked as if no row had them.
    """

    manifest: Manifest
    models: Mapping[str, bytes]  # file name to UBJ
    reference: bytes
    without: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which covers the other files by their digests."""
        return sha256(self.manifest.to_bytes())

    def given(self, features: Collection[str]) -> Bundle:
        """The same model, asked where only these features come."""
        return replace(self, without=frozenset(self.manifest.features) - set(features))

    def files(self) -> dict[str, bytes]:
        """File name to content."""
        return {
            MANIFEST: self.manifest.to_bytes(),
            **self.models,
            REFERENCE: self.reference,
        }


def pack(manifest: Manifest, models: Mapping[str, bytes], reference: bytes) -> Bundle:
    """A bundle whose manifest names the digests of the models and of the reference sample.

    Args:
        manifest: without digests; a mixture's members are in its lineage.
        models: file name to UBJ, as :attr:`Manifest.model_files` wants them.
        reference: Parquet.

    Raises:
        ModelError: ``models`` are not the manifest's.
    """
    if set(models) != set(manifest.model_files):
        raise ModelError(f"models {sorted(models)}: expected {sorted(manifest.model_files)}")
    digests = {name: sha256(data) for name, data in {**models, REFERENCE: reference}.items()}
    lineage = manifest.lineage
    if lineage.members:
        members = [replace(m, model_digest=digests[member_file(m.name)]) for m in lineage.members]
        lineage = mixture_lineage(lineage, members)
    else:
        lineage = replace(lineage, model_digest=digests[MODEL])
    return Bundle(replace(manifest, files=digests, lineage=lineage), dict(models), reference)


def unpack(files: Mapping[str, bytes], expected_digest: str) -> Bundle:
    """A bundle from its files, every digest checked before anything is parsed.

    Args:
        files: file name to content, as :meth:`Bundle.files` gives them.
        expected_digest: what the registry recorded for this version (:attr:`Bundle.digest`).

    Raises:
        Tampered: a file is missing or its digest differs.
        ModelError: the manifest is of an unknown format.
    """
    if MANIFEST not in files:
        raise Tampered(f"model files missing: {[MANIFEST]}")
    found = sha256(files[MANIFEST])
    if found != expected_digest:
        raise Tampered(f"{MANIFEST}: digest {found[:12]}, expected {expected_digest[:12]}")
    manifest = Manifest.from_bytes(files[MANIFEST])
    wanted = (*manifest.model_files, REFERENCE)
    if missing := set(wanted) - set(files):
        raise Tampered(f"model files missing: {sorted(missing)}")
    for name in wanted:
        found, expected = sha256(files[name]), manifest.files.get(name, "")
        if found != expected:
            raise Tampered(f"{name}: digest {found[:12]}, expected {expected[:12]}")
    models = {name: files[name] for name in manifest.model_files}
    return Bundle(manifest, models, files[REFERENCE])
