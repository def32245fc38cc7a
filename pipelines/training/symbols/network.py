"""The network of the `symbols` model: a centre-point detector that also reads what it finds.

Symbols are peaks of a heat-map (Zhou et al. 2019, *Objects as Points*); what a symbol means, above all a
note's staff position and duration, is read from the features at its peak. Residual blocks at strides 4, 8
and 16, the coarse levels added back top-down, so that a head sees its beams, its staff and its clef.

Written in Keras' own operations, so that it trains on the TensorFlow and on the torch backend alike.
Shapes: B tiles, T px a side, G = T / 4 cells a side, channels before or after them as
`keras.config.image_data_format()` says (torch on a CPU: first, TensorFlow: last).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import keras
from keras import layers, ops

from pipelines.training.symbols.kernels import Convolution, Normalisation, channel_axis, doubled
from services.omr.contract import POSITIONS
from services.omr.vocabulary import CLASSES, VALUES_QUARTERS

#: What is read at a symbol's centre, in order, each with its number of values.
ATTRIBUTES: Final = {
    "offset": 2,  # centre from the middle of its cell, in cells: x, y
    "size": 2,  # log of width and height in staff spaces
    "position": POSITIONS,
    "duration": len(VALUES_QUARTERS),
    "dots": 3,
    "stem": 3,
    "tuplet": 3,
    "grace": 1,
    "tied_back": 1,
    "tied_on": 1,
}
#: The last channel of the maps: how likely a staff's middle line runs through the cell.
STAVES_CHANNEL: Final = len(CLASSES)
MAPS: Final = len(CLASSES) + 1

#: Of 9,216 cells few hold a symbol: peaks start at a probability of 0.01.
_RARE: Final = -4.6


@dataclass(frozen=True)
class NetworkSize:
    """Widths of the network's layers, in channels."""

    stem: int = 16
    fine: int = 32
    middle: int = 64
    coarse: int = 128
    heat: int = 64
    features: int = 96
    reader: int = 192


def _conv(x: Any, channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> Any:
    conv = Convolution(channels, kernel, stride, dilation, use_bias=False, kernel_initializer="he_normal")
    return Normalisation()(conv(x))


def _block(x: Any, dilation: int = 1) -> Any:
    """Two convolutions beside the identity (He et al. 2016)."""
    channels = x.shape[channel_axis()]
    inner = layers.ReLU()(_conv(x, channels, dilation=dilation))
    return layers.ReLU()(layers.add([x, _conv(inner, channels)]))


def _halved(x: Any, channels: int) -> Any:
    """Half the resolution. A kernel of 4 lies evenly around the cell it makes."""
    return layers.ReLU()(_conv(x, channels, kernel=4, stride=2))


def _joined(fine: Any, coarse: Any) -> Any:
    """The coarser level, projected and doubled, added to the finer one."""
    channels = fine.shape[channel_axis()]
    projected = Convolution(channels, 1)(coarse)
    return layers.add([fine, doubled(projected)])


def _detector(size: NetworkSize) -> keras.Model:
    """Tiles uint8 [B, T, T] -> logits of the maps (`MAPS` channels) and features, both over [G, G].

    T is any multiple of 16.
    """
    tile = keras.Input((None, None), dtype="uint8", name="tile")
    ink = layers.Rescaling(-1 / 255, offset=1.0)(ops.expand_dims(tile, channel_axis()))
    fine = _block(_halved(_halved(ink, size.stem), size.fine))
    middle = _halved(fine, size.middle)
    for dilation in (1, 2, 1):
        middle = _block(middle, dilation)
    coarse = _halved(middle, size.coarse)
    for dilation in (1, 2, 4, 2, 1):
        coarse = _block(coarse, dilation)
    middle = _block(_joined(middle, coarse))
    fine = _block(_joined(Convolution(size.fine, 1)(fine), middle))
    rare = keras.initializers.Constant(_RARE)
    heat = layers.ReLU()(_conv(fine, size.heat))
    maps = Convolution(MAPS, 1, bias_initializer=rare, name="maps")(heat)
    features = layers.ReLU()(_conv(fine, size.features, dilation=2))
    return keras.Model(tile, [maps, features], name="detector")


def _reader(size: NetworkSize) -> keras.Model:
    """Features of one cell [N, F] -> all `ATTRIBUTES` one after the other [N, sum of their sizes]."""
    features = keras.Input((size.features,))
    hidden = layers.Dense(size.reader, activation="relu", kernel_initializer="he_normal")(features)
    return keras.Model(features, layers.Dense(sum(ATTRIBUTES.values()))(hidden), name="reader")


class SymbolsNetwork(keras.Model):
    """Detector and reader; `policy` is Keras' dtype policy, such as "mixed_bfloat16"."""

    def __init__(self, size: NetworkSize | None = None, policy: str = "float32") -> None:
        super().__init__()
        size = size or NetworkSize()
        usual = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            self.detector, self.reader = _detector(size), _reader(size)
        finally:
            keras.config.set_dtype_policy(usual)
        self.built = True

    def call(self, tile: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Tiles uint8 [B, T, T] -> logits of the maps and features, as the detector gives them."""
        return self.detector(tile, training=training)


def by_cell(maps: Any) -> Any:
    """Maps of a batch as rows, one for each cell: [B * G * G, channels]."""
    if channel_axis() == 1:
        maps = ops.transpose(maps, (0, 2, 3, 1))
    return ops.reshape(maps, (-1, maps.shape[-1]))


def attribute(values: Any, name: str) -> Any:
    """The columns of one of `ATTRIBUTES` among all of them [N, ...]."""
    names = list(ATTRIBUTES)
    start = sum(ATTRIBUTES[each] for each in names[: names.index(name)])
    return values[:, start : start + ATTRIBUTES[name]]
