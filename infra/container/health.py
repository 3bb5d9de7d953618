"""Asks a server over HTTP whether it is there, for the health checks of containers.

    python -m infra.container.health http://127.0.0.1:4200/api/health
    python -m infra.container.health https://127.0.0.1:8333/ --expect 403

It needs nothing but the standard library, so it starts in a tenth of a second.
"""

from __future__ import annotations

import argparse
import ssl
import sys
import urllib.error
import urllib.request

SECONDS = 5.0


def status(url: str) -> int:
    """The HTTP status of a GET.

    A certificate is not checked: the question is whether this container's own server answers.
    Nothing is sent, and nothing that comes back is used.

    Raises:
        OSError: nobody answers.
    """
    lax = ssl.create_default_context()
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=SECONDS, context=lax) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def main() -> None:
    """Exit with 0 if the expected status came, else say what came and exit with 1."""
    parser = argparse.ArgumentParser(description="Ask a server whether it is there.")
    parser.add_argument("url")
    parser.add_argument("--expect", type=int, default=200, help="the status of a healthy server")
    asked = parser.parse_args()
    try:
        found = status(asked.url)
    except OSError as error:
        sys.exit(f"{asked.url}: {error}")
    if found != asked.expect:
        sys.exit(f"{asked.url} answered {found}, expected {asked.expect}")


if __name__ == "__main__":
    main()
