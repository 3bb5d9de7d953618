"""Lets ``mlflow.pyfunc.load_model`` serve a bundle: from code, never from a pickle.

>>> model = mlflow.pyfunc.load_model("models:/flights@champion")      # doctest: +SKIP
>>> model.predict(frame)                                              # doctest: +SKIP

Its promise: the bytes fit the manifest beside them, or nothing is loaded. It cannot know which
manifest the registry recorded: Ratchet itself loads with ``Registry.load``, which does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.contracts.bundle import MANIFEST, Bundle, sha256, unpack
from ratchet.contracts.score import predict

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Scorer:
    """What ``mlflow.pyfunc`` calls."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, frame: pd.DataFrame) -> Any:
        """Scores of the rows, in order, as :func:`ratchet.contracts.score.predict` gives them.

        Args:
            frame: one column a feature, by name; further columns are ignored.

        Raises:
            ModelError: a feature's column is missing, or a score is not finite.
        """
        return predict(self.bundle, table_of(frame, self.bundle.manifest.features))


def table_of(frame: pd.DataFrame, features: Any) -> pa.Table:
    """The frame's features as Arrow columns: float64 for numbers, strings for categories."""
    import pyarrow as pa

    kinds = {"number": pa.float64(), "category": pa.string()}
    columns = {
        name: pa.Array.from_pandas(frame[name], type=kinds[kind])
        for name, kind in features.items()
        if name in frame.columns
    }
    return pa.table(columns)


def _load_pyfunc(path: str) -> Scorer:
    """Called by MLflow with the directory of the bundle's files.

    Raises:
        Tampered: a file is missing or does not fit the manifest.
    """
    from ratchet.adapters.bundle_files import read_bundle_files

    files = read_bundle_files(Path(path))
    return Scorer(unpack(files, sha256(files[MANIFEST])))
