"""Released models can be trained on: what is read back out of their files is the network that they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from pipelines.release import export_context, export_piano, export_symbols
from pipelines.training.context import released as context
from pipelines.training.piano import released as piano
from pipelines.training.symbols import released as symbols
from pipelines.training.symbols.network import SymbolsNetwork
from services.omr.contract import TILE_PX
from services.triton.environment import REPOSITORY_ROOT


def shipped(model: str) -> Path:
    return REPOSITORY_ROOT / "model_repository" / model / "1" / "model.onnx"


def test_the_piano_model_is_exported_again_as_the_very_same_file(tmp_path: Path) -> None:
    export_piano.export(piano.read_network(shipped("piano")), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == shipped("piano").read_bytes()


def test_the_context_model_is_exported_again_with_the_very_same_answers(tmp_path: Path) -> None:
    export_context.export(context.read_network(shipped("context")), tmp_path / "again.onnx")
    given = {"candidates": export_context.example(3).numpy()}
    before, after = (
        InferenceSession(str(path)).run(None, given)[0]
        for path in (shipped("context"), tmp_path / "again.onnx")
    )
    assert np.array_equal(before, after)


def test_the_symbols_model_is_read_back_to_rounding() -> None:
    network = SymbolsNetwork()
    network.set_weights(symbols.read_weights(shipped("symbols")))
    random = np.random.default_rng(1)
    tiles = np.full((2, TILE_PX, TILE_PX), 255, np.uint8)
    for line in range(100, 400, 10):
        tiles[:, line : line + 2, 40:460] = 0
    tiles -= random.integers(0, 30, tiles.shape).astype(np.uint8)
    assert export_symbols.difference(network, shipped("symbols"), tiles) < 1e-3


@pytest.mark.parametrize("read", [piano.read_network, context.read_network, symbols.read_weights])
def test_another_model_is_refused(read: object, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) { y = Abs(x) }'
    )
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(ValueError, match=r"other\.onnx"):
        read(tmp_path / "other.onnx")  # type: ignore[operator]
