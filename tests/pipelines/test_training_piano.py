"""The piano model: targets, spectrogram, network, a run that resumes, and its export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from pipelines.evaluation.note_measures import as_rows, score_notes
from pipelines.evaluation.thresholds import choose
from pipelines.performing import pieces
from pipelines.performing.pieces import FIRST_VALIDATION, piece_path
from pipelines.release.export_piano import export, load_network
from pipelines.training.piano.network import PARTIALS, HarmonicGather, NetworkSize, PianoNetwork
from pipelines.training.piano.recipe import Recipe
from pipelines.training.piano.spectrogram import BINS_PER_SEMITONE, Spectrogram
from pipelines.training.piano.targets import targets
from pipelines.training.piano.train import Trainer
from services.amt.contract import (
    CHUNK_FRAMES,
    CHUNK_SAMPLES,
    FRAME_S,
    HEADS,
    HOP_SAMPLES,
    LOWEST_PITCH,
    PITCHES,
    SAMPLE_RATE_HZ,
)
from services.amt.notes import find_notes

NOTES = np.array([[0.113, 0.5, 60, 80], [0.4, 0.9, 64, 40], [0.66, 1.1, 60, 100]], np.float32)


def test_targets_and_decoding_are_each_others_inverse() -> None:
    wanted = np.round(targets(NOTES, 0.0, 100) * 255).astype(np.uint8)
    found = as_rows(find_notes(wanted))
    order = np.argsort(found[:, 0])
    assert found[order][:, 2].tolist() == NOTES[:, 2].tolist()
    assert np.abs(found[order][:, :2] - NOTES[:, :2]).max() < 0.006
    assert np.abs(found[order][:, 3] - NOTES[:, 3]).max() <= 1


def test_targets_of_a_clip_are_a_part_of_the_pieces() -> None:
    whole = targets(NOTES, 0.0, 100)
    part = targets(NOTES, 20 * FRAME_S, 50)
    assert np.allclose(part, whole[:, 20:70], atol=1e-5)


@pytest.mark.parametrize("pitch", [33, 60, 84])
def test_the_spectrogram_is_highest_at_the_sounding_pitch(pitch: int) -> None:
    time_s = torch.arange(64 * HOP_SAMPLES) / SAMPLE_RATE_HZ
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * 2 ** ((pitch - 69) / 12) * time_s)
    levels = Spectrogram()(tone[None])[0, 0, 32]
    assert int(levels.argmax()) == pytest.approx((pitch - LOWEST_PITCH) * BINS_PER_SEMITONE + 1, abs=1)


def test_the_gather_brings_each_key_its_partials() -> None:
    gather = HarmonicGather(1, 1, 99, PARTIALS).eval()
    shifts = {0, 12, 19, 24, 28, 31, 34, 36, -12, -19, -24}
    with torch.no_grad():
        for conv in gather.combs:
            conv.weight.fill_(1.0)
        sounding = torch.zeros(1, 1, 1, 99)
        sounding[..., 50] = 1.0
        reached = set(torch.nonzero(gather(sounding)[0, 0, 0] > 0.5).flatten().tolist())
    assert reached == {50 - shift for shift in shifts}


def test_folding_the_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    gather = HarmonicGather(3, 5, 99, PARTIALS)
    gather(torch.randn(4, 3, 20, 99) * 3 + 1)
    gather.eval()
    x = torch.randn(1, 3, 20, 99)
    with torch.no_grad():
        before = gather(x)
        gather.fold_norm()
        assert torch.allclose(gather(x), before, atol=1e-5)


def _write_piece(number: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    onsets = np.sort(random.uniform(0.2, 58, 60))
    pitches = random.integers(40, 80, 60)
    notes = np.stack([onsets, onsets + 0.4, pitches, np.full(60, 70)], axis=1).astype(np.float32)
    audio = np.zeros(61 * SAMPLE_RATE_HZ, np.float32)
    time_s = np.arange(int(0.4 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    for onset, _, pitch, _ in notes:
        start = int(onset * SAMPLE_RATE_HZ)
        hz = 440 * 2 ** ((pitch - 69) / 12)
        audio[start : start + len(time_s)] += 0.2 * np.sin(2 * np.pi * hz * time_s) * np.exp(-4 * time_s)
    np.savez(piece_path(number), audio=(audio * 20_000).astype(np.int16), notes=notes, piano="test")


@pytest.fixture
def trained(cache: Path) -> Path:
    """The folder of a run of two steps, made in two goes."""
    for number in range(2):
        _write_piece(number, seed=number)
        _write_piece(FIRST_VALIDATION + number, seed=9 + number)
    recipe = Recipe(
        pitch_channels=16, frames=32, batch=2, steps=1, workers=0, validate_every=1, report_every=1
    )
    folder = cache / "runs" / "test"
    folder.mkdir(parents=True)
    Trainer(recipe, folder).run()
    second = Trainer(replace(recipe, steps=2), folder)
    assert second.step == 1
    second.run()
    return folder


def test_a_run_resumes_reports_and_exports(trained: Path, tmp_path: Path) -> None:
    assert (trained / "validation.csv").read_text().count("\n") == 3
    assert (trained / "losses.csv").read_text().count("\n") == 3
    assert (trained / "curves.png").stat().st_size > 1_000
    model = tmp_path / "1" / "model.onnx"
    export(load_network(trained / "last.ckpt"), model)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        answer = session.run(None, {"audio": np.zeros((batch, CHUNK_SAMPLES), np.int16)})[0]
        assert answer.shape == (batch, len(HEADS), CHUNK_FRAMES, PITCHES)
        assert answer.dtype == np.uint8


def test_the_network_learns_one_clip() -> None:
    torch.manual_seed(1)
    network = PianoNetwork(NetworkSize(first=8, second=8, pitch=16, lstm=8)).train()
    time_s = torch.arange(32 * HOP_SAMPLES) / SAMPLE_RATE_HZ
    audio = (0.1 * torch.sin(2 * torch.pi * 440 * time_s) * (time_s > 0.3))[None]
    wanted = torch.from_numpy(targets(np.array([[0.3, 0.64, 69, 64]]), 0.0, 32))[None]
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    errors = []
    for _ in range(25):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(audio)[:, :3], wanted[:, :3])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        errors.append(loss.item())
    assert errors[-1] < 0.3 * errors[0]


def test_a_missing_data_set_is_said(cache: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pipelines\.performing\.pieces"):
        Trainer(Recipe(pitch_channels=16, frames=32, steps=1, workers=0), cache).run()


def test_pieces_once_made_are_kept(cache: Path) -> None:
    _write_piece(7, seed=1)
    made = piece_path(7).read_bytes()
    pieces.make_piece(7, corpus=[])
    assert piece_path(7).read_bytes() == made


def test_thresholds_are_chosen_for_the_scores() -> None:
    wanted = np.round(targets(NOTES, 0.0, 100) * 255 * 0.6).astype(np.uint8)
    chosen = choose([(wanted, NOTES.astype(float))])
    assert score_notes(NOTES.astype(float), as_rows(find_notes(wanted, chosen))).onset_f1 == 1.0
