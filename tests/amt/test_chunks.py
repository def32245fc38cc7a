"""The chunk grid: every frame once, from a chunk that saw its neighbourhood."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.amt.chunks import Stitcher, count_chunks, count_frames, cut
from services.amt.contract import CHUNK_FRAMES, CHUNK_SAMPLES, CORE_FRAMES, HALO_FRAMES, HOP_SAMPLES, PITCHES


def _mark(chunk: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Stand for a model: each frame's answer is the sample at its centre, the head and the pitch."""
    centres = chunk[::HOP_SAMPLES].astype(np.int64)[np.newaxis, :, np.newaxis]
    heads = np.arange(4)[:, np.newaxis, np.newaxis]
    return ((centres + 7 * heads + np.arange(PITCHES)) % 251).astype(np.uint8)


@given(st.integers(0, 3 * CORE_FRAMES * HOP_SAMPLES))
@settings(max_examples=40)
def test_every_frame_is_taken_from_where_it_lies(size: int) -> None:
    samples = (np.arange(size, dtype=np.int64) * 31 % 30_011).astype(np.int16)
    stitcher = Stitcher(size)
    for index, chunk in enumerate(cut(samples)):
        assert chunk.shape == (CHUNK_SAMPLES,)
        stitcher.put(index, _mark(chunk))
    padded = np.append(samples, np.zeros(HOP_SAMPLES, np.int16))[: count_frames(size) * HOP_SAMPLES]
    np.testing.assert_array_equal(stitcher.posteriors, _mark(padded))


def test_the_order_of_answers_does_not_matter() -> None:
    samples = np.random.default_rng(0).integers(-9999, 9999, 5 * CHUNK_SAMPLES).astype(np.int16)
    forward, backward = Stitcher(samples.size), Stitcher(samples.size)
    chunks = list(enumerate(cut(samples)))
    for index, chunk in chunks:
        forward.put(index, _mark(chunk))
    for index, chunk in reversed(chunks):
        backward.put(index, _mark(chunk))
    np.testing.assert_array_equal(forward.posteriors, backward.posteriors)


def test_neighbours_overlap_by_two_halos_and_ends_are_zero() -> None:
    samples = np.ones(2 * CORE_FRAMES * HOP_SAMPLES, np.int16)
    first, second, *_ = cut(samples)
    halo = HALO_FRAMES * HOP_SAMPLES
    assert not first[:halo].any()
    assert first[halo:].all()
    assert second.all() or not second[-halo:].any()
    assert CHUNK_FRAMES - CORE_FRAMES == 2 * HALO_FRAMES


def test_chunks_are_cut_when_they_are_asked_for() -> None:
    samples = np.zeros(4 * CHUNK_SAMPLES, np.int16)
    chunks = cut(samples)
    next(chunks)
    samples[:] = 5
    assert next(chunks).all()


def test_counts() -> None:
    assert count_frames(0) == 1
    assert count_frames(HOP_SAMPLES) == 2
    assert count_chunks(0) == 1
    assert count_chunks((CORE_FRAMES - 1) * HOP_SAMPLES) == 1
    assert count_chunks(CORE_FRAMES * HOP_SAMPLES) == 2
