"""The spectrogram in front of the network: magnitudes on a log-frequency axis, in several resolutions.

Every bin is one windowed complex exponential (Brown 1991, constant Q), so a bin per third of a
semitone costs no large Fourier transform, and the whole is one strided convolution: cheap to
store, and exactly the same in training, in ONNX Runtime and in TensorRT. A window is as long as the
bin's bandwidth asks, up to a cap; the caps are the resolutions: the longest tells bass notes apart,
the shortest tells when things happen.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from services.amt.contract import HOP_SAMPLES, LOWEST_PITCH, SAMPLE_RATE_HZ

BINS_PER_SEMITONE = 3
#: Pitches on the spectrogram's axis: the 88 keys and the room for partials above them.
AXIS_PITCHES = 99
BINS = AXIS_PITCHES * BINS_PER_SEMITONE
WINDOW_CAPS = (4096, 1536, 512)
#: Levels are computed on a scale this much larger than the audio's: squares of soft partials would
#: vanish in the half precision that TensorRT computes in; loud ones still fit.
SCALE = 64.0
#: The softest level told from silence, full scale = 1: the rounding of 16-bit audio.
SOFTEST = 1e-5


def taps(cap: int) -> int:
    """Hops that a window of `cap` samples spans, rounded up to an even number."""
    return 2 * -(-cap // (2 * HOP_SAMPLES))


def kernels(cap: int) -> np.ndarray:
    """Real and imaginary analysis kernels for one cap: float32 [2 * BINS, taps(cap) * HOP_SAMPLES].

    Kernels are centred; a sinusoid of amplitude 1 has magnitude 1 in its own bin.
    """
    span = taps(cap) * HOP_SAMPLES
    time = np.arange(span) - span // 2
    pitches = LOWEST_PITCH + (np.arange(BINS) - 1) / BINS_PER_SEMITONE
    hz = 440.0 * 2 ** ((pitches - 69) / 12)
    spacing_hz = hz * (2 ** (1 / (12 * BINS_PER_SEMITONE)) - 1)
    # A Hann window of L samples has its first zeros 2/L cycles a sample from its centre.
    lengths = np.minimum(cap, 2.2 * SAMPLE_RATE_HZ / spacing_hz)
    inside = np.abs(time)[None] < lengths[:, None] / 2
    window = np.where(inside, 0.5 + 0.5 * np.cos(2 * np.pi * time[None] / lengths[:, None]), 0)
    window *= 2 / window.sum(axis=1, keepdims=True)
    window[hz >= SAMPLE_RATE_HZ / 2] = 0
    phase = 2 * np.pi * hz[:, None] * time[None] / SAMPLE_RATE_HZ
    return np.concatenate([np.cos(phase) * window, np.sin(phase) * window]).astype(np.float32)


class Spectrogram(nn.Module):
    """Log magnitudes: audio [B, T * HOP_SAMPLES], full scale 1 -> [B, caps, T, BINS].

    Frame t is centred on sample t * HOP_SAMPLES; beyond its ends the audio counts as silence.
    """

    def __init__(self) -> None:
        super().__init__()
        for index, cap in enumerate(WINDOW_CAPS):
            # Kernel samples are grouped by hop: the convolution runs over hops, not samples.
            by_hop = kernels(cap).reshape(2 * BINS, taps(cap), HOP_SAMPLES).transpose(0, 2, 1)
            # Half precision halves the file; the kernels' rounding lies 66 dB below the signal.
            self.register_buffer(f"kernels_{index}", torch.tensor(by_hop.copy()).half())

    def forward(self, audio: Tensor) -> Tensor:
        """Audio to log magnitudes."""
        batch, samples = audio.shape
        frames = samples // HOP_SAMPLES
        hops = (audio * SCALE).reshape(batch, frames, HOP_SAMPLES).transpose(1, 2)
        return torch.stack([self._levels(hops, index) for index in range(len(WINDOW_CAPS))], dim=1)

    def _levels(self, hops: Tensor, index: int) -> Tensor:
        """One resolution: hops [B, HOP_SAMPLES, T] -> [B, T, BINS]."""
        side = taps(WINDOW_CAPS[index]) // 2
        weights = self.get_buffer(f"kernels_{index}").float()
        parts = nn.functional.conv1d(nn.functional.pad(hops, (side, side - 1)), weights)
        real, imaginary = parts.chunk(2, dim=1)
        magnitude = torch.sqrt(real * real + imaginary * imaginary + (SCALE * 1e-6) ** 2)
        levels = torch.log(magnitude + SCALE * SOFTEST) - math.log(SCALE)
        return (levels * 0.25 + 1.5).transpose(1, 2)
