"""A recording while a version of the model is on trial, or in the shadow."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from services.amt import notation
from services.amt.options import Options
from services.amt.piano import PianoModel
from services.amt.transcriber import Transcriber, Transcription
from services.errors import CopyistError, ModelError, OverloadedError, VersionMissingError
from services.runtime import afterwards
from services.runtime.processes import Processes
from services.runtime.release.manifest import Role
from tests.amt.hearing import a_note
from tests.inference import Asked, ScriptedServer, Tensors
from tests.recordings import tones, with_soundfile
from tests.runtime.release.small_models import releases

CHUNKS = 6


class Server(ScriptedServer):
    """Hears a note in every chunk: of another pitch with each version, and in the shadow of one more."""

    def answer(self, asked: Asked, inputs: Tensors) -> dict[str, NDArray[Any]]:
        posteriors = a_note(39 if asked.version == "1" or asked.role is Role.SHADOW else 40)
        if asked.role is Role.SHADOW:
            posteriors[0, 0, 399:402, 60] = (153, 255, 153)
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
    server = Server("1", "2")
    async with transcribing(server, tmp_path, Role.CANARY, {"measures": {}}) as transcriber:
        heard = await transcribed(transcriber)
        assert (heard.version, pitches(heard)) == ("2", {61})
        assert set(server.asked) == {("piano", "2", Role.CANARY)}
        asked = await transcribed(transcriber, version="1")
        assert (asked.version, pitches(asked)) == ("1", {60})


async def test_the_thresholds_are_those_of_the_version_that_hears(tmp_path: Path) -> None:
    deaf = {"thresholds": {"onset": 10.0}}
    async with transcribing(Server("1", "2"), tmp_path, Role.CANARY, deaf) as transcriber:
        assert (await transcribed(transcriber)).notes == ()
        assert len((await transcribed(transcriber, version="1")).notes) == CHUNKS


@pytest.mark.parametrize(
    "failure", [VersionMissingError("unloaded"), ModelError("shapes"), OverloadedError("full")]
)
async def test_where_a_canary_fails_amid_a_recording_the_stable_version_hears_all_of_it(
    tmp_path: Path, failure: CopyistError
) -> None:
    server = Server("1", "2")
    server.fail(failure, version="2", after=2)
    async with transcribing(server, tmp_path, Role.CANARY, {"measures": {}}) as transcriber:
        heard = await transcribed(transcriber)
        assert (heard.version, pitches(heard), len(heard.notes)) == ("1", {60}, CHUNKS)
        assert server.asked[0] == ("piano", "2", Role.CANARY)
        assert server.asked[-CHUNKS:] == [("piano", "1", Role.STABLE)] * CHUNKS
        server.asked.clear()
        with pytest.raises(type(failure)):
            await transcribed(transcriber, version="2")


async def test_a_shadow_hears_what_was_answered_and_how_far_it_agrees_is_told(tmp_path: Path) -> None:
    server = Server("1", "2")
    before = agreement()
    async with transcribing(server, tmp_path, Role.SHADOW, {"measures": {}}) as transcriber:
        with afterwards.collected() as later:
            heard = await transcribed(transcriber)
        assert (heard.version, set(server.asked)) == ("1", {("piano", "1", Role.STABLE)})
        for begin in later:
            begin(True)
        async with asyncio.timeout(120):
            while agreement()[0] == before[0]:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert server.asked[CHUNKS:] == [("piano", "2", Role.SHADOW)] * CHUNKS
        assert server.most[Role.SHADOW] == 1
    # It has heard the same notes, and as many more.
    assert agreement()[1] - before[1] == pytest.approx(2 * CHUNKS / (CHUNKS + 2 * CHUNKS))


def agreement() -> tuple[float, float]:
    labels = {"model": "piano", "version": "2"}
    return (
        REGISTRY.get_sample_value("copyist_shadow_agreement_count", labels) or 0.0,
        REGISTRY.get_sample_value("copyist_shadow_agreement_sum", labels) or 0.0,
    )
