"""What the services document, held against what they answer: calls are made of their OpenAPI documents.

Half of the calls are as documented, half are not; files are whole or random bytes; jobs exist or do not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.local.stack import LocalStack
from tests.fuzz.seeds import seeds
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 25
WHOLE = {"amt": seeds("mp3")[0], "omr": seeds("png")[1]}
OPERATIONS = {
    "amt": ("/v1/transcribe",),
    "omr": ("/v1/recognize", "/v1/restore"),
}
COMMON = (
    *("/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/events", "/v1/jobs/{id}/files/{name}"),
    *("/v1/models", "/livez", "/readyz", "/metrics"),
)


class Service:
    """A running service, its document, and a completed job with its files."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        with httpx.Client(base_url=url, timeout=60) as http:
            self.document: dict[str, Any] = http.get("/docs/openapi.json").json()
            submitted = http.post("/v1/jobs", files={"file": WHOLE[name]}, data={"formats": "midi"})
            assert submitted.status_code in (200, 202), submitted.text
            self.job = submitted.json()
            deadline = time.monotonic() + PATIENCE_S
            while self.job["state"] != "completed":
                assert time.monotonic() < deadline, self.job
                assert self.job["state"] != "failed", self.job
                time.sleep(0.2)
                self.job = http.get(f"/v1/jobs/{self.job['id']}").json()
        self.schema = schemathesis.openapi.from_dict(self.document)


@pytest.fixture(scope="module", params=["amt", "omr"])
def service(request: pytest.FixtureRequest, stack: LocalStack) -> Iterator[Service]:
    url = {"amt": stack.http_url, "omr": stack.omr_http_url}[request.param]
    yield Service(request.param, url)


def test_all_that_is_documented_is_tried(service: Service) -> None:
    assert set(service.document["paths"]) == {*OPERATIONS[service.name], *COMMON}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_answers_are_as_documented(service: Service, mode: GenerationMode) -> None:
    failures: list[Exception] = []
    for found in service.schema.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.headers):
            continue

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
        def conforms(case: Any, existing: bool) -> None:
            if existing and isinstance(case.body, dict) and "file" in case.body:
                case.body["file"] = WHOLE[service.name]
            if existing and case.path_parameters and case.method != "DELETE":
                case.path_parameters["id"] = service.job["id"]
                if "name" in case.path_parameters:
                    case.path_parameters["name"] = service.job["files"][0]["name"]
            case.validate_response(case.call(base_url=service.url), checks=CHECKS)

        try:
            conforms()
        except Exception as failure:
            failure.add_note(f"{operation.method.upper()} {operation.path}, {mode.value} calls")
            failures.append(failure)
    if failures:
        raise ExceptionGroup("not as documented", failures)
