"""Frames of any format, channel count and rate to mono float32 at the model's rate."""

from __future__ import annotations

from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from services.amt.contract import SAMPLE_RATE_HZ

Floats = NDArray[np.float32]

#: Samples of a block: long enough that Python's share of the work is small.
_BLOCK_SAMPLES: Final = SAMPLE_RATE_HZ
#: FFmpeg knows how to mix layouts of up to so many channels; beyond, not all of them.
_MOST_MIXED: Final = 8


class Resampler:
    """Mixes and resamples a stream of frames, whose format may change midway (chained files)."""

    def __init__(self) -> None:
        self._format: tuple[str, str, int] | None = None
        self._packing = av.AudioResampler()
        self._resampling = av.AudioResampler()

    def push(self, frame: AudioFrame) -> list[Floats]:
        """Take one frame; returns the blocks that are complete, float32 [N] each.

        Raises:
            av.FFmpegError: the format cannot be converted.
        """
        blocks: list[Floats] = []
        frame_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if frame_format != self._format:
            blocks = self.flush()
            self._format = frame_format
            self._packing = av.AudioResampler("flt", frame.layout, frame.sample_rate)
            self._resampling = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ, frame_size=_BLOCK_SAMPLES)
        # Times are counted in samples; those of the container may have gaps, which FFmpeg would act on.
        frame.pts = None
        if frame.layout.nb_channels <= _MOST_MIXED:
            return blocks + [_first_plane(part) for part in self._resampling.resample(frame)]
        for packed in self._packing.resample(frame):
            blocks += [_first_plane(part) for part in self._resampling.resample(_mean_of_channels(packed))]
        return blocks

    def flush(self) -> list[Floats]:
        """Return what is left."""
        return [_first_plane(part) for part in self._resampling.resample(None)] if self._format else []


def _first_plane(frame: AudioFrame) -> Floats:
    """Copy a packed float frame's samples; PyAV's own `to_ndarray` crashes on some planar frames."""
    values = frame.samples * frame.layout.nb_channels
    return np.frombuffer(bytes(frame.planes[0]), np.float32, values).copy()


def _mean_of_channels(packed: AudioFrame) -> AudioFrame:
    mean = _first_plane(packed).reshape(packed.samples, -1).mean(axis=1, keepdims=True).T
    mono = AudioFrame.from_ndarray(np.ascontiguousarray(mean), format="flt", layout="mono")
    mono.sample_rate = packed.sample_rate
    return mono
