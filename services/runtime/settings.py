"""The settings of a running service, each from one environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "COPYIST_"
MIB: Final = 1 << 20


def _setting(default: Any, meaning: str, *, least: int | None = None) -> Any:
    return field(default=default, metadata={"meaning": meaning, "least": least})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set; the variable of `triton_url` is `COPYIST_TRITON_URL`, and so on."""

    triton_url: str = _setting("127.0.0.1:8001", "host:port of Triton's gRPC endpoint")
    triton_timeout_s: int = _setting(
        60, "seconds that one inference call may take, waiting in Triton's queue included", least=1
    )
    model_repository: Path = _setting(
        Path("model_repository"), "folder in Triton's layout; the models' cards are read from it"
    )
    host: str = _setting("127.0.0.1", "address that the HTTP and gRPC servers listen on")
    amt_http_port: int = _setting(3000, "port of the audio service's HTTP API", least=1)
    amt_grpc_port: int = _setting(3001, "port of the audio service's gRPC API", least=0)
    amt_workers: int = _setting(1, "processes that serve the audio service", least=1)
    max_upload_bytes: int = _setting(128 * MIB, "largest accepted upload, in bytes", least=1)
    max_audio_s: int = _setting(7200, "longest accepted recording, in seconds", least=1)
    max_transcriptions: int = _setting(
        4, "recordings transcribed at once by one process; more are answered 429", least=1
    )
    chunks_in_flight: int = _setting(
        4, "chunks of one recording that may be at the model server at once", least=1
    )
    engraving_processes: int = _setting(
        1, "processes that write scores and engrave pages, for each serving process", least=1
    )
    max_engraving_s: int = _setting(
        300, "seconds that writing and engraving one score may take", least=1
    )
    request_timeout_s: int = _setting(
        3600, "seconds after which a request is given up, whatever it is doing", least=1
    )
    drain_s: int = _setting(
        30, "seconds that running gRPC calls get to finish when the service stops", least=0
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; a variable that is absent or empty leaves the default.

        Raises:
            ValueError: naming the variable, when a value is not a number or is too small.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            variable = PREFIX + setting.name.upper()
            text = environment.get(variable, "").strip()
            if text:
                values[setting.name] = _parsed(
                    variable, text, type(setting.default), setting.metadata["least"]
                )
        return cls(**values)


def _parsed(variable: str, text: str, kind: type, least: int | None) -> Any:
    if not issubclass(kind, int):
        return Path(text) if issubclass(kind, Path) else text
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{variable} must be a whole number, not {text!r}.") from None
    if least is not None and number < least:
        raise ValueError(f"{variable} must be at least {least}, not {number}.")
    return number
