"""A model's first prediction happens in a child process: what kills it does not kill the caller.

>>> scores = predict_in_child(bundle, rows)                   # doctest: +SKIP

A UBJ file with one flipped bit can end a process with SIGSEGV, and a crafted one carries a digest
that fits. The child has a clean environment, no shell, and limits on memory, time and file size.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ratchet.adapters.bundle_files import read_bundle_files, write_bundle_files
from ratchet.contracts.bundle import MANIFEST, Bundle, sha256, unpack
from ratchet.contracts.score import predict
from ratchet.errors import ModelError, RatchetError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ROWS, SCORES = "rows.arrow", "scores.bin"
TIMEOUT_SECONDS = 60.0
MEMORY_BYTES = 16 << 30  # of address space: a bomb ends here; ordinary models map far less
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}


def predict_in_child(
    bundle: Bundle, rows: pa.Table, timeout: float = TIMEOUT_SECONDS
) -> NDArray[np.float64]:
    """Scores of the rows by the model, computed in a process of its own (about 1 s: imports).

    Args:
        bundle: the model, as the registry loaded it: its digests are checked.
        rows: the rows to score, at most a few hundred.
        timeout: seconds after which the child is ended.

    Returns:
        As :func:`ratchet.contracts.score.predict`: shape (rows,) or (rows, classes).

    Raises:
        ModelError: the model killed its process, hung, could not be read, or gave a score that is
            not finite.
    """
    import pyarrow as pa

    with TemporaryDirectory(prefix="ratchet-sandbox-") as scratch:
        folder = Path(scratch)
        write_bundle_files(folder, bundle.files())
        with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as out:
            out.write_table(rows)
        said = _run(folder, timeout)
        return _scores(folder, said, rows.num_rows)


def _run(folder: Path, timeout: float) -> str:
    command = [sys.executable, "-I", "-m", "ratchet.adapters.sandbox", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - no shell; every part is ours
            command,
            env=_ENVIRONMENT,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"the model gave no scores within {timeout:g} s in its own process; it must not serve"
        ) from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(
            f"the model killed its process ({name}) when asked to predict; it is "
            "damaged or crafted and must not serve"
        )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ModelError(f"the model failed in its own process: {lines[-1][:300]}")
    return done.stdout.decode(errors="replace")


def _scores(folder: Path, said: str, rows: int) -> NDArray[np.float64]:
    import numpy as np

    try:
        shape = tuple(json.loads(said.strip().splitlines()[-1])["shape"])
        scores = np.frombuffer((folder / SCORES).read_bytes(), dtype=np.float64).reshape(shape)
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise ModelError(f"the model's process gave no scores: {error}") from error
    if scores.ndim not in (1, 2) or scores.shape[0] != rows:
        raise ModelError(f"the model gave scores of shape {shape} for {rows} rows")
    return scores


def main(folder: Path) -> None:
    """What the child does: read the bundle and the rows, write the scores and their shape.

    Raises:
        RatchetError: the bundle's files do not fit together, or the model fails.
    """
    import pyarrow as pa

    files = read_bundle_files(folder)
    bundle = unpack(files, sha256(files[MANIFEST]))
    with pa.OSFile(str(folder / ROWS), "rb") as source:
        rows = pa.ipc.open_file(source).read_all()
    scores = predict(bundle, rows)
    (folder / SCORES).write_bytes(scores.tobytes())
    print(json.dumps({"shape": scores.shape}))  # noqa: T201 - the answer to the parent


def limit_resources() -> None:
    """Cap what this process may take, where the system knows such caps."""
    seconds = int(TIMEOUT_SECONDS)
    limits = (("RLIMIT_CORE", 0), ("RLIMIT_CPU", seconds), ("RLIMIT_AS", MEMORY_BYTES))
    for name, value in limits:
        with suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))


if __name__ == "__main__":
    # XGBoost imports it where it is installed and works without: 1 s instead of 2.
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    limit_resources()
    try:
        main(Path(sys.argv[1]))
    except RatchetError as problem:
        sys.exit(str(problem).splitlines()[0])  # the rest is a stack of C++ addresses
