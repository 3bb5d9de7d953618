"""A model as stored, shown and served: XGBoost's own UBJ, a JSON manifest, a reference sample.

Nothing is ever unpickled. The manifest carries the digests of the other files; the digest of the
manifest (:attr:`Bundle.digest`) is what the registry records and checks before anything is parsed.

>>> scores = predict(bundle, rows)                                    # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ratchet.contracts.lineage import Lineage, canonical_json
from ratchet.errors import ModelError, Tampered

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import xgboost as xgb
    from numpy.typing import NDArray

MANIFEST, MODEL, REFERENCE = "manifest.json", "model.ubj", "reference.parquet"
FORMAT = 1


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
        format: version of this layout; readers accept every version up to their own.
    """

    objective: str
    classes: tuple[Any, ...]
    features: Mapping[str, str]
    categories: Mapping[str, tuple[str, ...]]
    gains: Mapping[str, float]
    lineage: Lineage
    files: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same manifest always gives the same bytes."""
        content = {
            "format": self.format,
            "objective": self.objective,
            "classes": list(self.classes),
            "features": [[name, kind] for name, kind in self.features.items()],
            "categories": {k: list(v) for k, v in self.categories.items()},
            "gains": dict(self.gains),
            "lineage": self.lineage.as_json(),
            "files": dict(self.files),
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
            return cls(
                objective=value["objective"],
                classes=tuple(value["classes"]),
                features=dict(value["features"]),
                categories={k: tuple(v) for k, v in value["categories"].items()},
                gains=value["gains"],
                lineage=Lineage.from_json(value["lineage"]),
                files=value["files"],
                format=value["format"],
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{MANIFEST}: not a manifest: {error!r}") from error


@dataclass(frozen=True)
class Bundle:
    """The files of one model. Build it with :func:`pack`, read it with :func:`unpack`."""

    manifest: Manifest
    model: bytes
    reference: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which covers the other files by their digests."""
        return sha256(self.manifest.to_bytes())

    def files(self) -> dict[str, bytes]:
        """File name to content."""
        return {
            MANIFEST: self.manifest.to_bytes(),
            MODEL: self.model,
            REFERENCE: self.reference,
        }


def pack(manifest: Manifest, model: bytes, reference: bytes) -> Bundle:
    """A bundle whose manifest names the digests of the model and of the reference sample."""
    from dataclasses import replace

    digests = {MODEL: sha256(model), REFERENCE: sha256(reference)}
    lineage = replace(manifest.lineage, model_digest=digests[MODEL])
    return Bundle(replace(manifest, files=digests, lineage=lineage), model, reference)


def unpack(files: Mapping[str, bytes], expected_digest: str) -> Bundle:
    """A bundle from its files, every digest checked before anything is parsed.

    Args:
        files: file name to content, as :meth:`Bundle.files` gives them.
        expected_digest: what the registry recorded for this version (:attr:`Bundle.digest`).

    Raises:
        Tampered: a file is missing or its digest differs.
        ModelError: the manifest is of an unknown format.
    """
    missing = {MANIFEST, MODEL, REFERENCE} - set(files)
    if missing:
        raise Tampered(f"model files missing: {sorted(missing)}")
    found = sha256(files[MANIFEST])
    if found != expected_digest:
        raise Tampered(f"{MANIFEST}: digest {found[:12]}, expected {expected_digest[:12]}")
    manifest = Manifest.from_bytes(files[MANIFEST])
    for name in (MODEL, REFERENCE):
        found, expected = sha256(files[name]), manifest.files.get(name, "")
        if found != expected:
            raise Tampered(f"{name}: digest {found[:12]}, expected {expected[:12]}")
    return Bundle(manifest, files[MODEL], files[REFERENCE])


def encode(
    rows: pa.Table, features: Mapping[str, str], categories: Mapping[str, tuple[str, ...]]
) -> NDArray[np.float32]:
    """The model's matrix, shape (rows, features), float32; missing and unseen are NaN.

    Columns are taken by name, so their order in ``rows`` does not matter. Every NaN has the same
    bits, so that the matrix has one digest.

    Raises:
        ModelError: a feature's column is missing or of another type, or no categories are given.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    matrix = np.empty((rows.num_rows, len(features)), dtype=np.float32)
    for i, (name, kind) in enumerate(features.items()):
        column = _column(rows, name, kind)
        if kind == "category":
            known = pa.array(_known(categories, name), pa.string())
            column = pc.index_in(column, value_set=known)
        values = pc.cast(column, pa.float32(), safe=False).to_numpy()
        matrix[:, i] = values
        matrix[np.isnan(values), i] = np.nan
    return matrix


def unseen(rows: pa.Table, manifest: Manifest) -> dict[str, int]:
    """For each category feature, how many rows hold a value that the model does not know.

    Missing values do not count.

    Raises:
        ModelError: a feature's column is missing or of another type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = {}
    for name, known in manifest.categories.items():
        column = _column(rows, name, "category")
        found = pc.is_in(column, value_set=pa.array(known, pa.string()))
        strange = pc.and_(pc.is_valid(column), pc.invert(found))
        counts[name] = int(pc.sum(strange).as_py() or 0)
    return counts


def _column(rows: pa.Table, name: str, kind: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if name not in rows.column_names:
        raise ModelError(f"column {name!r} is missing; found {rows.column_names}")
    column = rows.column(name)
    found = column.type.value_type if types.is_dictionary(column.type) else column.type
    number = types.is_integer(found) or types.is_floating(found) or types.is_boolean(found)
    text = types.is_string(found) or types.is_large_string(found)
    if not (types.is_null(found) or (text if kind == "category" else number)):
        raise ModelError(f"column {name!r} is {column.type}, expected a {kind}")
    wanted = pa.string() if kind == "category" else pa.float64()
    return column if column.type == wanted else pc.cast(column, wanted, safe=False)


def _known(categories: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    if name not in categories:
        raise ModelError(f"feature {name!r} is a category, but the model names no values for it")
    return categories[name]


@lru_cache(maxsize=8)
def booster(model: bytes, threads: int) -> xgb.Booster:
    """The booster in UBJ bytes, whose digest the caller has checked.

    Raises:
        ModelError: XGBoost cannot read them.
    """
    import xgboost as xgb

    loaded = xgb.Booster({"nthread": threads})
    try:
        loaded.load_model(bytearray(model))
    except xgb.core.XGBoostError as error:
        raise ModelError(f"{MODEL}: XGBoost cannot read it: {str(error)[:200]}") from error
    return loaded


def predict(bundle: Bundle, rows: pa.Table) -> NDArray[np.float64]:
    """Scores of the rows, in order.

    Returns:
        Shape (rows,): the probability of class 1 (binary) or the value (regression); shape
        (rows, classes) of probabilities (multiclass).

    Raises:
        ModelError: a feature's column is missing, or a score is not finite.
    """
    import numpy as np

    manifest = bundle.manifest
    matrix = encode(rows, manifest.features, manifest.categories)
    scores = booster(bundle.model, manifest.lineage.threads).inplace_predict(matrix)
    if not np.isfinite(scores).all():
        raise ModelError("the model gave scores that are not finite; it must not serve")
    if manifest.objective == "multiclass":
        scores = scores.reshape(rows.num_rows, len(manifest.classes))
    return np.asarray(scores, dtype=np.float64)
