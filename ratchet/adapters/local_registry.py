"""Runs and model versions as plain files in a directory: for replays and tests, without MLflow.

>>> registry = LocalRegistry(Path(".ratchet/replays/flights/a"))      # doctest: +SKIP

::

    runs/<id>/run.json, artifacts/…
    models/<pipeline>/versions/<n>/version.json, description.md, bundle/…
    models/<pipeline>/aliases/<alias>

Its promise: a version appears whole or not at all, by one rename; so does each alias.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ratchet.adapters.bundle_files import (
    inside,
    read_bundle_files,
    sync_directory,
    write_bundle_files,
)
from ratchet.contracts.bundle import Bundle, sha256, unpack
from ratchet.contracts.seams import CYCLE_KEY_TAG, DIGEST_TAG, ModelVersion, curves_key
from ratchet.errors import ModelError, NotFound, StorageError, Tampered


class LocalRegistry:
    """Implements :class:`ratchet.contracts.seams.Registry` in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open_run(self, pipeline: str, cycle_key: str, name: str) -> str:
        """The id of the run of this cycle: a new one, or the one that an earlier attempt opened."""
        run_id = sha256(cycle_key.encode())[:32]
        path = self.directory / "runs" / run_id / "run.json"
        made = _json(path) if path.is_file() else {"datasets": []}
        made |= {"pipeline": pipeline, "cycle_key": cycle_key, "name": name, "status": "RUNNING"}
        _write(path, made)
        return run_id

    def log(
        self,
        run_id: str,
        *,
        step: int = 0,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
        datasets: Sequence[tuple[str, str, str, str]] = (),
    ) -> None:
        """Record on a run. Keys of ``artifacts`` are paths; ``datasets`` are
        (name, digest, source uri, context). Repeating it changes nothing.

        Raises:
            NotFound: no such run.
            Refused: an artifact's path leaves the run.
        """

        def record(run: dict[str, Any]) -> None:
            for key, value in (metrics or {}).items():
                run.setdefault("metrics", {}).setdefault(key, {})[str(step)] = float(value)
            run.setdefault("params", {}).update(params or {})
            run.setdefault("tags", {}).update(tags or {})
            run["datasets"] += [list(d) for d in datasets if list(d) not in run["datasets"]]

        self._change(run_id, record)
        for name, content in (artifacts or {}).items():
            _replace(inside(self._artifacts(run_id), name), content)

    def chart(self, pipeline: str, step: int, at: int, metrics: Mapping[str, float]) -> None:
        """Add one window to the curves of the run ``<pipeline> over windows``; see the seam.

        Raises:
            StorageError: disk full or read-only.
        """
        del at  # a step names its point
        run_id = self.open_run(pipeline, curves_key(pipeline), f"{pipeline} over windows")
        self.log(run_id, step=step, metrics=metrics)
        self.close_run(run_id)

    def close_run(self, run_id: str, ok: bool = True) -> None:
        """Mark the run finished or failed.

        Raises:
            NotFound: no such run.
        """
        status = "FINISHED" if ok else "FAILED"
        self._change(run_id, lambda run: run.update(status=status))

    def _change(self, run_id: str, change: Callable[[dict[str, Any]], None]) -> None:
        path = self._artifacts(run_id).parent / "run.json"
        run = _json(path)
        change(run)
        _write(path, run)

    def create_version(
        self,
        pipeline: str,
        cycle_key: str,
        run_id: str,
        bundle: Bundle,
        tags: Mapping[str, str],
        description: str,
    ) -> ModelVersion:
        """Store the bundle and register it; an earlier attempt's version is reused.

        Raises:
            ModelError: an earlier attempt registered other bytes for this cycle.
            StorageError: disk full or read-only.
        """
        for made in self.versions(pipeline):
            if made.cycle_key == cycle_key:
                return _reused(made, bundle)
        content = {
            "run_id": run_id,
            "tags": {**tags, CYCLE_KEY_TAG: cycle_key, DIGEST_TAG: bundle.digest},
        }
        folder = self._versions(pipeline)
        draft = folder / f".draft-{uuid.uuid4().hex}"
        try:
            write_bundle_files(draft / "bundle", bundle.files(), sync=True)
            _write(draft / "version.json", content)
            _replace(draft / "description.md", description.encode())
            number = self._publish(draft, folder)
        except OSError as error:
            raise StorageError(f"{folder}: the version cannot be written: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return self.version(pipeline, number)

    def _publish(self, draft: Path, folder: Path) -> int:
        number = max(self._numbers(folder), default=0) + 1
        while True:
            try:
                draft.rename(folder / str(number))  # refused where that number was just taken
            except OSError:
                if not (folder / str(number)).is_dir():
                    raise
                number += 1
            else:
                sync_directory(folder)
                return number

    def describe(
        self, pipeline: str, version: int, description: str, tags: Mapping[str, str]
    ) -> None:
        """Replace the version's description (Markdown) and set tags.

        Raises:
            NotFound: no such version.
        """
        folder = self._folder(pipeline, version)
        content = _json(folder / "version.json")
        content["tags"].update(tags)
        _write(folder / "version.json", content)
        _replace(folder / "description.md", description.encode())

    def versions(self, pipeline: str) -> list[ModelVersion]:
        """Every version, oldest first."""
        return [self.version(pipeline, n) for n in self._numbers(self._versions(pipeline))]

    def version(self, pipeline: str, version: int) -> ModelVersion:
        """One version.

        Raises:
            NotFound: there is none of that number.
        """
        folder = self._folder(pipeline, version)
        content = _json(folder / "version.json")
        aliases = {p.name: _json(p) for p in (folder.parent.parent / "aliases").glob("[!.]*")}
        return ModelVersion(
            pipeline=pipeline,
            version=version,
            run_id=content["run_id"],
            cycle_key=content["tags"].get(CYCLE_KEY_TAG, ""),
            tags=content["tags"],
            aliases=tuple(sorted(name for name, number in aliases.items() if number == version)),
            description=(folder / "description.md").read_text(encoding="utf-8"),
        )

    def alias(self, pipeline: str, alias: str) -> ModelVersion | None:
        """The version behind an alias, or None."""
        path = self._alias(pipeline, alias)
        return self.version(pipeline, _json(path)) if path.is_file() else None

    def set_alias(self, pipeline: str, alias: str, version: int | None) -> None:
        """Point an alias at a version, in one atomic step; None removes it.

        Raises:
            NotFound: no such version.
        """
        path = self._alias(pipeline, alias)
        if version is None:
            path.unlink(missing_ok=True)
        else:
            self._folder(pipeline, version)
            _write(path, version)

    def load(self, pipeline: str, version: int) -> Bundle:
        """Read the bundle of a version and verify its digests before anything parses it.

        Raises:
            NotFound: no such version.
            Tampered: manifest or model bytes differ from what the version's tags recorded.
        """
        folder = self._folder(pipeline, version)
        digest = _json(folder / "version.json")["tags"].get(DIGEST_TAG)
        if not digest:
            raise Tampered(f"{folder}: no tag {DIGEST_TAG}; expected the digest of the bundle")
        return unpack(read_bundle_files(folder / "bundle"), digest)

    def page(self, run_id: str, artifact: str = "") -> str:
        """The directory of the run's artifacts, or the file of one of them."""
        return str(self._artifacts(run_id) / artifact)

    def artifact(self, run_id: str, path: str) -> bytes:
        """The bytes of one artifact of a run.

        Raises:
            NotFound: no such artifact.
            Refused: the path leaves the run.
        """
        file = inside(self._artifacts(run_id), path)
        if not file.is_file():
            raise NotFound(f"run {run_id} has no artifact {path!r}")
        return file.read_bytes()

    def _artifacts(self, run_id: str) -> Path:
        run = inside(self.directory / "runs", run_id)
        if not (run / "run.json").is_file():
            raise NotFound(f"run {run_id!r} does not exist in {self.directory}")
        return run / "artifacts"

    def _versions(self, pipeline: str) -> Path:
        return inside(self.directory / "models", pipeline) / "versions"

    def _alias(self, pipeline: str, alias: str) -> Path:
        return inside(self._versions(pipeline).parent / "aliases", alias)

    def _numbers(self, folder: Path) -> list[int]:
        return sorted(int(p.name) for p in folder.glob("[0-9]*"))

    def _folder(self, pipeline: str, version: int) -> Path:
        folder = self._versions(pipeline) / str(version)
        if not (folder / "version.json").is_file():
            known = self._numbers(folder.parent)
            raise NotFound(f"{pipeline} has no version {version}; found {known or 'none'}")
        return folder


def _reused(made: ModelVersion, bundle: Bundle) -> ModelVersion:
    recorded = made.tags.get(DIGEST_TAG, "")
    if recorded != bundle.digest:
        raise ModelError(
            f"{made.pipeline} version {made.version} holds digest {recorded[:12]} for cycle "
            f"{made.cycle_key}, this attempt made {bundle.digest[:12]}; expected the same bytes"
        )
    return made


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error


def _write(path: Path, value: Any) -> None:
    _replace(path, json.dumps(value, sort_keys=True).encode())


def _replace(path: Path, content: bytes) -> None:
    """Write to a neighbour, make it durable, and rename it over: the old file or the new one."""
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise StorageError(f"{path}: cannot be written: {error}") from error
