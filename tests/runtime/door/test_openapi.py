"""The OpenAPI descriptions tell what is asked of callers, where something is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.amt import openapi as amt
from services.omr import openapi as omr
from services.runtime.settings import Settings

SPECIFICATIONS = [amt.specification, omr.specification]
METHODS = ("get", "head", "post", "put", "patch", "delete")


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, item[method]


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_with_the_door_on_keys_are_asked_for(specification: Callable[[Settings], dict[str, Any]]) -> None:
    described = specification(Settings(auth=True))
    assert described["security"] == [{"bearer": []}, {"apiKey": []}]
    assert set(described["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    open_paths = set()
    for path, operation in _operations(described):
        if operation.get("security") == []:
            open_paths.add(path)
            continue
        assert {"401", "403", "429", "503"} <= set(operation["responses"]), path
        for status in ("429", "503"):
            assert "Retry-After" in operation["responses"][status]["headers"]
    assert open_paths == {"/livez", "/readyz", "/metrics"}


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_with_the_door_off_none_is(specification: Callable[[Settings], dict[str, Any]]) -> None:
    described = specification(Settings())
    assert "security" not in described
    assert "securitySchemes" not in described["components"]
    assert not any("401" in operation["responses"] for _, operation in _operations(described))


@pytest.mark.parametrize("specification", SPECIFICATIONS)
@pytest.mark.parametrize("auth", [True, False])
def test_uploads_may_be_too_slow(specification: Callable[[Settings], dict[str, Any]], auth: bool) -> None:
    uploads = [
        operation
        for _, operation in _operations(specification(Settings(auth=auth)))
        if "requestBody" in operation
    ]
    assert uploads
    assert all({"408", "413"} <= set(operation["responses"]) for operation in uploads)
