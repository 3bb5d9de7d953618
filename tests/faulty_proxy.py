"""An HTTP proxy before an S3 server that misbehaves on demand, the way stores and networks do.

>>> with FaultyProxy("http://127.0.0.1:8333") as proxy:               # doctest: +SKIP
...     proxy.fail("PUT .*_delta_log", SlowDown(), times=2)
...     proxy.fail("GET .*parquet", Truncated())                      # every time, until heal()
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}


@dataclass(frozen=True)
class Answer:
    """What the store answered, or what the proxy says in its place."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Fault:
    """Does something to one request; by default it is forwarded and answered as it should be."""

    def play(self, handler: Handler, body: bytes) -> None:
        handler.answer(handler.forward(body))


@dataclass(frozen=True)
class Says(Fault):
    """Answers with an error of S3 in place of the store; ``after`` it did what was asked."""

    status: int
    code: str
    after: bool = False

    def play(self, handler: Handler, body: bytes) -> None:
        if self.after:
            handler.forward(body)
        text = f"<Error><Code>{self.code}</Code><Message>the proxy says so</Message></Error>"
        handler.answer(Answer(self.status, [("Content-Type", "application/xml")], text.encode()))


@dataclass(frozen=True)
class Reset(Fault):
    """Resets the connection, before the store hears of the request or ``after`` it did it."""

    after: bool = False

    def play(self, handler: Handler, body: bytes) -> None:
        if self.after:
            handler.forward(body)
        handler.reset()


@dataclass(frozen=True)
class Hangs(Fault):
    """Never answers; the connection stays open."""

    def play(self, handler: Handler, _body: bytes) -> None:
        handler.proxy.over.wait(60)
        handler.reset()


@dataclass(frozen=True)
class Trickles(Fault):
    """Answers a few bytes at a time: ``step`` bytes, then ``pause`` seconds."""

    step: int
    pause: float

    def play(self, handler: Handler, body: bytes) -> None:
        answer = handler.forward(body)
        handler.head(answer, len(answer.body))
        for start in range(0, len(answer.body), self.step):
            handler.wfile.write(answer.body[start : start + self.step])
            if handler.proxy.over.wait(self.pause):
                return


@dataclass(frozen=True)
class Truncated(Fault):
    """Promises the whole body and breaks off in the middle."""

    def play(self, handler: Handler, body: bytes) -> None:
        answer = handler.forward(body)
        handler.head(answer, len(answer.body))
        handler.wfile.write(answer.body[: len(answer.body) // 2])
        handler.wfile.flush()
        handler.reset()


@dataclass
class Armed:
    """A fault that waits for requests whose ``METHOD path`` matches."""

    pattern: re.Pattern[str]
    fault: Fault
    times: int | None
    hits: int = 0


@dataclass
class FaultyProxy:
    """Forwards to ``upstream``, except where a fault is armed.

    Attributes:
        endpoint: where clients connect, ``http://127.0.0.1:PORT``.
        seen: ``METHOD path`` of every request, with when it came (monotonic seconds).
    """

    upstream: str
    endpoint: str = ""
    seen: list[tuple[float, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _armed: list[Armed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> FaultyProxy:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {}))
        self._server.RequestHandlerClass.proxy = self  # type: ignore[attr-defined]
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, pattern: str, fault: Fault, times: int | None = None) -> Armed:
        """Arm a fault for the next ``times`` matching requests, or until :meth:`heal`."""
        armed = Armed(re.compile(pattern), fault, times)
        with self._lock:
            self._armed.append(armed)
        return armed

    def heal(self) -> None:
        """Disarm everything."""
        with self._lock:
            self._armed.clear()

    def fault_of(self, request: str) -> Fault:
        """The fault that this request meets; a plain forward for most."""
        with self._lock:
            self.seen.append((time.monotonic(), request))
            for armed in self._armed:
                if armed.pattern.search(request) and armed.hits != armed.times:
                    armed.hits += 1
                    return armed.fault
        return Fault()


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_args: object) -> None:
        """Stay silent."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.proxy.fault_of(f"{self.command} {self.path}").play(self, body)
        except OSError:  # a client that gave up, or a store that is down
            self.close_connection = True

    def forward(self, body: bytes) -> Answer:
        """What the store answers to this request, signed as it came."""
        store = http.client.HTTPConnection("127.0.0.1", urlsplit(self.proxy.upstream).port)
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP:
                    store.putheader(name, value)
            store.endheaders(body)
            found = store.getresponse()
            return Answer(found.status, found.getheaders(), found.read())
        finally:
            store.close()

    def answer(self, answer: Answer) -> None:
        """Send an answer whole."""
        self.head(answer, len(answer.body))
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def head(self, answer: Answer, length: int) -> None:
        """Send status and headers."""
        self.send_response_only(answer.status)
        given = {name.lower() for name, _ in answer.headers}
        for name, value in answer.headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        if "content-length" not in given:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
