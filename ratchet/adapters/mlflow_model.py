"""A bundle laid out as a model that MLflow shows and serves.

``MLmodel`` (the card), ``requirements.txt``, ``python_env.yaml``, and the bundle in ``bundle/``.
Written by hand: MLflow's own ``log_model`` takes seconds and would import what it stores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ratchet.adapters.bundle_files import write_bundle_files
from ratchet.contracts.bundle import Bundle

DATA = "bundle"
LOADER = "ratchet.adapters.pyfunc_loader"
_REQUIRED = ("ratchet-ml", "xgboost", "pyarrow", "numpy")


def lay_out(directory: Path, bundle: Bundle, identity: Mapping[str, str]) -> None:
    """Write the model's files into an empty directory.

    Args:
        directory: where to write; ``MLmodel`` lies at its top, as MLflow expects it.
        bundle: the model.
        identity: ``model_id``, ``run_id`` and when it was made (``utc_time_created``).

    Raises:
        StorageError: disk full or read-only.
    """
    write_bundle_files(directory / DATA, bundle.files())
    environment = {"python": _python(), "dependencies": ["-r requirements.txt"]}
    texts = {
        "MLmodel": json.dumps(card(bundle, identity), indent=2),  # JSON is YAML too
        "requirements.txt": "".join(f"{line}\n" for line in requirements()),
        "python_env.yaml": json.dumps(environment, indent=2),
    }
    write_bundle_files(directory, {name: text.encode() for name, text in texts.items()})


def card(bundle: Bundle, identity: Mapping[str, str]) -> dict[str, Any]:
    """The content of ``MLmodel``."""
    lineage = bundle.manifest.lineage
    return {
        "flavors": {
            "python_function": {
                "loader_module": LOADER,
                "data": DATA,
                "env": {"virtualenv": "python_env.yaml"},
                "python_version": _python(),
            }
        },
        "metadata": {
            "pipeline": lineage.pipeline,
            "window": lineage.window,
            "recipe": str(lineage.recipe.get("name", "")),
            "bundle_digest": bundle.digest,
        },
        "mlflow_version": version("mlflow"),
        "signature": signature(bundle),
        **identity,
    }


def signature(bundle: Bundle) -> dict[str, Any]:
    """What goes in and comes out, in MLflow's words; every feature may be missing."""
    manifest = bundle.manifest
    kinds = {"number": "double", "category": "string"}
    inputs = [
        {"name": name, "type": kinds[kind], "required": False}
        for name, kind in manifest.features.items()
    ]
    shape = [-1, len(manifest.classes)] if manifest.objective == "multiclass" else [-1]
    scores = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": shape}}
    return {"inputs": json.dumps(inputs), "outputs": json.dumps([scores]), "params": None}


def requirements() -> list[str]:
    """What serving needs, at the versions that trained. Shown to people; Ratchet installs none."""
    lines = []
    for name in _REQUIRED:
        try:
            lines.append(f"{name}=={version(name)}")
        except PackageNotFoundError:  # ratchet-ml run from a source tree that was not installed
            lines.append(name)
    return lines


def _python() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])
