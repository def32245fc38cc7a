"""One step of training, as each of several ranks takes it: `torchrun ... training_ranks.py MODEL FOLDER`.

A batch lies in the folder; each rank learns from its share, and the lead writes `WORLD.pt`: the gradients,
as the optimiser has them, and the running statistics. Without torch's launcher, one process takes it all.
With `run` for a model, a whole run of steps is taken instead; with `lost`, one amid which a rank is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.training.distributed import Ranks, ranks

#: Of the whole run.
STEPS = 6


def own(batch: dict[str, Tensor], joined: Ranks) -> dict[str, Tensor]:
    """This rank's share of a batch."""
    return {name: values.chunk(joined.world)[joined.rank] for name, values in batch.items()}


def piano(folder: Path, joined: Ranks) -> tuple[Any, list[Tensor]]:
    """A step of the piano model, in double precision: single is off by some 4e-4 of the gradient's length."""
    from pipelines.training.piano.recipe import Recipe
    from pipelines.training.piano.train import Trainer

    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    torch.autocast = lambda *_, **__: nullcontext()  # type: ignore[misc,assignment]
    trainer = Trainer(Recipe(pitch_channels=16, frames=32, workers=0), folder, [folder], ranks=joined)
    batch = own(torch.load(folder / "batch.pt"), joined)
    trainer._learn(batch["audio"].double(), batch["wanted"].double())
    return trainer.optimiser, [*trainer.network.buffers()]


def symbols(folder: Path, joined: Ranks) -> tuple[Any, list[Tensor]]:
    """A step of the symbols model, in single precision."""
    from pipelines.training.symbols import train
    from pipelines.training.symbols.network import NetworkSize, SymbolsNetwork
    from pipelines.training.symbols.recipe import Recipe

    small = NetworkSize(stem=8, fine=16, middle=16, coarse=16, heat=16, features=16, reader=32)
    train.SymbolsNetwork = lambda policy="": SymbolsNetwork(small)  # type: ignore[assignment,misc]
    trainer = train.Trainer(Recipe(clip_norm=1e9), folder, folder, joined)
    tiles = torch.load(folder / "batch.pt")
    trainer._learn(tiles["whole"] if joined.world == 1 else tiles[f"half_{joined.rank}"])
    weights = {id(weight.value) for weight in trainer.network.trainable_weights}
    return trainer.optimiser, [w.value for w in trainer.network.weights if id(w.value) not in weights]


def context(folder: Path, joined: Ranks) -> tuple[Any, list[Tensor]]:
    """The first step of the context model, without dropping out, which differs by rank."""
    from pipelines.training.context import train
    from pipelines.training.context.network import ContextNetwork

    class Network(ContextNetwork):
        """The same, which drops nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm.dropout = 0.0

    train.ContextNetwork = Network  # type: ignore[misc]
    given = torch.load(folder / "batch.pt")
    staves = train.Staves(given["candidates"], given["targets"])
    recipe = train.Recipe(batch=len(staves.candidates), passes=1)
    into = folder / str(joined.world)
    into.mkdir(exist_ok=True)
    train.train(recipe, into, staves, staves, joined)
    kept = torch.load(into / "last.ckpt")["optimiser"] if joined.leads else {"state": {}}
    return kept, []


def run(folder: Path, joined: Ranks, *, lost: bool) -> None:
    """A whole run of the piano model, in single precision, with a checkpoint after every step."""
    from pipelines.training.piano.recipe import Recipe
    from pipelines.training.piano.train import Trainer

    class Dying(Trainer):
        """The same, whose second rank is killed when half of the steps are taken."""

        def _learn(self, audio: Tensor, wanted: Tensor) -> Any:
            if lost and joined.rank == 1 and self.step == STEPS // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._learn(audio, wanted)

    torch.autocast = lambda *_, **__: nullcontext()  # type: ignore[misc,assignment]
    recipe = Recipe(pitch_channels=16, frames=32, batch=2, steps=STEPS, workers=0, validate_every=1)
    Dying(recipe, folder, ranks=joined).run()


def main() -> None:
    """Take the step, or all of them, and tell."""
    model, folder = sys.argv[1], Path(sys.argv[2])
    with ranks() as joined:
        if model in ("run", "lost"):
            run(folder, joined, lost=model == "lost")
            return
        optimiser, buffers = globals()[model](folder, joined)
        state = (optimiser if isinstance(optimiser, dict) else optimiser.state_dict())["state"]
        if joined.leads:
            gradients = [each["exp_avg"] for each in state.values()]
            torch.save({"gradients": gradients, "buffers": buffers}, folder / f"{joined.world}.pt")


if __name__ == "__main__":
    main()
