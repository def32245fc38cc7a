"""Settings from environment variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime.settings import Settings


def test_absent_and_empty_variables_leave_the_defaults() -> None:
    assert Settings.from_environment({"COPYIST_AMT_HTTP_PORT": "", "OTHER": "1"}) == Settings()


def test_each_kind_of_value_is_read() -> None:
    settings = Settings.from_environment(
        {
            "COPYIST_TRITON_URL": "triton:8001",
            "COPYIST_MODEL_REPOSITORY": "/models",
            "COPYIST_MAX_AUDIO_S": " 60 ",
        }
    )
    assert settings == Settings(triton_url="triton:8001", model_repository=Path("/models"), max_audio_s=60)


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
def test_bad_numbers_name_their_variable(text: str) -> None:
    with pytest.raises(ValueError, match="COPYIST_AMT_WORKERS must be a whole number above 0"):
        Settings.from_environment({"COPYIST_AMT_WORKERS": text})


@pytest.mark.parametrize(
    ("text", "on"), [("on", True), ("TRUE", True), ("1", True), ("off", False), ("0", False)]
)
def test_switches_are_read(text: str, on: bool) -> None:
    assert Settings.from_environment({"COPYIST_AUTH": text}).auth is on


def test_a_switch_that_is_neither_on_nor_off_names_its_variable() -> None:
    with pytest.raises(ValueError, match="COPYIST_AUTH must be on or off"):
        Settings.from_environment({"COPYIST_AUTH": "maybe"})
