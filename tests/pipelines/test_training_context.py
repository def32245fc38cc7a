"""Context learns which candidates are symbols, what they are, and is exported as it was trained."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from pipelines.engraving.pages import SYMBOL_FIELDS
from pipelines.release.export_context import example, export
from pipelines.training.context.matching import TARGETS, match
from pipelines.training.context.network import CHOICES, FLAGS, ContextNetwork
from pipelines.training.context.train import Recipe, Staves, batches, train, validate
from services.omr import contract
from services.omr.page import Symbol
from services.omr.vocabulary import CLASS_INDEX, SymbolClass

BLACK, HALF = SymbolClass.NOTEHEAD_BLACK, SymbolClass.NOTEHEAD_HALF


def candidate(kind: SymbolClass, x: float, y: float) -> Symbol:
    alike = (math.log(1 / 3),) * 3
    return Symbol(kind, 0.5, x, y, 12, 10, 0, 0.9, (math.log(1 / 7),) * 7, alike, alike, alike, 0, 0, 0)


def printed(*rows: tuple[SymbolClass, float, float, int]) -> np.ndarray:
    truth = np.zeros(len(rows), SYMBOL_FIELDS)
    for row, (kind, x, y, voice) in zip(truth, rows, strict=True):
        row["kind"], row["x"], row["y"], row["voice"] = CLASS_INDEX[kind], x, y, voice
        row["duration"], row["tied_on"] = 2, 1
    return truth


def matched(symbols: list[Symbol], truth: np.ndarray) -> np.ndarray:
    x, y = np.array([(s.x, s.y) for s in symbols]).T
    return match(symbols, x, y, truth, contract.STAFF_SPACE_PX)


def test_a_candidate_is_what_is_printed_where_it_stands_whatever_it_was_taken_for() -> None:
    symbols = [candidate(BLACK, 100, 50), candidate(BLACK, 140, 50), candidate(SymbolClass.STEM, 100, 50)]
    targets = matched(symbols, printed((HALF, 102, 49, 1)))
    assert targets[:, TARGETS.index("keep")].tolist() == [1, 0, 0]
    assert targets[0, TARGETS.index("kind")] == CLASS_INDEX[HALF]
    assert targets[0, TARGETS.index("duration")] == 2
    assert targets[0, TARGETS.index("tied_on")] == 1
    assert (targets[1:, 1:] == -1).all()


def test_of_two_candidates_the_nearer_one_is_the_symbol() -> None:
    targets = matched([candidate(BLACK, 103, 50), candidate(HALF, 101, 50)], printed((BLACK, 100, 50, 1)))
    assert targets[:, TARGETS.index("keep")].tolist() == [0, 1]


def test_voices_are_told_by_who_else_sounds_in_the_measure() -> None:
    truth = printed((BLACK, 10, 10, 1), (BLACK, 10, 40, 2), (BLACK, 90, 10, 1))
    truth["measure"] = [0, 0, 1]
    targets = matched([candidate(BLACK, x, y) for x, y in ((10, 10), (10, 40), (90, 10))], truth)
    assert targets[:, TARGETS.index("voice")].tolist() == [1, 2, 0]


def staves(count: int, seed: int) -> Staves:
    """Made-up staves on which a candidate is a symbol if the one before it lies close by."""
    candidates = example(count)
    random = np.random.default_rng(seed)
    steps = random.choice([0.2, 3.0], candidates.shape[:2])
    candidates[..., contract.STEP_FROM_PREVIOUS] = torch.from_numpy(steps).float()
    for field in (contract.SCORE, contract.GRACE, contract.TIED_BACK, contract.TIED_ON):
        candidates[..., field] = 0.5
    for _, where, _ in CHOICES:
        if where is not None:
            candidates[..., where] = math.log(1 / 3)
    targets = torch.full((*candidates.shape[:2], len(TARGETS)), -1, dtype=torch.int8)
    present = candidates[..., contract.PRESENT] > 0
    targets[..., 0] = torch.where(present, torch.from_numpy(steps < 1), -torch.ones(1)).to(torch.int8)
    targets[..., 1] = torch.where(targets[..., 0] == 1, candidates[..., contract.CLASS], -torch.ones(1)).to(
        torch.int8
    )
    return Staves(candidates, targets)


def test_an_untrained_network_changes_nothing() -> None:
    candidates = example(2)
    for field in (contract.SCORE, contract.GRACE, contract.TIED_BACK, contract.TIED_ON):
        candidates[..., field] = candidates[..., field].sigmoid()
    with torch.inference_mode():
        answers = ContextNetwork().eval()(candidates)
    for name, field in FLAGS:
        assert torch.allclose(answers[name].sigmoid(), candidates[..., field], atol=1e-3)
    assert (answers["kind"].argmax(-1) == candidates[..., contract.CLASS]).all()


def test_it_learns_resumes_and_is_exported_as_it_is(tmp_path: Path) -> None:
    recipe = Recipe(batch=2, passes=8, warm_up=5, noise=0.1)
    network = train(recipe, tmp_path, staves(12, 1), staves(2, 2))
    before, after = validate(network, staves(4, 3))["keep"]
    assert before < 0.6
    assert after > 0.95
    again = train(recipe, tmp_path, staves(12, 1), staves(2, 2))
    assert validate(again, staves(4, 3))["keep"] == (before, after)
    model = tmp_path / "1" / "model.onnx"
    assert export(network.eval(), model) < 1e-3
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (readings,) = session.run(None, {"candidates": example(3).numpy()})
    assert readings.shape == (3, contract.SEQUENCE, contract.READING_FIELDS)


@pytest.mark.parametrize("windows", [8, 11])
def test_each_window_is_learnt_from_once_a_pass_beside_others_of_its_length(windows: int) -> None:
    lengths = np.arange(windows) * 20 + 5
    plan = list(batches(lengths, Recipe(batch=4, passes=1)))
    chosen = np.concatenate(plan)
    assert len(plan) == windows // 4
    assert len(set(chosen.tolist())) == len(chosen)
