"""The tensor contract of the `piano` model, and the grid of frames and chunks it implies.

A recording is cut on a fixed grid of chunks of `CHUNK_FRAMES` frames. Neighbours overlap by two
halos; of each chunk only the frames outside its halos are kept, so every kept frame has been seen
with at least `HALO_FRAMES` of context on both sides. Frame t of a chunk is centred on its sample
`t * HOP_SAMPLES`.
"""

from __future__ import annotations

from typing import Final

from services.runtime.contract import ModelContract, TensorSpec

SAMPLE_RATE_HZ: Final = 16_000
HOP_SAMPLES: Final = 320
FRAME_S: Final = HOP_SAMPLES / SAMPLE_RATE_HZ

CHUNK_FRAMES: Final = 640
HALO_FRAMES: Final = 64
CORE_FRAMES: Final = CHUNK_FRAMES - 2 * HALO_FRAMES
CHUNK_SAMPLES: Final = CHUNK_FRAMES * HOP_SAMPLES

LOWEST_PITCH: Final = 21
PITCHES: Final = 88

ONSET, OFFSET, FRAME, VELOCITY = 0, 1, 2, 3
HEADS: Final = ("onset", "offset", "frame", "velocity")

#: Root-mean-square level (full scale = 1) that a whole recording is brought to before it is cut.
TARGET_RMS: Final = 0.05

PIANO: Final = ModelContract(
    model="piano",
    inputs=(TensorSpec("audio", "INT16", (CHUNK_SAMPLES,)),),
    outputs=(TensorSpec("posteriors", "UINT8", (len(HEADS), CHUNK_FRAMES, PITCHES)),),
    max_batch=8,
)
