"""A stand-in for the Kubernetes API server, for as much of it as Copyist uses.

It follows the API's conventions: resource versions that rise over all objects, watches that begin after a
version and end with a bookmark, expired versions (410), optimistic locks (409), strict checks against the
kind's published schema (400), quantities kept as texts, label and field selectors, rights by verb and
resource (403), bearer tokens (401), and `Status` objects for every failure.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubernetes_validate import ValidationError, validate

TOKEN = "the-service-account's"
NAMESPACE = "copyist"
KINDS = {
    "jobs": ("batch/v1", "Job"),
    "cronjobs": ("batch/v1", "CronJob"),
    "trainjobs": ("trainer.kubeflow.org/v1alpha1", "TrainJob"),
    "pods": ("v1", "Pod"),
    "configmaps": ("v1", "ConfigMap"),
}
QUANTITIES = ("limits", "requests")
PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[a-z.]+)/v1(?:alpha1)?)/namespaces/(?P<namespace>[^/]+)/(?P<resource>[a-z]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<sub>log))?)?"
)


@dataclass(frozen=True)
class Call:
    """One request, in RBAC's words."""

    verb: str
    group: str
    resource: str
    name: str
    query: dict[str, str]

    @property
    def right(self) -> tuple[str, str, str]:
        """What a Role must allow for it."""
        return self.verb, self.group, self.resource


class RefusalError(Exception):
    """A `Status` that says no."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of, or after, what it asks for."""

    status: int = 0  # 0: the connection is dropped
    carried_out: bool = False
    retry_after_s: int | None = None


@dataclass
class ApiServer:
    """The state of the stand-in.

    Attributes:
        rights: (verb, group, resource) of what is allowed; None for everything.
        calls: every request so far.
        faults: for the next requests, first in first out.
        gone_as_event: whether an expired watch is told of by an event (with status 200) or by status 410.
        break_watches: how many of the next watches break in the middle of an event.
    """

    rights: set[tuple[str, str, str]] | None = None
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    gone_as_event: bool = True
    break_watches: int = 0
    url: str = ""
    _objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _events: list[tuple[int, str, str, dict[str, Any]]] = field(default_factory=list)
    _version: int = 100
    _oldest: int = 0
    _logs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    # ---- what controllers and other clients do

    def put(self, resource: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object, or replace it."""
        key = (resource, body["metadata"]["name"])
        with self._changed:
            now = self._objects.get(key)
            return self._store("MODIFIED" if now else "ADDED", key, {**deepcopy(now or {}), **deepcopy(body)})

    def set_job(self, name: str, **status: Any) -> None:
        """Set a Job's status as its controller would."""
        with self._changed:
            job = deepcopy(self._objects["jobs", name])
            job["status"] = status
            self._store("MODIFIED", ("jobs", name), job)

    def add_pod(
        self, job: str, name: str, log: str, *, phase: str = "Running", created: str = "2026-01-01T00:00:00Z"
    ) -> None:
        """Add a pod of a Job, with what it has written."""
        metadata = {
            "name": name,
            "labels": {"batch.kubernetes.io/job-name": job},
            "creationTimestamp": created,
        }
        self.put("pods", {"metadata": metadata, "status": {"phase": phase}})
        for line in log.splitlines(keepends=True):
            self.write(name, line)

    def write(self, pod: str, line: str, at: str | None = None) -> None:
        """Let a pod write a line, now or at a moment such as 2026-01-01T00:00:00.5Z."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._logs.setdefault(pod, []).append((at or now, line))

    def set_status(self, resource: str, name: str, **status: Any) -> None:
        """Set some of an object's status, as its controller or its kubelet would."""
        with self._changed:
            body = deepcopy(self._objects[resource, name])
            body["status"] = {**body.get("status", {}), **status}
            self._store("MODIFIED", (resource, name), body)

    def names(self, resource: str) -> list[str]:
        """The names of all objects of a resource."""
        with self._changed:
            return sorted(name for kind, name in self._objects if kind == resource)

    def remove(self, resource: str, name: str) -> None:
        """Delete an object."""
        with self._changed:
            self._store("DELETED", (resource, name), self._objects.pop((resource, name)))

    def forget_history(self) -> None:
        """Drop what happened so far: versions up to now can no longer be watched from."""
        with self._changed:
            self._version += 1
            self._oldest = self._version
            self._events.clear()
            self._changed.notify_all()

    def object(self, resource: str, name: str) -> dict[str, Any]:
        """An object as it is."""
        return deepcopy(self._objects[resource, name])

    def _store(self, event: str, key: tuple[str, str], body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        api_version, kind = KINDS[key[0]]
        metadata = {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **body["metadata"],
            "namespace": NAMESPACE,
            "resourceVersion": str(self._version),
        }
        stored = {"apiVersion": api_version, "kind": kind, **_canonical(body), "metadata": metadata}
        if event != "DELETED":
            self._objects[key] = stored
        self._events.append((self._version, event, key[0], stored))
        self._changed.notify_all()
        return deepcopy(stored)

    # ---- what requests do

    def allow(self, call: Call) -> None:
        """Refuse what no right covers, in the words of the API server."""
        if self.rights is not None and call.right not in self.rights:
            raise RefusalError(
                403,
                "Forbidden",
                f'{_plural(call.resource)} "{call.name}" is forbidden: '
                f'User "system:serviceaccount:{NAMESPACE}:copyist-retrain" '
                f'cannot {call.verb} resource "{call.resource}" in API group "{call.group}" '
                f'in the namespace "{NAMESPACE}"',
            )

    def get(self, resource: str, name: str) -> dict[str, Any]:
        """Read one."""
        with self._changed:
            if (resource, name) not in self._objects:
                raise RefusalError(404, "NotFound", f'{_plural(resource)} "{name}" not found')
            return deepcopy(self._objects[resource, name])

    def list(self, resource: str, query: dict[str, str]) -> dict[str, Any]:
        """List what the selectors choose."""
        with self._changed:
            items = [
                deepcopy(body)
                for (kind, _), body in sorted(self._objects.items())
                if kind == resource and _selected(body, query)
            ]
            api_version, kind = KINDS[resource]
            return {
                "apiVersion": api_version,
                "kind": f"{kind}List",
                "metadata": {"resourceVersion": str(self._version)},
                "items": items,
            }

    def create(self, resource: str, body: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        """Create one."""
        if query.get("fieldValidation") == "Strict" and resource == "jobs":
            try:
                validate(body, "1.35", strict=True)
            except ValidationError as error:
                path = ".".join(map(str, error.path))
                message = f'Job in version "v1" cannot be handled as a Job: strict decoding error: {path}: '
                raise RefusalError(400, "BadRequest", message + error.message) from error
        name = body["metadata"].get("name", "")
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name):
            raise RefusalError(
                422, "Invalid", f'Job.batch "{name}" is invalid: metadata.name: Invalid value: "{name}"'
            )
        with self._changed:
            if (resource, name) in self._objects:
                raise RefusalError(409, "AlreadyExists", f'{_plural(resource)} "{name}" already exists')
            return self._store("ADDED", (resource, name), {**body, "status": {}})

    def patch(self, resource: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
        """Change one by a merge patch (RFC 7386); a resource version in it is a lock."""
        with self._changed:
            now = self.get(resource, name)
            asked = change.get("metadata", {}).get("resourceVersion")
            if asked is not None and asked != now["metadata"]["resourceVersion"]:
                raise RefusalError(
                    409,
                    "Conflict",
                    f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified; '
                    "please apply your changes to the latest version and try again",
                )
            return self._store("MODIFIED", (resource, name), _merged(now, change))

    def delete(self, resource: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Delete one; with `Background`, its pods go too."""
        gone = self.get(resource, name)
        self.remove(resource, name)
        if body.get("propagationPolicy") == "Background":
            owners = ("batch.kubernetes.io/job-name", "jobset.sigs.k8s.io/jobset-name")
            for (kind, pod), found in list(self._objects.items()):
                labels = found["metadata"].get("labels", {})
                if kind == "pods" and name in [labels.get(owner) for owner in owners]:
                    self.remove("pods", pod)
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Success",
            "details": {"uid": gone["metadata"]["uid"]},
        }

    def log(self, pod: str, query: dict[str, str]) -> str:
        """What a pod has written."""
        if self.get("pods", pod)["status"]["phase"] == "Pending":
            message = f'container "step" in pod "{pod}" is waiting to start: ContainerCreating'
            raise RefusalError(400, "BadRequest", message)
        written = list(self._logs.get(pod, ()))
        if "sinceSeconds" in query:
            first = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
            written = [each for each in written if datetime.fromisoformat(each[0]) >= first]
        stamped = query.get("timestamps") == "true"
        lines = [f"{at} {line}" if stamped else line for at, line in written]
        if "tailLines" in query:
            lines = lines[-int(query["tailLines"]) :]
        return "".join(lines)[: int(query.get("limitBytes", 1 << 30))]

    def watch(self, resource: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Events after a version, until time is up."""
        seen = int(query["resourceVersion"])
        deadline = time.monotonic() + int(query["timeoutSeconds"])
        while True:
            with self._changed:
                if seen < self._oldest:
                    gone = RefusalError(410, "Expired", f"too old resource version: {seen} ({self._oldest})")
                    if not self.gone_as_event:
                        raise gone
                    yield {"type": "ERROR", "object": gone.body}
                    return
                fresh = [event for event in self._events if event[0] > seen]
                if not fresh:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._changed.wait(left):
                        break
                    continue
            for version, event, kind, body in fresh:
                seen = version
                if kind == resource and _selected(body, query):
                    yield {"type": event, "object": body}
        if query.get("allowWatchBookmarks") == "true":
            api_version, kind = KINDS[resource]
            metadata = {"resourceVersion": str(seen), "creationTimestamp": None}
            yield {
                "type": "BOOKMARK",
                "object": {"apiVersion": api_version, "kind": kind, "metadata": metadata},
            }


def _group(resource: str) -> str:
    """The API group of a resource; empty for the core."""
    group, _, version = KINDS[resource.partition("/")[0]][0].partition("/")
    return group if version else ""


def _plural(resource: str) -> str:
    """What the API server calls a resource in its messages."""
    return f"{resource}.{_group(resource)}" if _group(resource) else resource


def _canonical(body: Any, *, quantities: bool = False) -> Any:
    """The object as it is stored: quantities, which may come as numbers, are texts."""
    if isinstance(body, dict):
        return {
            key: _canonical(
                value, quantities=quantities if not isinstance(value, dict) else key in QUANTITIES
            )
            for key, value in body.items()
        }
    if isinstance(body, list):
        return [_canonical(item) for item in body]
    return str(body) if quantities else body


def _selected(body: dict[str, Any], query: dict[str, str]) -> bool:
    labels = body["metadata"].get("labels", {})
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value:
            return False
    selector = query.get("fieldSelector", "")
    if not selector:
        return True
    path, _, value = selector.partition("=")
    assert path == "metadata.name", selector
    return bool(body["metadata"]["name"] == value)


def _merged(now: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    merged = dict(now) if isinstance(now, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the stand-in."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """get, list, watch."""
        self._serve("GET")

    def do_POST(self) -> None:
        """create."""
        self._serve("POST")

    def do_PATCH(self) -> None:
        """patch."""
        self._serve("PATCH")

    def do_DELETE(self) -> None:
        """delete."""
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        api = self.server.api
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        try:
            call = self._call(method)
            api.calls.append(call)
            fault = api.faults.pop(0) if api.faults else None
            if fault and not fault.carried_out:
                return self._fail(fault)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise RefusalError(401, "Unauthorized", "Unauthorized")
            api.allow(call)
            answer = self._answer(call, body)
            if fault:
                return self._fail(fault)
        except RefusalError as refusal:
            return self._send(refusal.code, refusal.body)
        if isinstance(answer, str):
            return self._send_text(answer)
        if isinstance(answer, dict):
            return self._send(201 if call.verb == "create" else 200, answer)
        return self._stream(answer)

    def _call(self, method: str) -> Call:
        parts = urlsplit(self.path)
        found = PATH.fullmatch(parts.path)
        if not found or found["namespace"] != NAMESPACE or found["resource"] not in KINDS:
            raise RefusalError(404, "NotFound", "the server could not find the requested resource")
        if (found["group"] or "") != _group(found["resource"]):
            raise RefusalError(404, "NotFound", "the server could not find the requested resource")
        query = dict(parse_qsl(parts.query))
        name = found["name"] or ""
        several = "watch" if query.get("watch") == "true" else "list"
        verb = {"GET": "get" if name else several, "POST": "create", "PATCH": "patch", "DELETE": "delete"}[
            method
        ]
        resource = found["resource"] + (f"/{found['sub']}" if found["sub"] else "")
        return Call(verb, found["group"] or "", resource, name, query)

    def _answer(self, call: Call, body: dict[str, Any]) -> dict[str, Any] | str | Iterable[dict[str, Any]]:
        api = self.server.api
        if call.resource == "pods/log":
            return api.log(call.name, call.query)
        if call.verb == "watch":
            events = api.watch(call.resource, call.query)
            return events if api.gone_as_event else _begun(events)
        if call.verb == "patch" and self.headers["Content-Type"] != "application/merge-patch+json":
            raise RefusalError(
                415, "UnsupportedMediaType", f"unsupported patch type {self.headers['Content-Type']}"
            )
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "get": lambda: api.get(call.resource, call.name),
            "list": lambda: api.list(call.resource, call.query),
            "create": lambda: api.create(call.resource, body, call.query),
            "patch": lambda: api.patch(call.resource, call.name, body),
            "delete": lambda: api.delete(call.resource, call.name, {**call.query, **body}),
        }
        return answers[call.verb]()

    def _fail(self, fault: Fault) -> None:
        if not fault.status:
            self.close_connection = True
            self.connection.close()
            return
        refusal = RefusalError(fault.status, "Failure", "apiserver not ready")
        self._send(fault.status, refusal.body, retry_after_s=fault.retry_after_s)

    def _send(self, status: int, body: dict[str, Any], *, retry_after_s: int | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        self.end_headers()
        self.wfile.write(data)

    def _send_text(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _stream(self, events: Iterable[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in events:
                line = json.dumps(event).encode() + b"\n"
                if self.server.api.break_watches and event["type"] != "BOOKMARK":
                    self.server.api.break_watches -= 1
                    self.wfile.write(b"%x\r\n%s" % (len(line), line[: len(line) // 2]))
                    self.close_connection = True
                    return
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has left
            self.close_connection = True


def _begun(events: Iterator[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """The same events, where the first was waited for: what is refused is refused by status."""
    first = next(events, None)
    return [] if first is None else _and(first, events)


def _and(first: dict[str, Any], events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from events


class Server(ThreadingHTTPServer):
    """The HTTP server of one stand-in."""

    daemon_threads = True

    def __init__(self, api: ApiServer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.api = api

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was dropped on purpose is no news."""


@contextmanager
def serving(api: ApiServer) -> Iterator[ApiServer]:
    """Serve it on a free port, for as long as this lasts."""
    server = Server(api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
