"""A TCP proxy that cuts a connection at the worst moment.

>>> with CuttingProxy("http://127.0.0.1:8333") as proxy:              # doctest: +SKIP
...     proxy.cut(b"_delta_log/", "answer")   # the next such PUT is done, its answer is lost
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit


class CuttingProxy:
    """Forwards bytes between clients and ``upstream``; :meth:`cut` arms one cut.

    Attributes:
        endpoint: where clients connect, ``http://127.0.0.1:PORT``.
        cuts: how many connections were cut so far.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = ("127.0.0.1", urlsplit(upstream).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._armed: tuple[bytes, str] | None = None
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._close(self._listener, *self._open)

    def cut(self, mark: bytes, when: Literal["request", "answer"]) -> None:
        """Cut the next PUT whose head has ``mark``: its request, or its answer, is lost."""
        self._armed = (mark, when)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
                self._open += [client, server]
                doomed = threading.Event()
                for work in (self._forward, self._answer):
                    args = (client, server, doomed)
                    threading.Thread(target=work, args=args, daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, doomed: threading.Event):
        with suppress(OSError):
            while data := client.recv(65_536):
                if self._is_marked(data):
                    if self._fire() == "request":
                        break
                    doomed.set()
                server.sendall(data)
        self._close(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, doomed: threading.Event):
        with suppress(OSError):
            while data := server.recv(65_536):
                if doomed.is_set():
                    break
                client.sendall(data)
        self._close(client, server)

    def _is_marked(self, data: bytes) -> bool:
        head = data.split(b"\r\n", 1)[0]
        return bool(self._armed) and head.startswith(b"PUT ") and self._armed[0] in head

    def _fire(self) -> str:
        with self._lock:
            when = self._armed[1] if self._armed else ""
            self._armed = None
            self.cuts += 1
            return when

    @staticmethod
    def _close(*sockets: socket.socket) -> None:
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
