"""The network of the `piano` model.

Small convolutions on a log-frequency spectrogram are shared by all pitches; *harmonic gathers*
bring each pitch what lies at its partials and at the pitches it may be a partial of (the idea of
harmonic stacking: Bittner et al. 2017; Wei et al. 2022), so that a narrow network sees the whole
spectrum; one bidirectional LSTM, shared by all pitches, follows each key through time, at half the
frame rate, since the convolutions beside it keep the exact times.

Shapes: B recordings, T frames, C channels, P = 88 keys, F = 99 pitches on the spectrogram's axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.training.piano.spectrogram import AXIS_PITCHES, WINDOW_CAPS, Spectrogram
from services.amt.contract import HEADS, PITCHES

#: Semitones from a key to the partials 1 to 8 of its own, and down to keys it may be a partial of.
PARTIALS = (0, 12, 19, 24, 28, 31, 34, 36, -12, -19, -24)
#: The second gather, over keys rather than partials: octaves and twelfths both ways.
RELATIVES = (0, 12, 19, 24, -12, -19, -24)


@dataclass(frozen=True)
class NetworkSize:
    """Widths of the network's layers, in channels."""

    first: int = 24
    second: int = 40
    pitch: int = 64
    lstm: int = 48


def _normalised(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], dilation: int = 1) -> nn.Sequential:
    """Convolution over (time, pitch) that keeps both lengths, normalisation, ReLU."""
    padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=(dilation, 1), bias=False)
    return nn.Sequential(layer, _normalised(outputs))


class _Shifted(torch.autograd.Function):
    """Copies of `padded` shifted along its last axis, stacked as channels.

    Autograd's own backward would make one full-size gradient for every slice; this adds each
    slice's gradient in place, which saves a tenth of a training step.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, starts: tuple[int, ...]) -> Tensor:
        ctx.starts, ctx.shape = starts, padded.shape
        return torch.cat([padded[..., s : s + PITCHES] for s in starts], dim=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        whole = torch.zeros(ctx.shape, dtype=grad.dtype, device=grad.device)
        whole = whole.contiguous(memory_format=torch.channels_last)
        for start, part in zip(ctx.starts, grad.chunk(len(ctx.starts), dim=1), strict=True):
            whole[..., start : start + PITCHES] += part
        return whole, None


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
    """[B, C, T, F] -> [B, C', T, P]: a 1x1 convolution over copies shifted along the pitch axis."""

    def __init__(self, inputs: int, outputs: int, axis: int, shifts: Sequence[int]) -> None:
        super().__init__()
        self.shifts = tuple(shifts)
        self.below = -min(shifts)
        self.above = max(0, max(shifts) + PITCHES - axis)
        self.mix = nn.Sequential(
            nn.Conv2d(inputs * len(self.shifts), outputs, 1, bias=False), _normalised(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gather and mix."""
        padded = nn.functional.pad(x, (self.below, self.above))
        starts = tuple(self.below + shift for shift in self.shifts)
        if self.training:
            return self.mix(_Shifted.apply(padded, starts))
        return self.mix(torch.cat([padded[..., s : s + PITCHES] for s in starts], dim=1))


class PianoNetwork(nn.Module):
    """Audio [B, samples], full scale 1 -> logits [B, 4 heads, T, P] in the order of `HEADS`."""

    def __init__(self, size: NetworkSize | None = None) -> None:
        super().__init__()
        size = size or NetworkSize()
        self.size = size
        self.spectrogram = Spectrogram()
        self.input_norm = nn.BatchNorm2d(len(WINDOW_CAPS))
        self.bins = _conv(len(WINDOW_CAPS), size.first, (3, 7))
        self.to_semitones = nn.Sequential(
            nn.Conv2d(size.first, size.second, (3, 5), stride=(1, 3), padding=(1, 1), bias=False),
            _normalised(size.second),
        )
        self.pitch_bias = nn.Parameter(torch.zeros(size.second, 1, AXIS_PITCHES))
        self.gather = HarmonicGather(size.second, size.pitch, AXIS_PITCHES, PARTIALS)
        self.local = _conv(size.pitch, size.pitch, (3, 3))
        self.regather = HarmonicGather(size.pitch, size.pitch, PITCHES, RELATIVES)
        self.wide = _conv(size.pitch, size.pitch, (5, 3))
        self.sparse = _conv(size.pitch, size.pitch, (5, 1), dilation=3)
        self.lstm = nn.LSTM(size.pitch, size.lstm, batch_first=True, bidirectional=True)
        self.heads = nn.Linear(size.pitch + 2 * size.lstm, len(HEADS))
        with torch.no_grad():
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
