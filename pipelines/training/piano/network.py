"""The network of the `piano` model.

Small convolutions on a log-frequency spectrogram are shared by all pitches; *harmonic gathers*
bring each pitch what lies at its partials and at the pitches it may be a partial of (the idea of
harmonic stacking: Bittner et al. 2017; Wei et al. 2022), so that a narrow network sees the whole
spectrum; the mean over all keys tells each of them what the pedal does to the others; one
bidirectional LSTM, shared by all pitches, follows each key through time, at half the frame rate,
since the convolutions beside it keep the exact times.

Shapes: B recordings, T frames, C channels, P = 88 keys, F = 99 pitches on the spectrogram's axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.training.distributed import BatchNorm2d
from pipelines.training.piano.spectrogram import AXIS_PITCHES, WINDOW_CAPS, Spectrogram
from services.amt.contract import HEADS, PITCHES


@dataclass(frozen=True)
class Comb:
    """Equally spaced shifts along the pitch axis, in semitones: first, first + step, ..."""

    first: int
    step: int
    count: int

    @property
    def last(self) -> int:
        """The highest shift."""
        return self.first + self.step * (self.count - 1)


#: From a key to its own partials 1 to 8 (0, 12, 19, 24, 28, 31, 34, 36 semitones up), and down to the
#: keys it may be the second, third or fourth partial of.
PARTIALS = (Comb(-24, 12, 6), Comb(-19, 38, 2), Comb(28, 3, 3))
#: The second gather, over keys rather than partials: octaves and twelfths both ways.
RELATIVES = (Comb(-24, 12, 5), Comb(-19, 38, 2))


@dataclass(frozen=True)
class NetworkSize:
    """Widths of the network's layers, in channels."""

    first: int = 24
    second: int = 40
    pitch: int = 64
    lstm: int = 48


def _normalised(channels: int) -> nn.Sequential:
    return nn.Sequential(BatchNorm2d(channels), nn.ReLU())


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], dilation: int = 1) -> nn.Sequential:
    """Convolution over (time, pitch) that keeps both lengths, normalisation, ReLU."""
    padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=(dilation, 1), bias=False)
    return nn.Sequential(layer, _normalised(outputs))


class _ChannelsLastGradient(torch.autograd.Function):
    """The identity; hands its gradient on in the channels-last layout.

    The gradient that comes back from the LSTM is laid out by key; left so, every layer before it
    would copy it anew.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad.contiguous(memory_format=torch.channels_last)


class HarmonicGather(nn.Module):
    """[B, C, T, F] -> [B, C', T, P]: each key mixes what lies at fixed intervals from it.

    The intervals form a few combs, and a comb is a dilated convolution, so nothing is copied: three
    times as fast as stacking shifted copies, in a fraction of the memory.
    """

    def __init__(self, inputs: int, outputs: int, axis: int, combs: Sequence[Comb]) -> None:
        super().__init__()
        self.reach = [(-comb.first, comb.last + PITCHES - axis) for comb in combs]
        self.combs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (1, comb.count), dilation=(1, comb.step), bias=False) for comb in combs
        )
        # As if the combs were one convolution: their sum starts with the variance of one.
        taps = sum(comb.count for comb in combs)
        for comb, conv in zip(combs, self.combs, strict=True):
            nn.init.kaiming_uniform_(conv.weight, a=math.sqrt(5 * taps / comb.count))
        self.norm = BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Gather and mix."""
        parts = [
            conv(nn.functional.pad(x, reach)) for conv, reach in zip(self.combs, self.reach, strict=True)
        ]
        return torch.relu(self.norm(sum(parts[1:], parts[0])))

    @torch.no_grad()
    def fold_norm(self) -> None:
        """Put the (trained) normalisation into the convolutions, for inference."""
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        for conv in self.combs:
            conv.weight *= scale[:, None, None, None]
        self.combs[0].bias = nn.Parameter(self.norm.bias - self.norm.running_mean * scale)
        self.norm = nn.Identity()


class PianoNetwork(nn.Module):
    """Audio [B, samples], full scale 1 -> logits [B, 4 heads, T, P] in the order of `HEADS`."""

    def __init__(self, size: NetworkSize | None = None) -> None:
        super().__init__()
        size = size or NetworkSize()
        self.size = size
        self.spectrogram = Spectrogram()
        self.input_norm = BatchNorm2d(len(WINDOW_CAPS))
        self.bins = _conv(len(WINDOW_CAPS), size.first, (3, 7))
        self.to_semitones = nn.Sequential(
            nn.Conv2d(size.first, size.second, (3, 5), stride=(1, 3), padding=(1, 1), bias=False),
            _normalised(size.second),
        )
        self.pitch_bias = nn.Parameter(torch.zeros(size.second, 1, AXIS_PITCHES))
        self.gather = HarmonicGather(size.second, size.pitch, AXIS_PITCHES, PARTIALS)
        self.local = _conv(size.pitch, size.pitch, (3, 3))
        self.regather = HarmonicGather(size.pitch, size.pitch, PITCHES, RELATIVES)
        self.keyboard = nn.Conv2d(size.pitch, size.pitch, 1)
        self.wide = _conv(size.pitch, size.pitch, (5, 3))
        self.sparse = _conv(size.pitch, size.pitch, (5, 1), dilation=3)
        self.lstm = nn.LSTM(size.pitch, size.lstm, batch_first=True, bidirectional=True)
        self.heads = nn.Linear(size.pitch + 2 * size.lstm, len(HEADS))
        with torch.no_grad():
            # What all keys share joins in as it proves useful.
            nn.init.zeros_(self.keyboard.weight)
            nn.init.zeros_(self.keyboard.bias)
            # Start from how rare each event is; velocity starts in the middle.
            self.heads.bias.copy_(torch.tensor([-4.0, -4.0, -2.5, 0.0]))

    def forward(self, audio: Tensor) -> Tensor:
        """Audio to logits."""
        with torch.no_grad(), torch.autocast(audio.device.type, enabled=False):
            x = self.spectrogram(audio.float())
        return self.from_spectrogram(x)

    def from_spectrogram(self, x: Tensor) -> Tensor:
        """Spectrogram [B, caps, T, bins] -> logits [B, 4, T, P]."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.to_semitones(self.bins(self.input_norm(x)))[..., :AXIS_PITCHES]
        x = self.gather(x + self.pitch_bias.to(x.dtype))
        x = x + self.local(x)
        x = x + self.regather(x)
        x = x + self.keyboard(x.mean(dim=3, keepdim=True))
        x = x + self.wide(x)
        x = x + self.sparse(x)
        if self.training:
            x = _ChannelsLastGradient.apply(x)
        batch, channels, frames, keys = x.shape
        by_key = x.permute(0, 3, 2, 1).reshape(batch * keys, frames, channels)
        halves = by_key.view(batch * keys, frames // 2, 2, channels).mean(dim=2)
        in_time, _ = self.lstm(halves)
        in_time = in_time.repeat_interleave(2, dim=1)
        out = self.heads(torch.cat([by_key, in_time], dim=2))
        return out.view(batch, keys, frames, len(HEADS)).permute(0, 3, 2, 1)
