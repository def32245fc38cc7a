"""From the network's maps to what is served: the likeliest symbols of a tile, each with all that it says.

In Keras' own operations; this is the part of the exported graph behind the network, and validation asks
through it too. B tiles, G cells a side, K candidates.
"""

from __future__ import annotations

from typing import Any, Final

from keras import ops

from pipelines.training.symbols.kernels import channel_axis
from pipelines.training.symbols.network import STAVES_CHANNEL, SymbolsNetwork, attribute, by_cell
from services.omr.contract import CANDIDATES, CELL_PX, HIGHEST_POSITION, STAFF_SPACE_PX

#: Logs of the smallest and largest size told, in staff spaces: half a px to beyond the largest tile.
_LOG_SIZES: Final = (-3.0, 5.0)


def served(network: SymbolsNetwork, tile: Any, count: int = CANDIDATES) -> tuple[Any, Any]:
    """What the model answers to tiles uint8 [B, T, T].

    Returns:
        candidates float32 [B, K, FIELDS], likeliest first, in the order of `services.omr.contract`, in px of
        the tile; and the staves' middle lines, uint8 [B, G, G].
    """
    maps, features = network(tile, training=False)
    likely = ops.sigmoid(ops.cast(maps, "float32"))
    scores, kind, cell, cells = _peaks(likely, count)
    # Counted by a sum, as the exporter knows neither a range over the batch nor a gather along an axis.
    tile_number = ops.cumsum(ops.ones_like(cell[:, :1]), axis=0) - 1
    row = ops.reshape(tile_number * (cells * cells) + cell, (-1,))
    read = ops.cast(network.reader(ops.take(by_cell(features), row, axis=0)), "float32")
    centres = ops.stack([cell % cells, cell // cells], axis=-1)
    columns = _columns(read, ops.reshape(centres, (-1, 2)), CELL_PX)
    columns = ops.reshape(columns, (-1, count, columns.shape[-1]))
    named = ops.stack([scores, ops.cast(kind, "float32")], axis=-1)
    staves = likely[:, STAVES_CHANNEL] if channel_axis() == 1 else likely[..., STAVES_CHANNEL]
    return ops.concatenate([named, columns], axis=-1), ops.cast(ops.round(staves * 255), "uint8")


def _peaks(likely: Any, count: int) -> tuple[Any, Any, Any, int]:
    """The highest peaks of the heat-maps: probability, class and cell, each [B, K]; and cells a side.

    A cell is a peak if it is the highest of the nine around it.
    """
    first = channel_axis() == 1
    heat = likely[:, :STAVES_CHANNEL] if first else likely[..., :STAVES_CHANNEL]
    cells = heat.shape[2]
    heat = ops.where(heat >= ops.max_pool(heat, 3, strides=1, padding="same"), heat, 0.0)
    scores, found = ops.top_k(ops.reshape(heat, (-1, cells * cells * STAVES_CHANNEL)), count)
    if first:
        return scores, found // (cells * cells), found % (cells * cells), cells
    return scores, found % STAVES_CHANNEL, found // STAVES_CHANNEL, cells


def _columns(read: Any, cells: Any, cell_px: int) -> Any:
    """Fields of candidates from X on: [N, FIELDS - 2] from what is read at cells (column, row) [N, 2]."""
    centre = (ops.cast(cells, "float32") + 0.5 + attribute(read, "offset")) * cell_px
    size = ops.exp(ops.clip(attribute(read, "size"), *_LOG_SIZES)) * STAFF_SPACE_PX
    positions = ops.softmax(attribute(read, "position"), axis=-1)
    position = ops.cast(ops.argmax(positions, axis=-1), "float32") - HIGHEST_POSITION
    told = ops.stack([position, ops.max(positions, axis=-1)], axis=-1)
    choices = [
        ops.log_softmax(attribute(read, name), axis=-1) for name in ("duration", "dots", "stem", "tuplet")
    ]
    answers = [ops.sigmoid(attribute(read, name)) for name in ("grace", "tied_back", "tied_on")]
    return ops.concatenate([centre, size, told, *choices, *answers], axis=-1)
