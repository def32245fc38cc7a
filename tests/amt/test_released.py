"""A recording while a version of the model is on trial, or in the shadow."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from services.amt import notation
from services.amt.contract import CHUNK_FRAMES, PITCHES
from services.amt.options import Options
from services.amt.piano import PianoModel
from services.amt.transcriber import Transcriber, Transcription
from services.errors import CopyistError, ModelError, OverloadedError, VersionMissingError
from services.runtime import afterwards
from services.runtime.contract import ModelContract
from services.runtime.processes import Processes
from services.runtime.release.manifest import Role
from tests.recordings import tones, with_soundfile
from tests.runtime.release.small_models import releases

CHUNKS = 6


class Server:
    """Hears a note in every chunk: of another pitch with each version."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, Role]] = []
        self.failure: CopyistError | None = None
        self.now = self.most_of_shadows = 0

    async def versions(self, model: str) -> tuple[str, ...]:
        return ("1", "2")

    async def infer(
        self,
        contract: ModelContract,
        version: str | None,
        inputs: Mapping[str, NDArray[Any]],
        role: Role = Role.STABLE,
    ) -> dict[str, NDArray[Any]]:
        self.asked.append((version, role))
        if role is Role.SHADOW:
            self.now += 1
            self.most_of_shadows = max(self.most_of_shadows, self.now)
        await asyncio.sleep(0.001)
        self.now -= role is Role.SHADOW
        if version == "2" and self.failure and len(self.asked) > 2:
            raise self.failure
        posteriors = np.zeros((1, 4, CHUNK_FRAMES, PITCHES), np.uint8)
        key = 39 if version == "1" or role is Role.SHADOW else 40
        posteriors[0, 0, 299:302, key] = (153, 255, 153)
        posteriors[0, 2:, 300:320, key] = 128
        if role is Role.SHADOW and len(inputs["audio"]):
            posteriors[0, 0, 399:402, 60] = (153, 255, 153)  # a note more
        return {"posteriors": posteriors}


@asynccontextmanager
async def transcribing(
    server: Server, folder: Path, role: Role, card: Mapping[str, Any]
) -> AsyncIterator[Transcriber]:
    released = releases(folder, {"piano": card}, role)
    processes = Processes(1, warm_up=notation.warm_up, max_s=60)
    piano = PianoModel(server, folder / "shipped", chunks_in_flight=3, releases=released)
    made = Transcriber(piano, processes, max_audio_s=600, max_transcriptions=2)
    yield made
    await made.close()
    processes.close()
    released.close()


async def transcribed(transcriber: Transcriber, **more: str) -> Transcription:
    recording = io.BytesIO(with_soundfile(tones(60, 16_000), 16_000, "WAV"))
    return await transcriber.transcribe(recording, Options(), request_id="r", **more)


def pitches(heard: Transcription) -> set[int]:
    return {note.pitch for note in heard.notes}


async def test_a_canary_hears_all_of_a_recording_with_the_thresholds_of_its_card(tmp_path: Path) -> None:
    server = Server()
    async with transcribing(server, tmp_path, Role.CANARY, {"measures": {}}) as transcriber:
        heard = await transcribed(transcriber)
        assert (heard.version, pitches(heard)) == ("2", {61})
        assert set(server.asked) == {("2", Role.CANARY)}
        asked = await transcribed(transcriber, version="1")
        assert (asked.version, pitches(asked)) == ("1", {60})


async def test_the_thresholds_are_those_of_the_version_that_hears(tmp_path: Path) -> None:
    deaf = {"thresholds": {"onset": 10.0}}
    async with transcribing(Server(), tmp_path, Role.CANARY, deaf) as transcriber:
        assert (await transcribed(transcriber)).notes == ()
        assert len((await transcribed(transcriber, version="1")).notes) == CHUNKS


@pytest.mark.parametrize(
    "failure", [VersionMissingError("unloaded"), ModelError("shapes"), OverloadedError("full")]
)
async def test_where_a_canary_fails_amid_a_recording_the_stable_version_hears_all_of_it(
    tmp_path: Path, failure: CopyistError
) -> None:
    server = Server()
    server.failure = failure
    async with transcribing(server, tmp_path, Role.CANARY, {"measures": {}}) as transcriber:
        heard = await transcribed(transcriber)
        assert (heard.version, pitches(heard), len(heard.notes)) == ("1", {60}, CHUNKS)
        assert server.asked[0] == ("2", Role.CANARY)
        assert server.asked[-CHUNKS:] == [("1", Role.STABLE)] * CHUNKS
        server.asked.clear()
        with pytest.raises(type(failure)):
            await transcribed(transcriber, version="2")


async def test_a_shadow_hears_what_was_answered_and_how_far_it_agrees_is_told(tmp_path: Path) -> None:
    server = Server()
    before = agreement()
    async with transcribing(server, tmp_path, Role.SHADOW, {"measures": {}}) as transcriber:
        with afterwards.collected() as later:
            heard = await transcribed(transcriber)
        assert (heard.version, set(server.asked)) == ("1", {("1", Role.STABLE)})
        for begin in later:
            begin(True)
        async with asyncio.timeout(10):
            while agreement()[0] == before[0]:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert server.asked[CHUNKS:] == [("2", Role.SHADOW)] * CHUNKS
        assert server.most_of_shadows == 1
    # It has heard the same notes, and as many more.
    assert agreement()[1] - before[1] == pytest.approx(2 * CHUNKS / (CHUNKS + 2 * CHUNKS))


def agreement() -> tuple[float, float]:
    labels = {"model": "piano", "version": "2"}
    return (
        REGISTRY.get_sample_value("copyist_shadow_agreement_count", labels) or 0.0,
        REGISTRY.get_sample_value("copyist_shadow_agreement_sum", labels) or 0.0,
    )
