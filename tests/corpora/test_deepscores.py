"""The loader of DeepScoresV2, on a made-up sample of the shape of its annotation files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.corpora.deepscores import CURVES, KINDS, pages
from pipelines.engraving.pages import ENGRAVED_SPACE_PX, UNKNOWN_POSITION, EngravedPage
from services.omr.vocabulary import CLASSES, SymbolClass

NAMES = Path("../shared/data/deepscoresv2_classes.txt")
SPACE = 20.0  # staff space of the sample's picture, in px: its staff reaches from y 100 to 180
SCALE = ENGRAVED_SPACE_PX / SPACE


def write_sample(folder: Path, *annotations: tuple[str, tuple[float, float, float, float]]) -> Path:
    """An annotation file with one picture; every annotation has a name in a second set too."""
    names = sorted({name for name, _ in annotations})
    categories: dict[str, Any] = {}
    for index, name in enumerate(names, start=1):
        categories[str(index)] = {"name": name, "annotation_set": "deepscores", "color": index}
        categories[str(index + 136)] = {"name": "other", "annotation_set": "muscima++", "color": index}
    told = {
        "info": {"description": "a sample", "version": "2.0"},
        "annotation_sets": ["deepscores", "muscima++"],
        "categories": categories,
        "images": [
            {
                "id": 410,
                "filename": "page.png",
                "width": 1000,
                "height": 400,
                "ann_ids": [str(number) for number in range(len(annotations))],
            }
        ],
        "annotations": {
            str(number): {
                "a_bbox": list(box),
                "o_bbox": [0.0] * 8,
                "cat_id": [str(names.index(name) + 1), str(names.index(name) + 137)],
                "area": 100,
                "img_id": "410",
                "comments": "",
            }
            for number, (name, box) in enumerate(annotations)
        },
    }
    cv2.imwrite(str(folder / "page.png"), np.full((400, 1000), 255, np.uint8))
    path = folder / "annotations.json"
    path.write_text(json.dumps(told))
    return path


STAFF = ("staff", (50.0, 100.0, 950.0, 180.0))


def load(folder: Path, *annotations: tuple[str, tuple[float, float, float, float]]) -> EngravedPage:
    ((name, page),) = pages(write_sample(folder, STAFF, *annotations), folder)
    assert name == "page.png"
    return page


def kinds_of(page: EngravedPage) -> list[SymbolClass]:
    return [CLASSES[kind] for kind in page.symbols["kind"]]


def test_boxes_come_at_the_scale_of_engraved_pages(tmp_path: Path) -> None:
    page = load(tmp_path, ("noteheadBlackOnLine", (200.0, 150.0, 224.0, 170.0)))
    assert page.image.shape == (round(400 * SCALE), round(1000 * SCALE))
    (symbol,) = page.symbols
    assert kinds_of(page) == [SymbolClass.NOTEHEAD_BLACK]
    assert (symbol["x"], symbol["y"]) == pytest.approx((212 * SCALE, 160 * SCALE))
    assert (symbol["width"], symbol["height"]) == pytest.approx((24 * SCALE, 20 * SCALE))
    (staff,) = page.staves
    assert (staff["left"], staff["right"], staff["y"]) == pytest.approx(
        (50 * SCALE, 950 * SCALE, 140 * SCALE)
    )


def test_positions_are_computed_and_the_rest_stays_unknown(tmp_path: Path) -> None:
    page = load(
        tmp_path,
        ("noteheadBlackOnLine", (200.0, 150.0, 224.0, 170.0)),
        ("noteheadHalfInSpaceSmall", (300.0, 83.0, 318.0, 97.0)),
        ("dynamicP", (970.0, 300.0, 990.0, 320.0)),
    )
    assert page.symbols["position"].tolist() == [-2, 5, UNKNOWN_POSITION]
    assert page.symbols["staff"].tolist() == [0, 0, -1]
    assert page.symbols["grace"].tolist() == [0, 1, -1]
    for name in ("duration", "dots", "stem", "onset", "measure", "voice"):
        assert (page.symbols[name] == -1).all()
    assert len(page.measures) == 0


def test_key_and_clef_names_become_ours_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    page = load(
        tmp_path,
        ("keyFlat", (150.0, 120.0, 165.0, 170.0)),
        ("clefCTenor", (60.0, 100.0, 100.0, 180.0)),
        ("legerLine", (200.0, 198.0, 230.0, 202.0)),
        ("fermataBelow", (300.0, 200.0, 350.0, 225.0)),
    )
    assert kinds_of(page) == [SymbolClass.FLAT, SymbolClass.C_CLEF, SymbolClass.FERMATA]


@pytest.mark.parametrize(
    ("eight", "kind"),
    [
        ((80.0, 205.0, 95.0, 230.0), SymbolClass.G_CLEF_8VB),
        ((80.0, 40.0, 95.0, 65.0), SymbolClass.G_CLEF_8VA),
        ((400.0, 205.0, 415.0, 230.0), SymbolClass.G_CLEF),
    ],
)
def test_a_clef_is_one_symbol_with_its_eight(
    tmp_path: Path, eight: tuple[float, float, float, float], kind: SymbolClass
) -> None:
    page = load(tmp_path, ("clefG", (60.0, 70.0, 110.0, 200.0)), ("clef8", eight))
    assert kinds_of(page) == [kind]


def test_curves_become_ends_on_the_side_of_their_heads(tmp_path: Path) -> None:
    page = load(
        tmp_path,
        ("noteheadBlackOnLine", (200.0, 150.0, 224.0, 170.0)),
        ("noteheadBlackOnLine", (400.0, 150.0, 424.0, 170.0)),
        ("tie", (222.0, 175.0, 402.0, 190.0)),
        ("slur", (212.0, 110.0, 412.0, 140.0)),
    )
    ends = {CLASSES[s["kind"]]: (s["x"] / SCALE, s["y"] / SCALE) for s in page.symbols[2:]}
    assert ends == {
        SymbolClass.TIE_START: pytest.approx((222, 175)),
        SymbolClass.TIE_END: pytest.approx((402, 175)),
        SymbolClass.SLUR_START: pytest.approx((212, 140)),
        SymbolClass.SLUR_END: pytest.approx((412, 140)),
    }


def test_a_picture_without_staves_has_no_scale_and_is_left_out(tmp_path: Path) -> None:
    assert list(pages(write_sample(tmp_path, ("clefG", (0.0, 0.0, 9.0, 9.0))), tmp_path)) == []


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, STAFF)
    (tmp_path / "page.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"page\.png"):
        list(pages(sample, tmp_path))


def test_pages_survive_being_saved(tmp_path: Path) -> None:
    page = load(tmp_path, ("stem", (224.0, 90.0, 226.0, 160.0)))
    page.save(tmp_path / "saved")
    again = EngravedPage.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.symbols, page.symbols)


@pytest.mark.skipif(not NAMES.exists(), reason="needs the class names in ../shared")
def test_names_are_those_of_the_data_set() -> None:
    names = set(NAMES.read_text().split())
    assert names >= {*KINDS, *CURVES}
    assert "staff" in names
