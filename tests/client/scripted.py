"""A small real HTTP server that answers what a test tells it to, and remembers what it was asked.

It stands for what the real service cannot be made to do at will: refuse, break off, dawdle, babble.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TRANSCRIPTION: dict[str, Any] = {
    "id": "r-1",
    "model": {"name": "piano", "version": "1"},
    "duration_s": 2.0,
    "notes": [
        {"onset_s": 0.5, "offset_s": 1.0, "pitch": 60, "velocity": 64, "confidence": 0.9},
        {"onset_s": 1.0, "offset_s": 1.5, "pitch": 67, "velocity": 80, "confidence": 0.8},
    ],
    "key": {"fifths": -3, "mode": "major", "name": "E-flat major", "confidence": 0.7},
    "metre": {"beats": 3, "beat_type": 4, "confidence": 0.6},
    "tempo": {"bpm": 120.0, "beats_s": [0.5, 1.0, 1.5]},
    "timings_s": {"decode": 0.01, "model": 0.2},
    "files": [
        {
            "name": "tone.mid",
            "format": "midi",
            "media_type": "audio/midi",
            "size": 4,
            "href": "data:audio/midi;base64,TVRoZA==",
        }
    ],
}


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: Message
    body: bytes

    def parts(self) -> dict[str, bytes]:
        """The fields of a multipart form, by name, as the standard library reads them."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = BytesParser().parsebytes(head + self.body)
        return {
            str(part.get_param("name", header="Content-Disposition")): part.get_payload(decode=True)
            for part in form.get_payload()
        }


@dataclass
class Answer:
    """What to answer: a status, headers, a body, or a way to misbehave."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay_s: float = 0.0
    announced: int | None = None
    """The Content-Length to claim, when it is not the body's."""
    hang_up: bool = False
    """Close the connection instead of answering."""


def good(**changes: Any) -> Answer:
    """A transcription as the API documents it."""
    return Answer(body=json.dumps(TRANSCRIPTION | changes).encode())


def problem(status: int, slug: str, detail: str = "It is so.", **headers: str) -> Answer:
    """An RFC 9457 problem as the service writes it."""
    body = {
        "type": f"https://copyist.example/problems/{slug}",
        "title": "A title",
        "status": status,
        "detail": detail,
        "remedy": "Do otherwise.",
        "instance": "r-7",
    }
    return Answer(
        status,
        json.dumps(body).encode(),
        {name.replace("_", "-"): value for name, value in headers.items()},
        "application/problem+json",
    )


@dataclass
class Scripted:
    """The running server: set `answers`, read `asked`."""

    url: str
    answers: Callable[[Asked, int], Answer] = lambda asked, count: good()
    asked: list[Asked] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    ready: Answer = field(default_factory=lambda: Answer(body=b"ready", content_type="text/plain"))
    vanishing: bool = False
    """Whether to stop listening as soon as something has been answered."""

    def uploads(self) -> list[Asked]:
        """The requests to transcribe, without those that only asked how it is."""
        return [asked for asked in self.asked if asked.method == "POST"]

    def in_turn(self, *answers: Answer) -> None:
        """Answer uploads with these, one after another, then always with the last."""
        self.answers = lambda asked, count: answers[min(count, len(answers) - 1)]


@contextmanager
def serving() -> Iterator[Scripted]:
    """Run a scripted server on a free port of this machine."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            asked = Asked(self.command, self.path, self.headers, self._body())
            with lock:
                count = len(scripted.uploads())
                scripted.asked.append(asked)
                scripted.at_once += 1
                scripted.most_at_once = max(scripted.most_at_once, scripted.at_once)
            answer = scripted.ready if asked.path == "/readyz" else scripted.answers(asked, count)
            time.sleep(answer.delay_s)
            with lock:
                scripted.at_once -= 1
            if scripted.vanishing:
                server.socket.close()
                self.close_connection = True
            self._write(answer)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _write(self, answer: Answer) -> None:
            if answer.hang_up:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            announced = len(answer.body) if answer.announced is None else answer.announced
            self.send_header("Content-Length", str(announced))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            if announced != len(answer.body):
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scripted = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
