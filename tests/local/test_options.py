from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from services.local.errors import StackError
from services.local.options import MONITORING, PROGRAMS, StackOptions, check_ports, private
from services.runtime.settings import Settings
from services.triton.environment import REPOSITORY_ROOT


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
    assert settings.amt_worker_port == options.amt_worker_port
    assert settings.omr_worker_port == options.omr_worker_port
    assert settings.sync_port == options.sync_port
    assert settings.model_repository == options.model_repository
    assert settings.database_url == options.database_url
    assert settings.files_url == options.files_url


def test_data_lie_in_the_repository_wherever_the_stack_is_started_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    data = REPOSITORY_ROOT / ".data"
    ordinary = StackOptions.from_environment({})
    assert ordinary == StackOptions()
    assert (ordinary.database_url, ordinary.files_url) == (
        f"sqlite:///{data}/copyist.sqlite",
        str(data / "files"),
    )
    elsewhere = {"COPYIST_DATABASE_URL": "postgresql://host/copyist", "COPYIST_FILES_URL": "s3://bucket/jobs"}
    told = StackOptions.from_environment(elsewhere)
    assert (told.database_url, told.files_url) == tuple(elsewhere.values())
    absolute = StackOptions.from_environment(
        {"COPYIST_DATABASE_URL": "sqlite:////srv/jobs.sqlite", "COPYIST_FILES_URL": "/srv/files"}
    )
    assert (absolute.database_url, absolute.files_url) == ("sqlite:////srv/jobs.sqlite", "/srv/files")
    own = private(tmp_path)
    assert own.database_url == f"sqlite:///{tmp_path}/data/copyist.sqlite"
    assert own.files_url == f"{tmp_path}/data/files"


def test_a_private_stack_has_ports_of_its_own(tmp_path: Path) -> None:
    ports = replace(private(tmp_path), programs=(*PROGRAMS, *MONITORING)).ports()
    assert len(ports) == len(set(ports.values())) == 14


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
