"""Training on several ranks, started by torch's launcher, with gloo: it learns what one process would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.performing.pieces import FIRST_VALIDATION
from pipelines.training.distributed import Ranks, UnevenBatchError
from pipelines.training.piano.targets import targets as piano_targets
from pipelines.training.symbols.targets import POINT, joined, targets
from services.amt.contract import HOP_SAMPLES
from tests.pipelines import test_training_symbols as pages
from tests.pipelines.test_training_context import staves
from tests.pipelines.test_training_piano import _write_piece as write_piece
from tests.pipelines.training_ranks import STEPS

SCRIPT = Path(__file__).with_name("training_ranks.py")
ROOT = SCRIPT.parents[2]
SETTINGS = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def alone(arguments: Sequence[str]) -> None:
    """The same as one process."""
    subprocess.run([sys.executable, *arguments], env={**os.environ, **SETTINGS}, check=True)


def launched(count: int, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """A script or module as torch's launcher starts it."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return subprocess.Popen(
        [*launcher, *arguments], env={**os.environ, **SETTINGS}, cwd=ROOT, start_new_session=True
    )


def piano_batch() -> dict[str, Tensor]:
    random = np.random.default_rng(0)
    # The halves have different numbers of notes, as the velocity's loss is a mean over notes.
    notes = [
        np.array([[0.1 * n, 0.1 * n + 0.3, 40 + 7 * n, 80.0] for n in range(1 + 2 * c)]) for c in range(4)
    ]
    wanted = np.stack([piano_targets(each, 0.0, 32) for each in notes])
    audio = random.normal(0, 0.1, (4, 32 * HOP_SAMPLES)).astype(np.float32)
    return {"audio": torch.from_numpy(audio), "wanted": torch.from_numpy(wanted)}


def symbols_batch() -> dict[str, dict[str, Tensor]]:
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (4, 64, 64), np.uint8)
    heads = [(pages.BLACK, 10.0 + 12 * n, 30.0) for n in range(4)]
    placed = [pages.symbols(*heads[: n + 1], *[(pages.TENUTO, 50.0, 10.0)] * (n % 2)) for n in range(4)]
    line = np.array([[-40, 30], [90, 32]], np.float32)
    wanted = [targets(random, each, [line], 64) for each in placed]

    def batch(of: slice) -> dict[str, Tensor]:
        whole = joined(wanted[of])
        columns = {name: np.ascontiguousarray(whole.points[name]) for name in POINT.names}
        arrays = {"tile": image[of], "absence": whole.absence, "staves": whole.staves, **columns}
        return {name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in arrays.items()}

    return {"whole": batch(slice(4)), "half_0": batch(slice(2)), "half_1": batch(slice(2, 4))}


def context_batch() -> dict[str, Tensor]:
    made = staves(4, 1)
    made.targets[:2, 100:] = -1  # less is asked of one half than of the other
    return {"candidates": made.candidates, "targets": made.targets}


def gradients(optimiser: dict[str, Any]) -> list[Tensor]:
    """An optimiser's running means of the gradients."""
    return [each["exp_avg"] for each in optimiser["state"].values()]


def distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """How far tensors lie apart, as a share of their length."""
    whole = torch.cat([each.flatten().double() for each in theirs])
    error = torch.cat([each.flatten().double() for each in ours]) - whole
    assert float(whole.norm()) > 0
    return float(error.norm() / whole.norm())


@pytest.mark.parametrize("model", ["piano", "symbols", "context"])
def test_two_ranks_take_the_step_that_one_process_takes_with_the_whole_batch(
    model: str, tmp_path: Path
) -> None:
    batch = {"piano": piano_batch, "symbols": symbols_batch, "context": context_batch}[model]()
    torch.save(batch, tmp_path / "batch.pt")
    assert launched(2, [str(SCRIPT), model, str(tmp_path)]).wait() == 0
    subprocess.run(
        [sys.executable, str(SCRIPT), model, str(tmp_path)], env={**os.environ, **SETTINGS}, check=True
    )
    two, one = (torch.load(tmp_path / f"{world}.pt") for world in (2, 1))
    assert len(one["gradients"]) == len(two["gradients"]) > 10
    assert distance(two["gradients"], one["gradients"]) < (1e-9 if model == "piano" else 1e-4)
    for ours, theirs in zip(two["buffers"], one["buffers"], strict=True):
        assert torch.allclose(ours.float(), theirs.float(), rtol=1e-4, atol=1e-5)


def test_a_run_that_lost_a_rank_goes_on_alone_and_learns_the_same(cache: Path) -> None:
    for number in range(2):
        write_piece(number, seed=number)
    write_piece(FIRST_VALIDATION, seed=9)
    together, lonely = cache / "together", cache / "alone"
    for folder in (together, lonely):
        folder.mkdir()
    assert launched(2, [str(SCRIPT), "lost", str(together)]).wait() != 0
    assert 0 < torch.load(together / "last.ckpt")["step"] < STEPS
    for folder in (together, lonely):
        subprocess.run(
            [sys.executable, str(SCRIPT), "run", str(folder)], env={**os.environ, **SETTINGS}, check=True
        )
    ours, theirs = (torch.load(folder / "last.ckpt") for folder in (together, lonely))
    assert ours["step"] == theirs["step"] == STEPS
    assert distance(gradients(ours["optimiser"]), gradients(theirs["optimiser"])) < 0.02
    assert distance([*ours["average"].values()], [*theirs["average"].values()]) < 1e-3
    assert (together / "validation.csv").read_text().count("\n") == STEPS + 1


def test_a_batch_that_cannot_be_shared_is_refused_with_what_would_help() -> None:
    three = Ranks(0, 3, torch.device("cpu"))
    assert three.share(6) == 2
    with pytest.raises(UnevenBatchError, match=r"batch of 4 cannot be shared evenly among 3 GPUs"):
        three.share(4)
