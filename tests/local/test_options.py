from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.local.errors import StackError
from services.local.options import StackOptions, check_ports, private
from services.runtime.settings import Settings


def test_options_survive_the_way_through_the_environment(tmp_path: Path) -> None:
    options = private(tmp_path)
    assert StackOptions.from_environment(options.variables) == options


def test_the_services_are_told_of_the_same_places(tmp_path: Path) -> None:
    options = private(tmp_path)
    settings = Settings.from_environment(options.variables)
    assert settings.triton_url == f"127.0.0.1:{options.triton_grpc_port}"
    assert settings.amt_http_port == options.amt_http_port
    assert settings.amt_grpc_port == options.amt_grpc_port
    assert settings.omr_http_port == options.omr_http_port
    assert settings.omr_grpc_port == options.omr_grpc_port
    assert settings.model_repository == options.model_repository


def test_a_private_stack_has_ports_of_its_own(tmp_path: Path) -> None:
    ports = private(tmp_path).ports()
    assert len(ports) == len(set(ports.values())) == 7


@pytest.mark.parametrize(
    "variables",
    [
        {"COPYIST_TRITON_URL": "gpu-7:8001"},
        {"COPYIST_TRITON_URL": "127.0.0.1:http"},
        {"COPYIST_TRITON_HTTP_PORT": "many"},
        {"COPYIST_AMT_HTTP_PORT": "0"},
    ],
)
def test_values_that_cannot_be_used_are_named(variables: dict[str, str]) -> None:
    with pytest.raises(StackError) as failure:
        StackOptions.from_environment(variables)
    assert next(iter(variables.values())) in failure.value.detail


def test_a_taken_port_is_named_with_its_purpose(tmp_path: Path) -> None:
    options = private(tmp_path)
    check_ports(options)
    with socket.socket() as other:
        other.bind(("127.0.0.1", options.triton_http_port))
        other.listen()
        said = rf"port {options.triton_http_port}, for Triton's HTTP, cannot be used: address already in use"
        with pytest.raises(StackError, match=said):
            check_ports(options)
