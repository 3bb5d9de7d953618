"""Secrets from files to the environment of one process, which then takes this one's place.

    python -m infra.container.entrypoint prefect server start

A file in ``/run/secrets`` that is named like a variable (``PREFECT_API_AUTH_STRING``) becomes that
variable. So a secret is part neither of the image, nor of ``compose.yaml``, nor of what
``docker inspect`` shows, nor of anybody's arguments.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

SECRETS = Path("/run/secrets")


def with_secrets(environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The environment and, on top of it, each file that is named like a variable.

    Raises:
        SystemExit: such a file is empty, so a server would start without its password.
    """
    found = dict(environment)
    for path in sorted(directory.glob("[A-Z]*")):
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", path.name):
            continue
        value = path.read_text(encoding="utf-8").strip()
        if not value:
            raise SystemExit(f"{path}: empty; make it with 'python -m infra.container.credentials'")
        found[path.name] = value
    return found


def main() -> None:
    """Become the command that the arguments name."""
    if not sys.argv[1:]:
        raise SystemExit("expected a command, such as: ratchet status")
    os.execvpe(sys.argv[1], sys.argv[1:], with_secrets(os.environ, SECRETS))  # noqa: S606, TID251


if __name__ == "__main__":
    main()
