"""The symbols model: tiles, targets, losses, network, a run that resumes, and its export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from pipelines.engraving.pages import MEASURE_FIELDS, STAFF_FIELDS, SYMBOL_FIELDS, EngravedPage
from pipelines.release import symbols as release
from pipelines.release.export_symbols import export, load_network
from pipelines.training.symbols import tiles
from pipelines.training.symbols.damage import damage
from pipelines.training.symbols.lettering import fingerings, words
from pipelines.training.symbols.losses import losses, total
from pipelines.training.symbols.network import ATTRIBUTES, MAPS, NetworkSize, SymbolsNetwork, by_cell
from pipelines.training.symbols.recipe import Recipe
from pipelines.training.symbols.served import served
from pipelines.training.symbols.shelf import Batches, Shelf
from pipelines.training.symbols.targets import POINT, Targets, joined, targets
from pipelines.training.symbols.tiles import Tile, cut, on_nearest_staff
from pipelines.training.symbols.train import Trainer, arrays
from pipelines.training.symbols.validation import average_precision, matches
from services.omr.contract import CANDIDATES, CELLS, CLASS, FIELDS, SCORE, STAFF_SPACE_PX, TILE_PX, X, Y
from services.omr.vocabulary import CLASS_INDEX, SymbolClass

BLACK = CLASS_INDEX[SymbolClass.NOTEHEAD_BLACK]
TENUTO = CLASS_INDEX[SymbolClass.TENUTO]
SMALL = NetworkSize(stem=8, fine=16, middle=16, coarse=16, heat=16, features=16, reader=32)


def symbols(*rows: tuple[int, float, float]) -> NDArray[np.void]:
    """Symbols of (kind, x, y); black heads on the middle line, quarter notes with the stem up."""
    made = np.zeros(len(rows), SYMBOL_FIELDS)
    for field in made.dtype.names:
        made[field] = -1
    for index, (kind, x, y) in enumerate(rows):
        made["kind"][index], made["x"][index], made["y"][index] = kind, x, y
    made["width"], made["height"] = 18, 16
    made["position"] = 99
    heads = made["kind"] == BLACK
    for field, value in (("position", 0), ("duration", 2), ("dots", 0), ("stem", 1), ("grace", 0)):
        made[field][heads] = value
    for field in ("tuplet", "tied_back", "tied_on", "staff"):
        made[field][heads] = 0
    return made


def page(count: int = 12, seed: int = 0, kind: int = BLACK) -> EngravedPage:
    """Two staves with dots for heads on their middle lines."""
    random = np.random.default_rng(seed)
    image = np.full((600, 800), 255, np.uint8)
    staves = np.zeros(2, STAFF_FIELDS)
    staves["left"], staves["right"], staves["y"] = 50, 750, (180, 420)
    for y in staves["y"].astype(int):
        for line in range(-2, 3):
            cv2.line(image, (50, y + 16 * line), (750, y + 16 * line), 0, 2)
    x = np.linspace(80, 720, count) + random.uniform(-8, 8, count)
    y = staves["y"][random.integers(2, size=count)]
    for centre in zip(x, y, strict=True):
        cv2.circle(image, tuple(round(float(v) * 16) for v in centre), 8 * 16, 0, -1, cv2.LINE_AA, 4)
    placed = symbols(*((kind, float(a), float(b)) for a, b in zip(x, y, strict=True)))
    return EngravedPage(image, placed, staves, np.zeros(0, MEASURE_FIELDS))


def seed_weights() -> None:
    """Have networks begin with the same weights each time."""
    import keras  # not before the pipelines, which choose its backend

    keras.utils.set_random_seed(0)


@pytest.fixture
def pages(cache: Path) -> Path:
    """A folder of engraved pages."""
    for name in ("train", "validation"):
        folder = cache / "pages" / name
        folder.mkdir(parents=True)
        for number in range(2):
            page(seed=number).save(folder / f"{number:07d}")
    return cache / "pages"


# ---- tiles


@pytest.mark.parametrize("seed", range(4))
def test_symbols_lie_where_the_bent_tile_shows_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "damage", lambda random, ink, px, lines: ink)
    for marks in ("black_edge", "thick_bars", "fingerings", "words"):
        monkeypatch.setattr(tiles, marks, lambda *_: None)
    whole = page()
    blank = np.full_like(whole.image, 255)
    for symbol in whole.symbols:
        cv2.circle(blank, (round(symbol["x"] * 16), round(symbol["y"] * 16)), 80, 0, -1, cv2.LINE_AA, 4)
    dots = EngravedPage(blank, whole.symbols, whole.staves, whole.measures)
    tile = cut(np.random.default_rng(seed), dots, np.array([400.0, 300.0]), 384, clean=False)
    _, _, _, centres = cv2.connectedComponentsWithStats((tile.image < 128).astype(np.uint8))
    placed = np.stack([tile.symbols["x"], tile.symbols["y"]], 1)
    inside = np.all((placed > 10) & (placed < 374), 1)
    assert inside.sum() >= 4
    for centre in placed[inside]:
        assert np.min(np.hypot(*(centres[1:] - centre).T)) < 0.8
    # The heads stand on the middle lines.
    for x, y in placed[inside]:
        assert min(abs(np.interp(x, line[:, 0], line[:, 1]) - y) for line in tile.lines) < 0.8


def test_a_clean_tile_has_the_served_scale() -> None:
    tile = cut(np.random.default_rng(0), page(), np.array([400.0, 180.0]), 256, clean=True)
    ink = (255 - tile.image[:, 60:190].astype(float)).sum(1)
    middle = 128
    peaks = [
        middle - 40 + int(np.argmax(ink[middle - 40 + 10 * k + 15 : middle - 40 + 10 * k + 25]))
        for k in range(5)
    ]
    assert len(set(peaks)) <= 2
    assert tile.symbols["width"][0] == pytest.approx(18 * STAFF_SPACE_PX / 16)


def test_a_note_is_told_from_the_staff_that_it_lies_nearest_to() -> None:
    engraved = page(count=2)
    engraved.symbols["x"], engraved.symbols["y"] = (200, 400), (420, 180)
    engraved.symbols["staff"], engraved.symbols["position"] = 0, (-30, 0)
    assert on_nearest_staff(engraved).symbols["position"].tolist() == [0, 0]
    engraved.symbols["kind"][0] = TENUTO
    assert on_nearest_staff(engraved).symbols["position"].tolist() == [-30, 0]


def test_damage_is_ink_again_and_repeats_by_its_seed() -> None:
    ink = 1 - page().image[:400, :400].astype(np.float32) / 255
    lines = [np.array([[50, 180], [380, 180]], np.float32)]
    for seed in range(12):
        once, again = (damage(np.random.default_rng(seed), ink.copy(), 1.3, lines) for _ in range(2))
        assert once.shape == ink.shape
        assert once.dtype == np.float32
        assert np.isfinite(once).all()
        assert np.array_equal(once, again)


def test_lettering_spares_the_music() -> None:
    ink = np.zeros((300, 300), np.float32)
    ink[100:140] = 1
    for seed in range(5):
        lettered, random = ink.copy(), np.random.default_rng(seed)
        words(random, lettered, 16.0)
        fingerings(random, lettered, np.array([[150.0, 200.0], [60.0, 200.0], [100.0, 70.0]]), 16.0)
        assert lettered.sum() > ink.sum() + 20
        assert (lettered >= ink).all()
        assert lettered.max() <= 1


def test_rare_symbols_are_shown_more_often_than_they_are_and_new_pages_join(cache: Path) -> None:
    folder = cache / "pages"
    folder.mkdir(parents=True)
    shelf = Shelf(folder)
    with pytest.raises(FileNotFoundError, match=r"pipelines\.engraving\.make"):
        shelf.look()
    for number in range(9):
        page(count=40, seed=number).save(folder / f"{number}")
    shelf.look()
    page(count=3, kind=TENUTO).save(folder / "rare")
    shelf.look()
    assert len(shelf.stems) == 10
    random = np.random.default_rng(0)
    rare = sum(shelf.draw(random)[0].symbols["kind"][0] == TENUTO for _ in range(200))
    assert 40 < rare < 180


# ---- targets and losses


def perfect(wanted: Targets, sure: float = 12.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps and readings that say just what is wanted of one tile."""
    cells = wanted.staves.shape[-1]
    maps = torch.full((1, MAPS, cells, cells), -sure)
    read = torch.zeros(len(wanted.points), sum(ATTRIBUTES.values()))
    flat = maps.permute(0, 2, 3, 1).reshape(-1, MAPS)
    flat[wanted.points["cell"], wanted.points["kind"]] = sure
    flat[:, -1] = torch.logit(torch.from_numpy(wanted.staves.reshape(-1) / 255.0), eps=1e-6).float()
    maps = flat.reshape(1, cells, cells, MAPS).permute(0, 3, 1, 2)
    start = 0
    for name, size in ATTRIBUTES.items():
        column = torch.from_numpy(np.array(wanted.points[name]))
        if name in ("offset", "size"):
            read[:, start : start + size] = column
        elif size == 1:
            read[:, start] = sure * (2 * (column > 0).float() - 1)
        else:
            index = column + (24 if name == "position" else 0)
            known = (index >= 0) & (index < size)
            read[torch.nonzero(known)[:, 0], start + index[known]] = sure
        start += size
    return maps, read


def tensors(wanted: Targets) -> dict[str, torch.Tensor]:
    """The columns of the points."""
    return {name: torch.from_numpy(np.ascontiguousarray(wanted.points[name])) for name in POINT.names}


def one_tile(side: int = 128) -> Targets:
    """Targets of a tile with a head, a tenuto and a staff."""
    line = np.array([[-40, 60], [90, 64]], np.float32)
    placed = symbols((BLACK, 41.0, 61.5), (TENUTO, 100.2, 20.0), (BLACK, 300.0, 20.0))
    return joined([targets(np.random.default_rng(3), placed, [line], side)])


def test_targets_peak_at_centres_and_follow_lines() -> None:
    wanted = one_tile()
    assert wanted.points["cell"].tolist() == [15 * 32 + 10, 4 * 32 + 25]
    where = np.argwhere(wanted.absence[0, :, :, BLACK] == 0).tolist()
    assert where == [[15, 10]]
    assert wanted.absence[0, 15, 10, TENUTO] == 255
    assert wanted.staves[0, :, 5].argmax() in (14, 15)
    assert wanted.staves[0, :, 24:].max() == 0  # beyond the right end


def test_losses_vanish_on_perfect_answers_and_rise_on_others() -> None:
    wanted = one_tile()
    maps, read = perfect(wanted)
    absence, staves = torch.from_numpy(wanted.absence), torch.from_numpy(wanted.staves)
    found = losses(maps, read, absence, staves, tensors(wanted))
    assert all(float(loss) < 2e-3 for loss in found.values()), found
    worse = losses(-maps, -read, absence, staves, tensors(wanted))
    assert all(float(worse[name]) > 0.05 for name in worse), worse


def test_an_empty_batch_has_finite_losses() -> None:
    wanted = joined([targets(np.random.default_rng(0), symbols(), [], 64)])
    maps, read = torch.zeros(1, MAPS, 16, 16), torch.zeros(0, sum(ATTRIBUTES.values()))
    absence, staves = torch.from_numpy(wanted.absence), torch.from_numpy(wanted.staves)
    found = losses(maps, read, absence, staves, tensors(wanted))
    assert all(np.isfinite(float(loss)) for loss in found.values()), found


def test_what_is_not_known_teaches_nothing() -> None:
    placed = symbols((TENUTO, 50, 50))
    wanted = joined([targets(np.random.default_rng(0), placed, [], 128)])
    maps, read = torch.zeros(1, MAPS, 32, 32), torch.zeros(1, sum(ATTRIBUTES.values()), requires_grad=True)
    absence, staves = torch.from_numpy(wanted.absence), torch.from_numpy(wanted.staves)
    total(losses(maps, read, absence, staves, tensors(wanted))).backward()
    assert read.grad is not None
    assert read.grad[0, :4].abs().max() > 0
    assert read.grad[0, 4:].abs().max() == 0


def test_the_written_out_gradient_is_the_true_one() -> None:
    wanted = one_tile()
    absence, staves = torch.from_numpy(wanted.absence), torch.from_numpy(wanted.staves)
    maps, read = perfect(wanted, sure=1.0)
    start = maps + torch.randn(maps.shape, generator=torch.Generator().manual_seed(0))

    def loss(values: torch.Tensor) -> torch.Tensor:
        return losses(values, read, absence, staves, tensors(wanted))["peaks"]

    values = start.clone().requires_grad_()
    loss(values).backward()
    assert values.grad is not None
    # Uphill, where sums in single precision can tell; and along a part of it, should one term be amiss.
    for share in (1.0, (torch.arange(MAPS) == BLACK)[:, None, None], (start > 0)):
        direction = values.grad * share
        direction = direction / direction.norm()
        ahead, behind = loss(start + 0.1 * direction), loss(start - 0.1 * direction)
        slope = float((values.grad * direction).sum())
        assert slope == pytest.approx(float(ahead - behind) / 0.2, rel=0.01)


# ---- network


def test_the_network_has_the_size_it_should_and_any_tile_fits() -> None:
    network = SymbolsNetwork()
    assert 1.7e6 < sum(weight.numel() for weight in network.parameters()) < 2.2e6
    for side in (64, 96):
        maps, features = network(torch.zeros((2, side, side), dtype=torch.uint8))
        assert maps.shape == (2, MAPS, side // 4, side // 4)
        assert features.shape == (2, NetworkSize().features, side // 4, side // 4)


@pytest.fixture(scope="module")
def learned() -> tuple[SymbolsNetwork, Tile]:
    """A small network that has learned one tile by heart."""
    seed_weights()
    network = SymbolsNetwork(SMALL)
    random = np.random.default_rng(1)
    tile = cut(random, page(count=22), np.array([300.0, 180.0]), 192, clean=True)
    wanted = joined([targets(random, tile.symbols, tile.lines, 192)] * 2)
    image = torch.from_numpy(np.stack([tile.image] * 2))
    absence, staves, points = (
        torch.from_numpy(wanted.absence),
        torch.from_numpy(wanted.staves),
        tensors(wanted),
    )
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(150):
        maps, features = network(image, training=True)
        read = network.reader(by_cell(features)[points["read"]])
        optimiser.zero_grad()
        total(losses(maps, read, absence, staves, points)).backward()
        optimiser.step()
    return network, tile


def test_the_network_learns_one_tile(learned: tuple[SymbolsNetwork, Tile]) -> None:
    network, tile = learned
    image = torch.from_numpy(tile.image[None])
    with torch.inference_mode():
        candidates, lines = (answer.numpy()[0] for answer in served(network, image, 40))
    found = candidates[candidates[:, SCORE] > 0.3]
    inside = tile.symbols[(tile.symbols["x"] < 192) & (tile.symbols["y"] < 192)]
    inside = inside[(inside["x"] > 0) & (inside["y"] > 0)]
    assert len(found) == len(inside) > 2
    hits, _ = matches(found, inside)
    assert hits.all()
    on_line = lines[round(float(tile.lines[0][0, 1])) // 4]
    assert np.median(on_line) > 100


_ON_BOTH = """
import sys
import numpy as np
from keras import ops
from pipelines.training.symbols.lettering import fingerings, words
from pipelines.training.symbols.losses import losses, total
from pipelines.training.symbols.network import NetworkSize, SymbolsNetwork, by_cell
from pipelines.training.symbols.served import served

network = SymbolsNetwork(NetworkSize(8, 16, 16, 16, 16, 16, 32))
data = np.load(sys.argv[1])
network.set_weights([data[f"weight_{number}"] for number in range(len(network.weights))])
points = {name[6:]: ops.convert_to_tensor(data[name]) for name in data.files if name.startswith("point_")}
tile = ops.convert_to_tensor(data["tile"])
maps, features = network(tile, training=True)
read = network.reader(ops.take(by_cell(features), points["read"], axis=0))
absence, lines = ops.convert_to_tensor(data["absence"]), ops.convert_to_tensor(data["staves"])
found = losses(maps, read, absence, lines, points)
candidates, staves = served(network, tile, 5)
answer = {name: ops.convert_to_numpy(loss) for name, loss in {**found, "total": total(found)}.items()}
answer["candidates"], answer["middle_lines"] = (ops.convert_to_numpy(each) for each in (candidates, staves))
np.savez(sys.argv[2], **answer)
"""


def test_network_and_losses_are_the_same_on_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed: only torch was tried")
    wanted = one_tile()
    tile = np.random.default_rng(0).integers(0, 255, (1, 128, 128), np.uint8)
    points = {f"point_{name}": wanted.points[name] for name in POINT.names}
    # Weak kernels, lest an untrained network's answers grow beyond what floats can tell apart.
    weak = [w * 0.4 if w.ndim > 1 else w for w in arrays(SymbolsNetwork(SMALL))]
    weights = {f"weight_{number}": w for number, w in enumerate(weak)}
    maps = {"tile": tile, "absence": wanted.absence, "staves": wanted.staves}
    np.savez(tmp_path / "data.npz", **maps, **points, **weights)
    answers = {}
    for backend in ("torch", "tensorflow"):
        path = tmp_path / f"{backend}.npz"
        command = [sys.executable, "-c", _ON_BOTH, str(tmp_path / "data.npz"), str(path)]
        subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": backend})
        answers[backend] = np.load(path)
    for name in answers["torch"].files:
        theirs, ours = answers["tensorflow"][name].astype(float), answers["torch"][name].astype(float)
        assert np.allclose(theirs, ours, rtol=1e-3, atol=1e-3), name


# ---- validation


def test_average_precision_of_a_known_ranking() -> None:
    hits = np.array([True, False, True, True])
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    # Precisions at the hits 1, 2/3, 3/4, made falling: 1, 3/4, 3/4; one of four is missed.
    assert average_precision(scores, hits, 4) == pytest.approx((1 + 0.75 + 0.75) / 4)


def test_a_symbol_is_found_once_by_its_class_and_near() -> None:
    found = np.zeros((4, FIELDS), np.float32)
    found[:, [CLASS, X, Y]] = [(BLACK, 50, 50), (BLACK, 52, 50), (TENUTO, 90, 50), (BLACK, 90, 56)]
    hits, which = matches(found, symbols((BLACK, 51, 50), (BLACK, 90, 50)))
    assert hits.tolist() == [True, False, False, False]
    assert which.tolist() == [0, -1, -1, -1]


# ---- runs


def test_the_rate_rises_then_falls_to_nearly_nothing() -> None:
    recipe = Recipe(steps=1000, warm_up=100)
    rates = [recipe.rate_at(step) for step in range(1001)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 100)
    assert max(rates) == pytest.approx(recipe.learning_rate)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] < 0.01 * recipe.learning_rate


def test_batches_repeat_by_seed_and_go_on_elsewhere(pages: Path) -> None:
    recipe = Recipe(tile_px=64, batch=2, workers=0)
    first, again, later = (next(iter(Batches(pages / "train", recipe, skip))) for skip in (0, 0, 7))
    assert torch.equal(first["tile"], again["tile"])
    assert not torch.equal(first["tile"], later["tile"])
    assert first["tile"].shape == (2, 64, 64)
    assert first["absence"].shape == (2, 16, 16, MAPS)


def test_a_run_resumes_reports_and_is_released(
    pages: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "_TILES", 4)
    recipe = Recipe(tile_px=64, batch=2, steps=1, workers=0, report_every=1, validated=2)
    folder = cache / "runs" / "test"
    folder.mkdir(parents=True)
    Trainer(recipe, folder, pages).run()
    second = Trainer(replace(recipe, steps=2), folder, pages)
    assert second.step == 1
    second.run()
    assert (folder / "validation.csv").read_text().count("\n") == 3
    assert (folder / "losses.csv").read_text().count("\n") == 3
    assert (folder / "curves.png").stat().st_size > 1_000
    # Two steps teach nothing, and paper that is all alike has peaks in any order: silence them.
    state = torch.load(folder / "last.ckpt", weights_only=False)
    state["average"] = [w * 0 if w.ndim > 1 else w for w in state["average"]]
    torch.save(state, folder / "last.ckpt")
    card = release.make_version(folder / "last.ckpt", pages, tmp_path / "symbols", 3)
    model = tmp_path / "symbols" / "3" / "model.onnx"
    assert card["recipe"]["steps_done"] == 2
    assert json.loads(json.dumps(card)) == card
    operators = {node.op_type for node in onnx.load(str(model)).graph.node}
    assert "BatchNormalization" not in operators
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        tile = np.zeros((batch, TILE_PX, TILE_PX), np.uint8)
        candidates, staves = session.run(["candidates", "staves"], {"tile": tile})
        assert (candidates.shape, candidates.dtype) == ((batch, CANDIDATES, FIELDS), np.float32)
        assert (staves.shape, staves.dtype) == ((batch, CELLS, CELLS), np.uint8)


def test_an_export_answers_as_the_network_and_one_that_differs_is_refused(
    learned: tuple[SymbolsNetwork, Tile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, tile = learned
    model = tmp_path / "model.onnx"
    images = np.full((2, TILE_PX, TILE_PX), 255, np.uint8)
    images[1, :192, :192] = tile.image
    assert export(network, model, images) < 1e-3
    assert model.exists()
    model.unlink()
    monkeypatch.setattr("pipelines.release.export_symbols.TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="differs from torch"):
        export(network, model, images)
    assert not model.exists()


def test_a_checkpoint_gives_the_averaged_network(pages: Path, cache: Path) -> None:
    folder = cache / "runs" / "test"
    folder.mkdir(parents=True)
    recipe = Recipe(tile_px=64, batch=2, steps=3, workers=0, validate_every_s=1e9)
    trainer = Trainer(recipe, folder, pages)
    for batch, _ in zip(Batches(pages / "train", recipe), range(3), strict=False):
        trainer._learn(batch)
        trainer.step += 1
    trainer._save()
    loaded = arrays(load_network(trainer.checkpoint))
    for ours, theirs in zip(loaded, arrays(trainer.average), strict=True):
        assert np.array_equal(ours, theirs)
    assert any(not np.array_equal(a, b) for a, b in zip(loaded, arrays(trainer.network), strict=True))
