"""A target that keeps what it was told: for tests, and to look at what would be sent.

>>> kept = KeptNotices()
>>> kept.notices
[]
"""

from __future__ import annotations

from ratchet.contracts.notice import Notice
from ratchet.errors import NotifyError


class KeptNotices:
    """:class:`~ratchet.contracts.seams.Notifier` in memory; refuses all while ``broken`` is set."""

    def __init__(self, name: str = "kept") -> None:
        self.name = name
        self.notices: list[Notice] = []
        self.broken = ""

    def send(self, notice: Notice, seconds: float) -> None:
        """Keep the notice."""
        del seconds
        if self.broken:
            raise NotifyError(f"{self.name}: {self.broken}")
        self.notices.append(notice)
