"""Chat, mail and paging services by Apprise: one address, one target.

>>> AppriseTarget("slack://...", 1).name
'slack-1'

The address holds a token or a password, so it is in no name, error or log line; Apprise's own log
is shut, because it would tell hosts and users.
"""

from __future__ import annotations

import logging

from ratchet.contracts.notice import Notice
from ratchet.errors import NotifyError

LONGEST_SCHEME = 12  # characters; what is longer is not shown


class AppriseTarget:
    """:class:`~ratchet.contracts.seams.Notifier` by one Apprise address; ``number`` names it."""

    def __init__(self, url: str, number: int) -> None:
        scheme, mark, _ = url.partition("://")  # without the mark it may be the secret itself
        plain = mark and scheme.isalpha() and len(scheme) < LONGEST_SCHEME
        self.name = f"{scheme.lower() if plain else 'apprise'}-{number}"
        self._url, self._number = url, number

    def __repr__(self) -> str:
        return f"AppriseTarget({self.name!r})"

    def send(self, notice: Notice, seconds: float) -> None:
        """Send it as plain text; Apprise escapes that for services that speak HTML."""
        import apprise

        del seconds  # the caller's bound holds; Apprise itself waits 4 s to connect and 4 to read
        logging.getLogger("apprise").disabled = True
        target = apprise.Apprise()
        if not target.add(self._url):
            raise NotifyError(
                f"{self.name}: address {self._number} of RATCHET_NOTIFY_URLS is none that Apprise "
                "can read"
            )
        kind = apprise.NotifyType.INFO if notice.event == "promoted" else apprise.NotifyType.WARNING
        sent = target.notify(
            body=notice.text,
            title=notice.title,
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not sent:
            raise NotifyError(f"{self.name}: the service did not take the message")
