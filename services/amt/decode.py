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
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from services.amt.contract import SAMPLE_RATE_HZ, TARGET_RMS
from services.amt.media import ANOTHER_FORMAT, SEND_IT_WHOLE, Media
from services.amt.resample import Floats, Resampler
from services.errors import TooLargeError, UnreadableMediaError

FULL_SCALE: Final = 32_767
#: The largest amplification (60 dB). What is softer than that below TARGET_RMS is noise of the last bit.
MAX_GAIN: Final = 1000.0
#: Samples at least this loud count as clipped.
CLIPPING_LEVEL: Final = 0.999
#: A stream with more than this share of undecodable packets is refused; fewer are replaced by silence.
MAX_DAMAGE: Final = 0.01


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
    with Media(source) as media:
        _check_duration(_length_s(media, max_audio_s), max_audio_s)
    levels = _Levels()
    with Media(source) as media:
        decoding = _Decoding(media)
        try:
            for block in decoding.blocks():
                if cancelled():
                    raise InterruptedError("the caller went away")
                levels.add(block)
                _check_duration(levels.duration_s, max_audio_s)
        except av.FFmpegError as error:
            reason = f"The recording cannot be converted ({error.strerror})."
            raise UnreadableMediaError(reason, remedy=ANOTHER_FORMAT) from None
        decoding.check(levels.duration_s)
    return levels.recording()


def _length_s(media: Media, enough_s: float) -> float:
    """Tell a recording's length without decoding it; packets are counted up to `enough_s` at most."""
    stated_s = media.stated_s()
    if stated_s is not None:
        return stated_s
    total_s = 0.0
    for packet in media.packets():
        total_s += float((packet.duration or 0) * packet.time_base)
        if total_s > enough_s:
            break
    return total_s


def _check_duration(duration_s: float, max_audio_s: float) -> None:
    if duration_s > max_audio_s:
        raise TooLargeError(
            f"The recording is longer than the limit of {max_audio_s:g} s (COPYIST_MAX_AUDIO_S): "
            f"it has at least {duration_s:.0f} s.",
            remedy="Cut it into parts below the limit and send them one by one.",
        )


class _Levels:
    """Blocks of samples, kept until the level of the whole is known."""

    def __init__(self) -> None:
        self._blocks: deque[Floats] = deque()
        self._size = 0
        self._energy = 0.0
        self._peak = 0.0
        self._clipped = 0

    @property
    def duration_s(self) -> float:
        return self._size / SAMPLE_RATE_HZ

    def add(self, block: Floats) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            energy = float(np.dot(block, block))
        if not np.isfinite(energy):
            raise UnreadableMediaError(
                "The recording holds samples that are not numbers: NaN, infinite, or far too large.",
                remedy="Export it again with finite samples between -1 and 1, or as 16- or 24-bit integers.",
            )
        magnitude = np.abs(block)
        self._peak = max(self._peak, float(magnitude.max()))
        self._clipped += int(np.count_nonzero(magnitude >= CLIPPING_LEVEL))
        self._energy += energy
        self._size += block.size
        self._blocks.append(block)

    def recording(self) -> Recording:
        rms = float(np.sqrt(self._energy / self._size))
        gain = min(TARGET_RMS / rms, 1 / self._peak, MAX_GAIN) if rms else 1.0
        samples = np.empty(self._size, np.int16)
        position = 0
        while self._blocks:
            block = self._blocks.popleft()
            block *= gain * FULL_SCALE
            samples[position : position + block.size] = np.rint(block, out=block)
            position += block.size
        return Recording(samples, rms, self._clipped / self._size)


class _Decoding:
    """One pass over the packets of a recording."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self._resampler = Resampler()
        self._good = 0
        self._damaged = 0
        self._last_packet = b""

    def blocks(self) -> Iterator[Floats]:
        """Decode all that is there, in order, about a second at a time."""
        failed: list[Packet[AudioStream]] = []
        last: Packet[AudioStream] | None = None
        for packet in self._media.packets():
            last = packet if packet.size else last
            try:
                blocks = [block for frame in packet.decode() for block in self._resampler.push(frame)]
            except av.FFmpegError:
                failed.append(packet)
                continue
            if packet.size:
                yield from self._silence_for(failed)
                self._good += 1
            yield from (block for block in blocks if block.size)
        self._last_packet = bytes(last) if last is not None else b""
        yield from (block for block in self._resampler.flush() if block.size)

    def _silence_for(self, failed: list[Packet[AudioStream]]) -> Iterator[Floats]:
        """Keep the time of what follows: packets lost amid good ones become silence.

        Those before the first good one are leading garbage, those after the last trailing garbage, such
        as tags that FFmpeg does not know.
        """
        if failed and self._good:
            self._damaged += len(failed)
            lost_s = float(sum((packet.duration or 0) * packet.time_base for packet in failed))
            if lost := round(lost_s * SAMPLE_RATE_HZ):
                yield np.zeros(lost, np.float32)
        failed.clear()

    def check(self, decoded_s: float) -> None:
        """Raise UnreadableMediaError where there was no sound, too much damage, or no end."""
        if not decoded_s:
            reason = "its length is 0 s" if not self._last_packet else "none of its data can be decoded"
            raise UnreadableMediaError(f"The recording holds no sound: {reason}.", remedy=ANOTHER_FORMAT)
        if self._damaged > MAX_DAMAGE * self._good:
            raise UnreadableMediaError(
                f"The recording is damaged: {self._damaged} of its {self._good + self._damaged} packets "
                "cannot be decoded.",
                remedy=SEND_IT_WHOLE,
            )
        self._media.check_whole(decoded_s, self._last_packet)
