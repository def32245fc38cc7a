"""The settings of a running service, each from one environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "COPYIST_"
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set; the variable of `triton_url` is `COPYIST_TRITON_URL`, and so on.

    Attributes:
        triton_url: host:port of Triton's gRPC endpoint.
        triton_timeout_s: seconds that one inference call may take, waiting in Triton's queue included.
        model_repository: folder in Triton's layout; the models' cards are read from it.
        host: address that the HTTP and gRPC servers listen on.
        amt_http_port: port of the audio service's HTTP API.
        amt_grpc_port: port of the audio service's gRPC API.
        amt_workers: processes that serve the audio service.
        omr_http_port: port of the page service's HTTP API.
        omr_grpc_port: port of the page service's gRPC API.
        omr_workers: processes that serve the page service.
        max_upload_bytes: largest accepted upload, in bytes.
        max_audio_s: longest accepted recording, in seconds.
        max_pages: most pages accepted in one request.
        max_page_pixels: largest accepted picture of a page, in pixels.
        max_recognitions: requests for pages served at once by one process; more are answered 429.
        pages_in_flight: pages read at once by one process, over all requests.
        tiles_in_flight: tiles of one page that may be at the model server at once.
        max_transcriptions: recordings transcribed at once by one process; more are answered 429.
        chunks_in_flight: chunks of one recording that may be at the model server at once.
        engraving_processes: processes that write and engrave scores, for each serving process.
        max_engraving_s: seconds that writing and engraving one score may take.
        request_timeout_s: seconds after which a request is given up, whatever it is doing.
        drain_s: seconds that running gRPC calls get to finish when the service stops.
    """

    triton_url: str = "127.0.0.1:8001"
    triton_timeout_s: int = 60
    model_repository: Path = Path("model_repository")
    host: str = "127.0.0.1"
    amt_http_port: int = 3000
    amt_grpc_port: int = 3001
    amt_workers: int = 1
    omr_http_port: int = 3002
    omr_grpc_port: int = 3003
    omr_workers: int = 1
    max_upload_bytes: int = 128 * MIB
    max_audio_s: int = 7200
    max_pages: int = 100
    max_page_pixels: int = 100_000_000
    max_recognitions: int = 8
    pages_in_flight: int = 3
    tiles_in_flight: int = 4
    max_transcriptions: int = 4
    chunks_in_flight: int = 3
    engraving_processes: int = 1
    max_engraving_s: int = 300
    request_timeout_s: int = 3600
    drain_s: int = 30

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; a variable that is absent or empty leaves the default.

        Raises:
            ValueError: naming the variable, when a number is not a whole one above 0.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            variable = PREFIX + setting.name.upper()
            text = environment.get(variable, "").strip()
            if text:
                values[setting.name] = _parsed(variable, text, type(setting.default))
        return cls(**values)


def _parsed(variable: str, text: str, kind: type) -> str | Path | int:
    if kind is not int:
        return text if kind is str else Path(text)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} must be a whole number above 0, not {text!r}.")
    return int(text)
