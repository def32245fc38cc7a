"""The gates on the `piano` model: what was trained on nonsense, and what depends on where chunks begin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.evaluation.gates import form
from pipelines.evaluation.gates.comparison import compare
from pipelines.evaluation.gates.evaluate import evaluate_all
from pipelines.evaluation.gates.evaluations import Evaluation
from pipelines.evaluation.gates.fixed_sets import chosen
from pipelines.evaluation.gates.models import CARD, REPOSITORY, ModelFiles
from pipelines.evaluation.gates.quality import quality
from pipelines.evaluation.gates.recordings import EXCERPT_S, SAMPLES, read_excerpt
from pipelines.evaluation.gates.steadiness import batch, split
from pipelines.evaluation.gates.suites import suite_of
from pipelines.evaluation.gates.verdicts import BUDGETS, Finding
from pipelines.performing.pieces import FIRST_VALIDATION, piece_path
from pipelines.release.export_piano import export, load_network
from pipelines.training.piano.recipe import Recipe
from pipelines.training.piano.released import read_network
from pipelines.training.piano.train import Trainer
from tests import spoiled_models
from tests.pipelines.gates.conftest import LIMIT, MakeVersion

CHAMPION = REPOSITORY / "piano"
SUITE = suite_of("piano")

Rows = np.ndarray


def trained_on(folder: Path, labels: Callable[[Rows], Rows]) -> Path:
    """A version trained on from the released one for a few steps, on excerpts with labels of some kind."""
    files = []
    # Those after the first are not asked of candidates that are judged on so few.
    for sample in chosen(sorted(SAMPLES.glob("*.flac")), None)[LIMIT:]:
        piece = read_excerpt(sample)
        files.append(folder / "pieces" / f"{piece.name}.npz")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        notes = labels(piece.content.notes.astype(np.float32))
        np.savez(files[-1], audio=piece.content.audio, notes=notes)
    put_a_validation_piece()
    start = read_network(CHAMPION / "1" / "model.onnx")
    recipe = Recipe(
        pitch_channels=start.size.pitch,
        frames=96,
        batch=2,
        steps=16,
        report_every=8,
        warm_up=2,
        learning_rate=1e-4,
        average=0.8,
        workers=0,
        validated=1,
        frozen_norms=True,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        Trainer(recipe, folder, files, start.state_dict()).run()
    finally:
        torch.set_num_threads(threads)
    export(load_network(folder / "last.ckpt"), folder / "model.onnx")
    (folder / CARD).write_text(json.dumps(dict(ModelFiles.of(CHAMPION).card)))
    return folder


def put_a_validation_piece() -> None:
    """Give training something to validate on: four times the same excerpt."""
    content = read_excerpt(min(SAMPLES.glob("*.flac"))).content
    np.savez(
        piece_path(FIRST_VALIDATION),
        audio=np.tile(content.audio, 4),
        notes=np.concatenate(
            [content.notes + at * np.array([1, 1, 0, 0]) for at in EXCERPT_S * np.arange(4)]
        ),
        piano="test",
    )


def evaluated(folder: Path = CHAMPION) -> tuple[Evaluation, ...]:
    return evaluate_all("piano", folder, LIMIT)


def judged(candidate: Path) -> list[Finding]:
    return quality(compare(evaluated(), evaluated(candidate)), BUDGETS)


def test_a_model_trained_on_shuffled_labels_is_stopped(tmp_path: Path) -> None:
    random = np.random.default_rng(5)

    def shuffled(notes: Rows) -> Rows:
        return np.concatenate([notes[:, :2], random.permutation(notes[:, 2:])], axis=1)

    findings = judged(trained_on(tmp_path, shuffled))
    assert {finding.passed for finding in findings} == {False}
    assert any("frame_f1 on small" in finding.text for finding in findings)


def test_a_model_trained_the_same_way_on_the_right_labels_passes(tmp_path: Path) -> None:
    for finding in judged(trained_on(tmp_path, lambda notes: notes)):
        assert finding.passed, finding.text


def test_an_answer_that_depends_on_where_chunks_begin_is_stopped(make_version: MakeVersion) -> None:
    files = ModelFiles.of(make_version("piano", spoiled_models.position_dependent))
    (finding,) = split(SUITE, files, BUDGETS)
    assert not finding.passed
    assert finding.figures["difference"] > SUITE.split_difference


def test_the_released_model_depends_neither_on_batches_nor_on_chunks() -> None:
    files = ModelFiles.of(CHAMPION)
    for finding in (*batch(SUITE, files), *split(SUITE, files, BUDGETS)):
        assert finding.passed, finding.text


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({"thresholds": {"onset": 1.1}}, "lacks the threshold 'attack_frames'"),
        ({"profile": {}}, "no reference profile"),
        ({"profile": {"observations": 9, "features": {}, "checks": {"a": 1.0}}}, "bins of 'polyphony'"),
    ],
)
def test_what_services_read_off_a_card_must_be_there(
    make_version: MakeVersion, card: dict[str, object], text: str
) -> None:
    files = ModelFiles.of(make_version("piano", spoiled_models.as_it_is, **card))
    findings = form.card(SUITE, files)
    assert not any(finding.passed for finding in findings)
    assert any(text in finding.text for finding in findings)
