"""A recording cut on the fixed grid of the model's contract, and its posteriors put together again.

Chunk k holds the frames from `k * CORE_FRAMES - HALO_FRAMES`; what lies before or after the recording is
zero. Of its answer the core is kept, so that every frame is taken from exactly one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from services.amt.contract import CHUNK_SAMPLES, CORE_FRAMES, HALO_FRAMES, HEADS, HOP_SAMPLES, PITCHES


def count_frames(size: int) -> int:
    """Frames of a recording of `size` samples: those whose centre lies in it or on its end."""
    return size // HOP_SAMPLES + 1


def count_chunks(size: int) -> int:
    """Chunks that hold the frames of a recording of `size` samples."""
    return -(-count_frames(size) // CORE_FRAMES)


def cut(samples: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    """Yield the chunks, int16 [CHUNK_SAMPLES] each, in order; each is cut when it is asked for."""
    for index in range(count_chunks(samples.size)):
        start = (index * CORE_FRAMES - HALO_FRAMES) * HOP_SAMPLES
        chunk = np.zeros(CHUNK_SAMPLES, np.int16)
        inside = samples[max(start, 0) : start + CHUNK_SAMPLES]
        before = max(-start, 0)
        chunk[before : before + inside.size] = inside
        yield chunk


class Stitcher:
    """Takes the chunks' posteriors in any order and makes the recording's of them."""

    def __init__(self, size: int) -> None:
        """Make room for a recording of `size` samples."""
        #: uint8 [4, T, 88], complete once every chunk has been put.
        self.posteriors: NDArray[np.uint8] = np.zeros((len(HEADS), count_frames(size), PITCHES), np.uint8)

    def put(self, index: int, posteriors: NDArray[np.uint8]) -> None:
        """Keep the core of chunk `index`, whose posteriors are uint8 [4, CHUNK_FRAMES, 88]."""
        start = index * CORE_FRAMES
        frames = min(CORE_FRAMES, self.posteriors.shape[1] - start)
        self.posteriors[:, start : start + frames] = posteriors[:, HALO_FRAMES : HALO_FRAMES + frames]
