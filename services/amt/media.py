"""An upload as a stream of packets of sound, opened so that it cannot reach beyond itself."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Final, Self

import av
import av.logging
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from services.amt import containers
from services.errors import UnreadableMediaError

# FFmpeg's log goes through a callback that takes the interpreter's lock: off, so that threads decode freely.
av.logging.set_level(None)

#: FFmpeg demuxers that an upload may use. None of them follows references to other files or addresses.
DEMUXERS: Final = ("wav", "aiff", "flac", "mp3", "ogg", "mov", "m4a", "aac", "matroska")
RATES_HZ: Final = range(1_000, 768_001)
_READ_BYTES: Final = 1 << 18
#: Encoder delay and padding may make a whole file shorter than its header says, by up to these samples.
_CODEC_DELAY_SAMPLES: Final = 3500

ANOTHER_FORMAT: Final = (
    "Send a recording as wav, flac, mp3, ogg, opus, m4a or aac; if a player opens this one, "
    "convert it first, for instance with `ffmpeg -i FILE recording.flac`."
)
SEND_IT_WHOLE: Final = (
    "Send the whole file again; if this is all there is, convert it first, for instance with "
    "`ffmpeg -i FILE recording.flac`."
)


class Media:
    """The first audio stream of an upload.

    Attributes:
        kind: FFmpeg's name of the container.
        rate_hz: its sample rate.
    """

    def __init__(self, source: BinaryIO) -> None:
        """Open an upload; close it by a `with` block.

        Raises:
            UnreadableMediaError: it is empty, no recording, or holds no sound.
        """
        if containers.size_of(source) == 0:
            raise UnreadableMediaError("The file is empty: it has 0 bytes.", remedy=ANOTHER_FORMAT)
        # Read before FFmpeg begins to: afterwards the position in the file is its own.
        self._mp3_s = containers.mp3_promised_s(source)
        self._source = source
        self._container = _opened(source)
        self.kind = self._container.format.name
        try:
            self._stream = _audio_stream(self._container)
        except UnreadableMediaError:
            self._container.close()
            raise
        self.rate_hz = self._stream.codec_context.sample_rate

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Yield all packets, the last of them empty, which makes a decoder give all it holds.

        Raises:
            UnreadableMediaError: the container is damaged.
        """
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:
                # At the end PyAV asks every stream for what it holds, those too that turned up in the midst
                # of the file and that it does not know. Ours came before them.
                return
            except av.FFmpegError as error:
                raise UnreadableMediaError(
                    f"The recording is damaged: {error.strerror}.", remedy=SEND_IT_WHOLE
                ) from None
            yield packet

    def stated_s(self) -> float | None:
        """Seconds of sound that the header states (not those that FFmpeg estimates from the size)."""
        if self.kind == "mp3":
            return self._mp3_s
        if self.kind.startswith("matroska") and self._container.duration:
            return self._container.duration / av.time_base
        stated = self.kind in ("wav", "aiff", "flac") or self.kind.startswith("mov,")
        if stated and self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return None

    def check_whole(self, decoded_s: float, last_packet: bytes) -> None:
        """Raise UnreadableMediaError where the file lacks its end.

        Args:
            decoded_s: seconds of sound that were in it.
            last_packet: the last packet that was not empty.
        """
        stated_s = self.stated_s()
        tolerance_s = 0.1 + _CODEC_DELAY_SAMPLES / self.rate_hz
        if stated_s is not None and decoded_s < stated_s - tolerance_s:
            raise UnreadableMediaError(
                f"The file is cut short: its header promises {stated_s:.1f} s of sound, "
                f"but only {decoded_s:.1f} s are there.",
                remedy=SEND_IT_WHOLE,
            )
        if self._breaks_off(last_packet):
            raise UnreadableMediaError(
                f"The file is cut short: it breaks off in the middle of its data after {decoded_s:.1f} s.",
                remedy=SEND_IT_WHOLE,
            )

    def _breaks_off(self, last_packet: bytes) -> bool:
        match self.kind:
            case "mp3":
                return len(last_packet) < containers.mpeg_frame_bytes(last_packet)
            case "aac":
                return len(last_packet) < containers.adts_frame_bytes(last_packet)
            case "wav":
                return containers.wav_missing_bytes(self._source) > 0
            case "ogg":
                return containers.ogg_is_cut(self._source)
            case _:
                return False


def _opened(source: BinaryIO) -> InputContainer:
    source.seek(0)
    try:
        return av.open(
            source,
            "r",
            container_options={"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": ""},
            metadata_errors="replace",
            buffer_size=_READ_BYTES,
            io_open=_refuse_to_open,
        )
    except (av.FFmpegError, ValueError):
        seems = containers.guess(source)
        detail = (
            f"The file cannot be read as a recording: it seems to be {seems}."
            if seems
            else "The file is no recording in a format that Copyist knows, or its header is damaged."
        )
        raise UnreadableMediaError(detail, remedy=ANOTHER_FORMAT) from None


def _refuse_to_open(url: str, flags: int, options: object) -> BinaryIO:
    raise PermissionError("a recording may not refer to other files")


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        held = "pictures or video" if container.streams.video else "nothing that can be heard"
        raise UnreadableMediaError(
            f"The file holds no sound, only {held}.", remedy="Send a file with an audio track."
        )
    stream = container.streams.audio[0]
    rate_hz = stream.codec_context.sample_rate if stream.codec_context else 0
    if rate_hz not in RATES_HZ:
        raise UnreadableMediaError(
            f"The recording cannot be decoded: its sample rate is {rate_hz} Hz, and Copyist takes "
            f"{RATES_HZ[0]} to {RATES_HZ[-1]} Hz.",
            remedy=ANOTHER_FORMAT,
        )
    return stream
