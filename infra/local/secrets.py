"""The generated passwords of the stack: made once, kept in files that only the owner can read.

>>> found = load(Path(".ratchet/stack"))                                        # doctest: +SKIP
>>> len(found.prefect)                                                          # doctest: +SKIP
43
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ratchet.errors import RatchetError

FEWEST = 20  # characters; what is generated here has more


class StackError(RatchetError):
    """The stack cannot start, or a member of it failed."""


@dataclass(frozen=True)
class Secrets:
    """One password or key a principal; nothing is shared between two."""

    postgres: str  # the superuser
    postgres_prefect: str
    postgres_mlflow: str
    prefect: str
    mlflow_admin: str
    mlflow_ratchet: str
    mlflow_flask: str
    s3_admin: str
    s3_sender: str  # may write to the landing zone
    s3_ratchet: str  # may read the landing zone; reads and writes tables
    s3_mlflow: str  # reads and writes artifacts
    s3_filer: str  # signs what the S3 gateway asks of the filer

    def __repr__(self) -> str:
        return "Secrets(...)"


def load(home: Path) -> Secrets:
    """The secrets of the stack in ``home``, generated at the first call.

    Raises:
        StackError: others can read the file, or a secret is missing or too short.
    """
    path = home / "secrets.json"
    if not path.exists():
        made = Secrets(**{f.name: secrets.token_urlsafe(32) for f in fields(Secrets)})
        write_private(path, json.dumps(asdict(made), indent=2))
    if path.stat().st_mode & 0o077:
        raise StackError(f"{path}: others can read it; expected mode 0600: chmod 600 {path}")
    try:
        found = Secrets(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise StackError(f"{path}: {error}; restore it, or begin anew without {home}") from None
    short = [name for name, value in asdict(found).items() if len(str(value)) < FEWEST]
    if short:
        raise StackError(
            f"{path}: {', '.join(short)}: empty, or shorter than {FEWEST} characters; the stack "
            "does not start with a password that can be guessed"
        )
    return found


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
