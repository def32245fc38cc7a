"""DeepScoresV2: pages with their symbols, from its annotation files, in this project's vocabulary.

The data set (Tuggener and others, "The DeepScoresV2 Dataset and Benchmark for Music Object Detection", 2020)
comes as a folder of pictures and annotation files in the OBB format (https://github.com/yvan674/obb_anns),
one JSON object each with `categories` (id -> `name`, `annotation_set`), `images` (list of `filename`,
`ann_ids`) and `annotations` (id -> `a_bbox`, an upright box as left, top, right, bottom in px; `cat_id`, a
category for each annotation set).

What it does not tell is left unknown in the pages: barlines, measures, systems, voices, values and onsets.
Staff positions are computed from the boxes of its staves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.engraving.pages import (
    ENGRAVED_SPACE_PX,
    MEASURE_FIELDS,
    STAFF_FIELDS,
    SYMBOL_FIELDS,
    UNKNOWN_POSITION,
    EngravedPage,
)
from services.omr.contract import HIGHEST_POSITION
from services.omr.vocabulary import CLASS_INDEX, HEADS, SymbolClass

ANNOTATION_SET: Final = "deepscores"
_SMALL: Final = "Small"
#: Ends of ties and slurs are squares of this size, in staff spaces, as in rendered pages.
_END_SPACES: Final = 0.8


def _by_name(*pairs: tuple[SymbolClass, str]) -> dict[str, SymbolClass]:
    return {name: kind for kind, names in pairs for name in names.split()}


_HEAD_PLACES: Final = ("OnLine", "OnLineSmall", "InSpace", "InSpaceSmall")

#: Classes of DeepScoresV2 that are one of ours; curves and octave clefs take more than a name.
KINDS: Final[Mapping[str, SymbolClass]] = {
    **{f"noteheadBlack{place}": SymbolClass.NOTEHEAD_BLACK for place in _HEAD_PLACES},
    **{f"noteheadHalf{place}": SymbolClass.NOTEHEAD_HALF for place in _HEAD_PLACES},
    **{f"noteheadWhole{place}": SymbolClass.NOTEHEAD_WHOLE for place in _HEAD_PLACES},
    **{kind.value: kind for kind in SymbolClass if kind.value.startswith(("rest", "timeSig", "tuplet"))},
    **_by_name(
        (SymbolClass.BRACE, "brace"),
        (SymbolClass.G_CLEF, "clefG"),
        (SymbolClass.F_CLEF, "clefF"),
        (SymbolClass.C_CLEF, "clefCAlto clefCTenor"),
        (SymbolClass.SHARP, "accidentalSharp accidentalSharpSmall keySharp"),
        (SymbolClass.FLAT, "accidentalFlat accidentalFlatSmall keyFlat"),
        (SymbolClass.NATURAL, "accidentalNatural accidentalNaturalSmall keyNatural"),
        (SymbolClass.DOUBLE_SHARP, "accidentalDoubleSharp"),
        (SymbolClass.DOUBLE_FLAT, "accidentalDoubleFlat"),
        (SymbolClass.AUGMENTATION_DOT, "augmentationDot"),
        (SymbolClass.STEM, "stem"),
        (SymbolClass.BEAM, "beam"),
        (SymbolClass.FLAG_8TH, "flag8thUp flag8thUpSmall flag8thDown flag8thDownSmall"),
        (SymbolClass.FLAG_16TH, "flag16thUp flag16thDown"),
        (SymbolClass.FLAG_32ND, "flag32ndUp flag32ndDown"),
        (SymbolClass.STACCATO, "articStaccatoAbove articStaccatoBelow"),
        (SymbolClass.ACCENT, "articAccentAbove articAccentBelow"),
        (SymbolClass.TENUTO, "articTenutoAbove articTenutoBelow"),
        (SymbolClass.MARCATO, "articMarcatoAbove articMarcatoBelow"),
        (SymbolClass.FERMATA, "fermataAbove fermataBelow"),
        (SymbolClass.TRILL, "ornamentTrill"),
        (SymbolClass.DYNAMIC_P, "dynamicP"),
        (SymbolClass.DYNAMIC_M, "dynamicM"),
        (SymbolClass.DYNAMIC_F, "dynamicF"),
        (SymbolClass.DYNAMIC_S, "dynamicS"),
        (SymbolClass.PEDAL, "keyboardPedalPed"),
        (SymbolClass.PEDAL_UP, "keyboardPedalUp"),
    ),
}
CURVES: Final[Mapping[str, tuple[SymbolClass, SymbolClass]]] = {
    "tie": (SymbolClass.TIE_START, SymbolClass.TIE_END),
    "slur": (SymbolClass.SLUR_START, SymbolClass.SLUR_END),
}


@dataclass(frozen=True, slots=True)
class Annotation:
    """One symbol as the data set tells it.

    Attributes:
        name: its class in the data set.
        left, top, right, bottom: its upright box, in px of the picture.
    """

    name: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its box's centre."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def pages(annotations: Path, images: Path) -> Iterator[tuple[str, EngravedPage]]:
    """File name and page of every picture that an annotation file tells of and that has staves.

    Pictures are brought to the staff space of engraved pages.

    Args:
        annotations: such as `deepscores_train.json`.
        images: folder of the pictures.

    Raises:
        FileNotFoundError: a picture is missing.
    """
    told = json.loads(annotations.read_text())
    names = {
        number: category["name"]
        for number, category in told["categories"].items()
        if category["annotation_set"] == ANNOTATION_SET
    }
    for entry in told["images"]:
        found = [
            annotation
            for number in entry["ann_ids"]
            if (annotation := _annotation(told["annotations"][str(number)], names)) is not None
        ]
        picture = cv2.imread(str(images / entry["filename"]), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise FileNotFoundError(f"{images / entry['filename']} is missing, or no picture.")
        page = page_of(picture, found)
        if page is not None:
            yield entry["filename"], page


def _annotation(told: Mapping[str, Any], names: Mapping[str, str]) -> Annotation | None:
    """One annotation under its name in the data set's own classes; None where it has none there."""
    name = next((names[str(number)] for number in told["cat_id"] if str(number) in names), None)
    return None if name is None else Annotation(name, *map(float, told["a_bbox"]))


def page_of(picture: NDArray[np.uint8], annotations: list[Annotation]) -> EngravedPage | None:
    """A picture and its annotations as a page; None where it has no staves to take the scale from."""
    lines = sorted((a for a in annotations if a.name == "staff"), key=lambda a: (a.top, a.left))
    if not lines:
        return None
    space = float(np.median([a.bottom - a.top for a in lines])) / 4
    scale = ENGRAVED_SPACE_PX / space
    staves = np.array(
        [(i, 0, a.left * scale, a.right * scale, a.centre[1] * scale) for i, a in enumerate(lines)],
        STAFF_FIELDS,
    )
    rows = [row for a in annotations for row in _rows(a, annotations, space)]
    symbols = np.zeros(len(rows), SYMBOL_FIELDS)
    for name in SYMBOL_FIELDS.names or ():
        symbols[name] = -1
    for index, (kind, x, y, width, height, grace) in enumerate(rows):
        symbol = symbols[index]
        symbol["kind"], symbol["x"], symbol["y"] = CLASS_INDEX[kind], x * scale, y * scale
        symbol["width"], symbol["height"] = width * scale, height * scale
        symbol["staff"], symbol["position"] = _on_staff(x * scale, y * scale, staves)
        symbol["grace"] = grace
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)
    return EngravedPage(image, symbols, staves, np.zeros(0, MEASURE_FIELDS))


Row = tuple[SymbolClass, float, float, float, float, int]  # class, centre, size, grace


def _rows(annotation: Annotation, others: list[Annotation], space: float) -> list[Row]:
    """The symbols of our vocabulary that an annotation stands for, in px of the picture."""
    if annotation.name in CURVES:
        return _ends(annotation, others, space)
    kind = KINDS.get(annotation.name)
    if kind is None:
        return []
    if kind is SymbolClass.G_CLEF or kind is SymbolClass.F_CLEF:
        kind, annotation = _with_octave(kind, annotation, others)
    grace = int(annotation.name.endswith(_SMALL)) if kind in HEADS else -1
    size = annotation.right - annotation.left, annotation.bottom - annotation.top
    return [(kind, *annotation.centre, *size, grace)]


def _ends(curve: Annotation, others: list[Annotation], space: float) -> list[Row]:
    """A curve's two ends; they lie at its box's edge, upper or lower, that is nearer to a head."""
    heads = [a for a in others if a.name.startswith("notehead")]
    rows: list[Row] = []
    for kind, x in zip(CURVES[curve.name], (curve.left, curve.right), strict=True):
        beside = [a.centre for a in heads if abs(a.centre[0] - x) < 3 * space]
        edges = {
            y: min((abs(head_y - y) for _, head_y in beside), default=0.0) for y in (curve.bottom, curve.top)
        }
        rows.append((kind, x, min(edges, key=edges.__getitem__), *(_END_SPACES * space,) * 2, -1))
    return rows


def _with_octave(
    kind: SymbolClass, clef: Annotation, others: list[Annotation]
) -> tuple[SymbolClass, Annotation]:
    """A clef with the 8 that hangs on it, as one symbol."""
    for eight in (a for a in others if a.name == "clef8"):
        if not clef.left <= eight.centre[0] <= clef.right:
            continue
        reach = (clef.bottom - clef.top) / 4
        joined = Annotation(
            clef.name,
            min(clef.left, eight.left),
            min(clef.top, eight.top),
            max(clef.right, eight.right),
            max(clef.bottom, eight.bottom),
        )
        if abs(eight.top - clef.bottom) < reach:
            below = {SymbolClass.G_CLEF: SymbolClass.G_CLEF_8VB, SymbolClass.F_CLEF: SymbolClass.F_CLEF_8VB}
            return below[kind], joined
        if abs(eight.bottom - clef.top) < reach and kind is SymbolClass.G_CLEF:
            return SymbolClass.G_CLEF_8VA, joined
    return kind, clef


def _on_staff(x: float, y: float, staves: NDArray[np.void]) -> tuple[int, int]:
    """The nearest staff that reaches over x, and the position on it, unknown where it is out of reach."""
    over = np.flatnonzero((staves["left"] <= x) & (x <= staves["right"]))
    if not over.size:
        return -1, UNKNOWN_POSITION
    staff = int(over[np.abs(staves["y"][over] - y).argmin()])
    position = round(float(staves["y"][staff] - y) / (ENGRAVED_SPACE_PX / 2))
    return staff, position if abs(position) <= HIGHEST_POSITION else UNKNOWN_POSITION
