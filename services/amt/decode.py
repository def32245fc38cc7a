"""A recording's bytes, in any common format, to the samples that the model hears.

FFmpeg (inside PyAV) decodes and resamples block by block; only the 16 kHz mono samples are kept, four
bytes each until the level is known and two after: an hour costs 230 MB for a moment, then 115 MB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import av
import av.logging
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from numpy.typing import NDArray

from services.amt import containers
from services.amt.contract import SAMPLE_RATE_HZ, TARGET_RMS
from services.errors import TooLargeError, UnreadableMediaError

# FFmpeg's log goes through a callback that takes the interpreter's lock: off, so that threads decode freely.
av.logging.set_level(None)

FULL_SCALE: Final = 32_767
#: The largest amplification (60 dB). What is softer than that below TARGET_RMS is noise of the last bit.
MAX_GAIN: Final = 1000.0
#: Samples at least this loud count as clipped.
CLIPPING_LEVEL: Final = 0.999
#: A stream with more than this share of undecodable packets is refused; the few are replaced by silence.
MAX_DAMAGE: Final = 0.01
#: Encoder delay and padding may make a whole file shorter than its header says, by up to these samples.
_CODEC_DELAY_SAMPLES: Final = 3500
_READ_BYTES: Final = 1 << 18
_BLOCK_SAMPLES: Final = SAMPLE_RATE_HZ

ANOTHER_FORMAT: Final = (
    "Send a recording as wav, flac, mp3, ogg, opus, m4a or aac; if a player opens this one, "
    "convert it first, for instance with `ffmpeg -i FILE recording.flac`."
)
SEND_IT_WHOLE: Final = (
    "Send the whole file again; if this is all there is, convert it first, for instance with "
    "`ffmpeg -i FILE recording.flac`."
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A decoded recording.

    Attributes:
        samples: int16 [N], mono at SAMPLE_RATE_HZ, brought to TARGET_RMS as a whole.
        rms: root-mean-square level before that, full scale = 1.
        clipped_share: the share of samples at or above full scale before that, 0 to 1.
    """

    samples: NDArray[np.int16]
    rms: float
    clipped_share: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.size / SAMPLE_RATE_HZ


def decode(
    source: BinaryIO, *, max_audio_s: float, cancelled: Callable[[], bool] = lambda: False
) -> Recording:
    """Decode a recording to mono int16 at 16 kHz with a root-mean-square level of TARGET_RMS.

    The gain is one number for the whole recording. It is smaller where a peak would clip, never more
    than MAX_GAIN, and silence stays silence.

    Args:
        source: the file's bytes, seekable.
        max_audio_s: the longest accepted recording, in seconds.
        cancelled: asked between blocks; once true, the work is dropped.

    Raises:
        UnreadableMediaError: not a recording, damaged, cut short, or without sound.
        TooLargeError: longer than `max_audio_s`.
        InterruptedError: `cancelled` said so.
    """
    size = containers.size_of(source)
    if size == 0:
        raise UnreadableMediaError("The file is empty: it has 0 bytes.", remedy=ANOTHER_FORMAT)
    container = _opened(source)
    try:
        decoding = _Decoding(source, container, max_audio_s, cancelled)
        for block in decoding.blocks():
            decoding.levels.add(block)
        decoding.check_whole()
    finally:
        container.close()
    return decoding.levels.recording()


def _opened(source: BinaryIO) -> InputContainer:
    try:
        return av.open(
            source,
            "r",
            container_options={"format_whitelist": ",".join(containers.DEMUXERS), "protocol_whitelist": ""},
            metadata_errors="replace",
            buffer_size=_READ_BYTES,
            io_open=_refuse_to_open,
        )
    except (av.FFmpegError, ValueError):
        seems = containers.guess(source)
        detail = (
            f"The file is not a recording: it seems to be {seems}."
            if seems
            else ("The file is no recording in a format that Copyist knows, or its header is damaged.")
        )
        raise UnreadableMediaError(detail, remedy=ANOTHER_FORMAT) from None


def _refuse_to_open(url: str, flags: int, options: object) -> BinaryIO:
    raise PermissionError("a recording may not refer to other files")


class _Levels:
    """Blocks of samples, kept until the level of the whole is known."""

    def __init__(self) -> None:
        self.blocks: deque[Floats] = deque()
        self.size = 0
        self.energy = 0.0
        self.peak = 0.0
        self.clipped = 0

    def add(self, block: Floats) -> None:
        energy = float(np.dot(block, block))
        if not np.isfinite(energy):
            raise UnreadableMediaError(
                "The recording holds samples that are not numbers (NaN or infinite).",
                remedy="Export it again with finite samples between -1 and 1, or as 16- or 24-bit integers.",
            )
        magnitude = np.abs(block)
        self.peak = max(self.peak, float(magnitude.max()))
        self.clipped += int(np.count_nonzero(magnitude >= CLIPPING_LEVEL))
        self.energy += energy
        self.size += block.size
        self.blocks.append(block)

    def recording(self) -> Recording:
        rms = float(np.sqrt(self.energy / self.size))
        gain = min(TARGET_RMS / rms, 1 / self.peak, MAX_GAIN) if rms else 1.0
        samples = np.empty(self.size, np.int16)
        position = 0
        while self.blocks:
            block = self.blocks.popleft()
            block *= gain * FULL_SCALE
            samples[position : position + block.size] = np.rint(block, out=block)
            position += block.size
        return Recording(samples, rms, self.clipped / self.size)


class _Decoding:
    """One pass over the packets of a container's audio stream."""

    def __init__(
        self,
        source: BinaryIO,
        container: InputContainer,
        max_audio_s: float,
        cancelled: Callable[[], bool],
    ) -> None:
        self.source = source
        self.container = container
        self.stream = _audio_stream(container)
        self.max_audio_s = max_audio_s
        self.cancelled = cancelled
        self.levels = _Levels()
        self.resampler = _Resampler()
        self.good_packets = 0
        self.damaged_packets = 0
        self.rejected_at_end: list[bytes] = []
        self.promised_s = self._promised_s()
        self._check_duration(self.promised_s or 0.0)

    def blocks(self) -> Iterator[Floats]:
        """Decode all that is there, in order, about a second at a time."""
        pending: list[Packet[AudioStream]] = []
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.FFmpegError:
                pending.append(packet)
                continue
            if packet.size:
                yield from self._silence_for(pending)
                self.good_packets += 1
            for frame in frames:
                yield from self._checked(self.resampler.push(frame))
        self.rejected_at_end = [bytes(packet) for packet in pending[:1]]
        yield from self._checked(self.resampler.flush())

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                raise UnreadableMediaError(
                    f"The recording is damaged after {self.levels.size / SAMPLE_RATE_HZ:.1f} s "
                    f"({error.strerror}).",
                    remedy=SEND_IT_WHOLE,
                ) from None
            yield packet

    def _silence_for(self, lost: list[Packet[AudioStream]]) -> Iterator[Floats]:
        """Keep the time of what follows: packets lost amid good ones become silence."""
        if lost and self.good_packets:
            self.damaged_packets += len(lost)
            lost_s = float(sum((packet.duration or 0) * packet.time_base for packet in lost))
            yield from self._checked([np.zeros(round(lost_s * SAMPLE_RATE_HZ), np.float32)])
        lost.clear()

    def _checked(self, blocks: list[Floats]) -> Iterator[Floats]:
        for block in blocks:
            if self.cancelled():
                raise InterruptedError("the caller went away")
            if block.size:
                self._check_duration((self.levels.size + block.size) / SAMPLE_RATE_HZ)
                yield block

    def _check_duration(self, duration_s: float) -> None:
        if duration_s > self.max_audio_s:
            raise TooLargeError(
                f"The recording is longer than the limit of {self.max_audio_s:g} s "
                f"(COPYIST_MAX_AUDIO_S): it has at least {duration_s:.0f} s.",
                remedy="Cut it into parts below the limit and send them one by one.",
            )

    def _promised_s(self) -> float | None:
        """Seconds of sound that the header states (not those that FFmpeg estimates from the size)."""
        kind = self.container.format.name
        if kind == "mp3":
            position = self.source.tell()
            promised_s = containers.mp3_promised_s(self.source)
            self.source.seek(position)  # FFmpeg reads on from where it was
            return promised_s
        stated = kind in ("wav", "w64", "aiff", "flac", "caf") or kind.startswith("mov,")
        if stated and self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return None

    def check_whole(self) -> None:
        """Raise where what was decoded is less than what was promised, or too little of it was good."""
        decoded_s = self.levels.size / SAMPLE_RATE_HZ
        if not self.levels.size:
            raise UnreadableMediaError(
                "The recording holds no sound: "
                + ("none of it can be decoded." if self.rejected_at_end else "its length is 0 s."),
                remedy=ANOTHER_FORMAT,
            )
        if self.damaged_packets > MAX_DAMAGE * self.good_packets:
            raise UnreadableMediaError(
                f"The recording is damaged: {self.damaged_packets} of "
                f"{self.good_packets + self.damaged_packets} packets cannot be decoded.",
                remedy=SEND_IT_WHOLE,
            )
        tolerance_s = 0.1 + _CODEC_DELAY_SAMPLES / self.stream.codec_context.sample_rate
        if self.promised_s is not None and decoded_s < self.promised_s - tolerance_s:
            raise UnreadableMediaError(
                f"The file is cut short: its header promises {self.promised_s:.1f} s of sound, "
                f"but only {decoded_s:.1f} s are there.",
                remedy=SEND_IT_WHOLE,
            )
        if self._ends_amid_a_frame():
            raise UnreadableMediaError(
                f"The file is cut short: it breaks off in the middle of a frame after {decoded_s:.1f} s.",
                remedy=SEND_IT_WHOLE,
            )

    def _ends_amid_a_frame(self) -> bool:
        kind = self.container.format.name
        if kind == "wav":
            return containers.wav_missing_bytes(self.source) > 0
        if kind == "ogg":
            return containers.ogg_is_cut(self.source)
        whole_size = {"mp3": containers.mpeg_frame_bytes, "aac": containers.adts_frame_bytes}.get(kind)
        return whole_size is not None and any(
            len(packet) < whole_size(packet) for packet in self.rejected_at_end
        )


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        held = "pictures or video" if container.streams.video else "nothing that can be heard"
        raise UnreadableMediaError(
            f"The file holds no sound, only {held}.", remedy="Send a file with an audio track."
        )
    return container.streams.audio[0]


class _Resampler:
    """Frames of any format, layout and rate to mono float32 at SAMPLE_RATE_HZ."""

    def __init__(self) -> None:
        self._format: tuple[str, str, int] | None = None
        self._swr = av.AudioResampler()

    def push(self, frame: AudioFrame) -> list[Floats]:
        blocks: list[Floats] = []
        frame_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if frame_format != self._format:
            # Chained streams may change their format midway.
            blocks = self.flush()
            self._format = frame_format
            self._swr = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ, frame_size=_BLOCK_SAMPLES)
        frame.pts = None
        return blocks + [_mono(part) for part in self._swr.resample(frame)]

    def flush(self) -> list[Floats]:
        return [_mono(part) for part in self._swr.resample(None)] if self._format else []


def _mono(frame: AudioFrame) -> Floats:
    return np.frombuffer(bytes(frame.planes[0]), np.float32, frame.samples).copy()
