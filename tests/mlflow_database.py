"""A new MLflow registry on SQLite for a test: the database is created once and copied."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from ratchet.adapters.mlflow_registry import MlflowRegistry


@lru_cache(maxsize=1)
def _template() -> Path:
    """An empty database; its creation takes seconds."""
    folder = Path(tempfile.mkdtemp(prefix="ratchet-test-mlflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    registry = MlflowRegistry(f"sqlite:///{folder}/mlflow.db", folder)
    registry.versions("none")
    return folder / "mlflow.db"


def fresh_mlflow(directory: Path, **options: Any) -> MlflowRegistry:
    """A registry of its own below ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(_template(), directory / "mlflow.db")
    return MlflowRegistry(f"sqlite:///{directory}/mlflow.db", directory / "artifacts", **options)
