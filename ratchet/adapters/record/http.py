"""A source of record behind a small HTTP service.

``POST {uri}/lookup`` with ``{"keys": [...]}`` and ``POST {uri}/sample`` with ``{"start": ...,
"end": ..., "rows": ..., "seed": ...}`` (times as ISO 8601, or integers on an integer clock) both
answer ``{"rows": [{column: value, ...}, ...]}``. ``RATCHET_RECORD_PASSWORD`` is sent as a bearer
token.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ratchet.errors import DefinitionError, StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import SecretStr

    from ratchet.contracts.definition import Definition

TRIES = 3
SECONDS = 10.0
LARGEST = 16 * 2**20  # bytes of one answer


class HttpRecord:
    """Asks the service; https only, but for this machine itself."""

    def __init__(self, definition: Definition, token: SecretStr | None) -> None:
        assert definition.record is not None  # noqa: S101  the caller looked
        self._uri = definition.record.uri.rstrip("/")
        self._definition, self._token = definition, token
        parts = urlsplit(self._uri)
        if parts.scheme == "http" and not _loopback(parts.hostname or ""):
            raise DefinitionError("record.uri: http is for this machine only; use https")
        if parts.username or parts.password:
            raise DefinitionError(
                "record.uri: it holds a password; set RATCHET_RECORD_PASSWORD instead"
            )

    def lookup(self, keys: Sequence[str]) -> pa.Table:
        """See :class:`ratchet.contracts.seams.SourceOfRecord`."""
        return self._ask("lookup", {"keys": list(keys)})

    def sample(self, start: int, end: int, rows: int, seed: int) -> pa.Table:
        """See :class:`ratchet.contracts.seams.SourceOfRecord`."""
        clock = self._definition.calendar.clock
        first, last = (t if clock.kind == "integer" else clock.show(t) for t in (start, end))
        return self._ask("sample", {"start": first, "end": last, "rows": rows, "seed": seed})

    def _ask(self, what: str, body: Mapping[str, Any]) -> pa.Table:
        import httpx

        headers = {}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        reason = ""
        for _ in range(TRIES):
            try:
                with (
                    httpx.Client(timeout=SECONDS, trust_env=False, headers=headers) as client,
                    client.stream("POST", f"{self._uri}/{what}", json=body) as answer,
                ):
                    if answer.status_code < 500:
                        return self._read(what, answer)
                    reason = f"status {answer.status_code}"
            except httpx.HTTPError as error:
                reason = type(error).__name__
        raise StorageError(f"record {self._uri}/{what}: no answer after {TRIES} tries: {reason}")

    def _read(self, what: str, answer: Any) -> pa.Table:
        import pyarrow as pa

        if answer.status_code != 200:
            raise StorageError(f"record {self._uri}/{what}: status {answer.status_code}, not 200")
        data = b""
        for part in answer.iter_bytes():
            data += part
            if len(data) > LARGEST:
                raise StorageError(
                    f"record {self._uri}/{what}: the answer is over {LARGEST // 2**20} MiB"
                )
        definition = self._definition
        names = [*definition.source.key, definition.time.column, *definition.features]
        names = list(dict.fromkeys([*names, definition.label.column]))
        try:
            rows = json.loads(data)["rows"]
            missing = sorted({n for row in rows for n in names if n not in row})
            if missing:
                raise StorageError(f"record {self._uri}/{what}: columns missing: {missing}")
            return pa.table({n: pa.array([row[n] for row in rows]) for n in names})
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise StorageError(
                f"record {self._uri}/{what}: not the expected JSON: {error!r}"
            ) from error


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
