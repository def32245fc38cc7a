"""The transcriber on a model server in memory: order, limits, cancellation, failures."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from services.amt import notation
from services.amt.contract import CORE_FRAMES, HOP_SAMPLES
from services.amt.options import Options
from services.amt.piano import PianoModel
from services.amt.transcriber import Transcriber
from services.errors import ModelUnavailableError, OverloadedError, UnreadableMediaError
from services.music.export import Format
from services.runtime.processes import Processes
from services.runtime.release.manifest import Role
from tests.amt.hearing import HearingServer
from tests.recordings import tones, with_soundfile


@pytest.fixture
def server() -> HearingServer:
    made = HearingServer("2", "10")
    made.busy_at = 3
    return made


@pytest.fixture
async def transcriber(server: HearingServer, tmp_path: Path) -> AsyncIterator[Transcriber]:
    processes = Processes(1, warm_up=notation.warm_up, max_s=60)
    made = Transcriber(
        PianoModel(server, tmp_path, chunks_in_flight=3), processes, max_audio_s=600, max_transcriptions=2
    )
    yield made
    await made.close()
    processes.close()


def _wav(seconds: float) -> io.BytesIO:
    return io.BytesIO(with_soundfile(tones(seconds, 16_000), 16_000, "WAV"))


async def test_a_recording_becomes_a_transcription(transcriber: Transcriber, server: HearingServer) -> None:
    chunks = 5
    seconds = (chunks * CORE_FRAMES - 10) * HOP_SAMPLES / 16_000
    heard = await transcriber.transcribe(_wav(seconds), Options(formats=(Format.MIDI,)), request_id="r")
    assert heard.duration_s == pytest.approx(seconds, abs=0.01)
    assert len(heard.notes) == chunks
    spacing = np.diff([note.onset_s for note in heard.notes])
    np.testing.assert_allclose(spacing, CORE_FRAMES * HOP_SAMPLES / 16_000)
    assert heard.version == "10", "the newest by number"
    assert set(server.versions_asked("piano")) == {"10"}, "all of a recording by one version"
    assert heard.files[Format.MIDI].startswith(b"MThd")
    assert set(heard.timings_s) == {"decode", "model", "notes", "queue", "notation", "engraving"}


async def test_chunks_are_sent_at_once_but_not_too_many(
    transcriber: Transcriber, server: HearingServer
) -> None:
    await transcriber.transcribe(_wav(120), Options(), request_id="r")
    assert server.most[Role.STABLE] == 3


async def test_more_recordings_than_allowed_are_refused(
    transcriber: Transcriber, server: HearingServer
) -> None:
    server.gate.clear()
    server.busy_at = 2
    running = [
        asyncio.create_task(transcriber.transcribe(_wav(1), Options(), request_id="r")) for _ in range(2)
    ]
    await asyncio.wait_for(server.busy.wait(), 60)
    with pytest.raises(OverloadedError, match="COPYIST_MAX_TRANSCRIPTIONS"):
        await transcriber.transcribe(_wav(1), Options(), request_id="r")
    server.gate.set()
    assert len(await asyncio.gather(*running)) == 2
    transcriber.check_room()


async def test_cancelling_ends_the_calls_and_frees_the_place(
    transcriber: Transcriber, server: HearingServer
) -> None:
    server.gate.clear()
    running = asyncio.create_task(transcriber.transcribe(_wav(60), Options(), request_id="r"))
    await asyncio.wait_for(server.busy.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert server.now.total() == 0
    assert transcriber._running == 0


async def test_cancelling_while_decoding_waits_for_the_thread(transcriber: Transcriber) -> None:
    source = _Slow(_wav(300).getvalue())
    running = asyncio.create_task(transcriber.transcribe(source, Options(), request_id="r"))
    await asyncio.to_thread(source.reading.wait, 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # Nothing reads the file any more, so that the caller may close it.
    reads = source.reads
    await asyncio.sleep(0.05)
    assert source.reads == reads


class _Slow(io.BytesIO):
    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reading = threading.Event()
        self.reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > 3:
            self.reading.set()
            threading.Event().wait(0.01)
        return super().read(size)


async def test_one_failed_chunk_ends_the_others_and_is_told(
    transcriber: Transcriber, server: HearingServer
) -> None:
    server.fail(ModelUnavailableError("gone", remedy="wait"), after=2)
    with pytest.raises(ModelUnavailableError, match="gone"):
        await transcriber.transcribe(_wav(120), Options(), request_id="r")
    assert server.now.total() == 0
    assert len(server.asked) < 10


async def test_without_a_model_nothing_is_decoded(transcriber: Transcriber, server: HearingServer) -> None:
    server.ready = ()
    source = _wav(1)
    with pytest.raises(ModelUnavailableError, match="no version"):
        await transcriber.transcribe(source, Options(), request_id="r")
    assert source.tell() == 0


async def test_bad_files_are_told_as_such(transcriber: Transcriber, server: HearingServer) -> None:
    with pytest.raises(UnreadableMediaError):
        await transcriber.transcribe(io.BytesIO(b"no music"), Options(), request_id="r")
    assert not server.asked


async def test_the_event_loop_stays_free(transcriber: Transcriber) -> None:
    """While a long recording is decoded, read and written down, the loop's longest pause is short.

    A pause in which this process computes less than it lasts is the machine's, which does something else.
    """
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began, before = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.005)
            longest = max(longest, min(time.perf_counter() - began, time.process_time() - before))

    watching = asyncio.create_task(watch())
    await transcriber.transcribe(_wav(500), Options(formats=(Format.MUSICXML,)), request_id="r")
    watching.cancel()
    assert longest < 0.25
