"""What training minimises: peaks, staves, and what is read at the centres of symbols.

In Keras' own operations. N symbols in a batch of B tiles with G cells a side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from keras import ops

from pipelines.training.symbols.network import STAVES_CHANNEL, attribute, by_cell
from services.omr.contract import HIGHEST_POSITION

#: From a count of examples to what their sum is divided by.
Counted = Callable[[Any], Any]

#: How much each loss counts. Pitch hangs on the position, rhythm on the duration.
WEIGHTS: Final = {
    "peaks": 1.0,
    "staves": 4.0,
    "offset": 0.5,
    "size": 0.2,
    "position": 0.5,
    "duration": 0.5,
    "dots": 0.3,
    "stem": 0.2,
    "tuplet": 0.3,
    "grace": 0.3,
    "tied_back": 0.2,
    "tied_on": 0.2,
}
#: From where on errors of offset and size count linearly: 0.4 px, and a tenth of the size.
_SMOOTH: Final = 0.1


@ops.custom_gradient
def _false_peaks(logits: Any, absence: Any) -> Any:
    """Sum of absence * p^2 * softplus(logit): the focal loss (Lin et al. 2017) where no centre is.

    Its gradient is written out, as the 5 million values of a batch are most of what the losses cost.
    """
    likely = ops.sigmoid(logits)
    surprise = ops.softplus(logits)
    weight = absence * likely * likely
    total = ops.sum(ops.cast(weight * surprise, "float32"))

    def gradient(*_: Any, upstream: Any = None) -> tuple[Any, Any]:
        upstream = _[0] if upstream is None else upstream  # as backends differ
        slope = weight * (2 * (1 - likely) * surprise + likely)
        return slope * ops.cast(upstream, slope.dtype), None

    return total, gradient


def _peaks(maps: Any, absence: Any, points: dict[str, Any], counted: Counted) -> Any:
    """Focal loss of the heat-maps, per symbol."""
    cells = by_cell(maps)
    share = ops.cast(ops.reshape(absence, (-1, absence.shape[-1])), cells.dtype) / 255
    at_centre = ops.cast(ops.take(cells, points["cell"], axis=0), "float32")
    logits = ops.take_along_axis(at_centre, points["kind"][:, None], axis=1)[:, 0]
    missed = (1 - ops.sigmoid(logits)) ** 2 * ops.softplus(-logits)
    return (_false_peaks(cells, share) + ops.sum(missed)) / counted(points["kind"].shape[0])


def _staves(maps: Any, wanted: Any) -> Any:
    """Cross-entropy of the staves' map, in excess of what the soft targets make unavoidable."""
    logits = ops.cast(by_cell(maps)[:, STAVES_CHANNEL], "float32")
    wanted = ops.cast(ops.reshape(wanted, (-1,)), "float32") / 255
    least = wanted * ops.log(wanted + 1e-6) + (1 - wanted) * ops.log(1 - wanted + 1e-6)
    # A cell on a line is one in ten.
    return ops.mean((1 + 3 * wanted) * (ops.softplus(logits) - wanted * logits + least))


def at_least_one(count: Any) -> Any:
    """What a sum over the examples of one process is divided by to be their mean; a batch may be empty."""
    return max(1, count) if isinstance(count, int) else ops.maximum(count, 1.0)


def _mean_of(losses: Any, known: Any, counted: Counted) -> Any:
    known = ops.cast(known, "float32")
    return ops.sum(losses * known) / counted(ops.sum(known))


def _smooth(found: Any, wanted: Any, counted: Counted) -> Any:
    """Smooth L1 loss (Girshick 2015)."""
    miss = ops.abs(found - wanted)
    each = ops.where(miss < _SMOOTH, 0.5 * miss * miss / _SMOOTH, miss - 0.5 * _SMOOTH)
    return ops.sum(each) / counted(2 * wanted.shape[0])


def _choice(logits: Any, wanted: Any, counted: Counted) -> Any:
    """Cross-entropy over several values; -1 is not known."""
    last = logits.shape[-1] - 1
    chosen = ops.take_along_axis(ops.log_softmax(logits, axis=-1), ops.clip(wanted, 0, last)[:, None], axis=1)
    return _mean_of(-chosen[:, 0], (wanted >= 0) & (wanted <= last), counted)


def _yes_or_no(logits: Any, wanted: Any, counted: Counted) -> Any:
    """Cross-entropy of a yes; -1 is not known."""
    logits = logits[:, 0]
    return _mean_of(ops.softplus(logits) - ops.cast(wanted, "float32") * logits, wanted >= 0, counted)


def losses(
    maps: Any,
    read: Any,
    absence: Any,
    staves: Any,
    points: dict[str, Any],
    counted: Counted = at_least_one,
) -> dict[str, Any]:
    """All losses by name.

    Args:
        maps: logits of the network's maps.
        read: what the reader says at `points["read"]`, [N, all attributes].
        absence, staves: as in `Targets`, of a batch.
        points: columns of `POINT` as tensors.
        counted: what sums over so many examples are divided by; where several processes train together, it
            makes the mean of their losses the loss of the whole batch.
    """
    read = ops.cast(read, "float32")
    found = {"peaks": _peaks(maps, absence, points, counted), "staves": _staves(maps, staves)}
    for name in ("offset", "size"):
        found[name] = _smooth(attribute(read, name), points[name], counted)
    # Positions that the network does not know (and 99, not known) fall outside of its values.
    position = points["position"] + HIGHEST_POSITION
    found["position"] = _choice(attribute(read, "position"), position, counted)
    for name in ("duration", "dots", "stem", "tuplet"):
        found[name] = _choice(attribute(read, name), points[name], counted)
    for name in ("grace", "tied_back", "tied_on"):
        found[name] = _yes_or_no(attribute(read, name), points[name], counted)
    return found


def total(found: dict[str, Any]) -> Any:
    """One number to minimise."""
    return sum(WEIGHTS[name] * loss for name, loss in found.items())
