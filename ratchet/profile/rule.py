"""One expectation in Great Expectations' own JSON."""

from __future__ import annotations

from typing import Any


def rule(level: str, kind: str, reason: str, **kwargs: Any) -> dict[str, Any]:
    """``level`` is row (failing rows are rejected) or batch; ``kind`` goes after ``expect_``."""
    return {
        "type": f"expect_{kind}",
        "kwargs": kwargs,
        "meta": {"level": level, "reason": reason},
    }
