"""Trains the `context` model: `python -m pipelines.training.context.train`.

Learns from what the released `symbols` model finds on damaged pages (`candidates`), resumes from the last
checkpoint, and prints as it goes how often context mends or spoils what the detector said. On several GPUs
of a machine: `torchrun --standalone --nproc-per-node=N -m pipelines.training.context.train`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.cache import cache_folder
from pipelines.training import checkpoints
from pipelines.training.context.matching import TARGETS
from pipelines.training.context.network import CHOICES, FLAGS, ContextNetwork
from pipelines.training.curves import LOSSES, VALIDATION, append_row, draw_curves
from pipelines.training.distributed import ALONE, Ranks, counted, ranks
from services.omr import contract

#: Padded candidates that a window of a batch ends with at least; after so many an LSTM's state stands still.
_PADDING: Final = 32


@dataclass(frozen=True)
class Recipe:
    """Every number that a run depends on; stored with the checkpoint and in the model's card.

    Attributes:
        batch: staves a step.
        passes: how often each staff is learnt from.
        learning_rate: its highest value; a cosine leads to zero.
        noise: how much the detector's log-probabilities are shaken, so that they are not believed blindly.
        most_steps: after so many steps the run ends, however many passes are left; 0 for all.
        report_every, validate_every: in steps; a checkpoint is written with each validation.
    """

    seed: int = 1
    batch: int = 24
    passes: int = 6
    learning_rate: float = 2e-3
    warm_up: int = 50
    noise: float = 0.3
    weight_decay: float = 1e-2
    most_steps: int = 0
    report_every: int = 50
    validate_every: int = 250

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * min(
            (step + 1) / self.warm_up, 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-3
        )


@dataclass(frozen=True)
class Staves:
    """Windows with their targets.

    Attributes:
        candidates: float32 [windows, SEQUENCE, CONTEXT_FIELDS].
        targets: int8 [windows, SEQUENCE, TARGETS].
    """

    candidates: Tensor
    targets: Tensor

    @classmethod
    def load(cls, folder: Path) -> Staves:
        """Read all pages of a folder."""
        return cls.of(sorted(folder.glob("*.npz")))

    @classmethod
    def of(cls, files: Iterable[Path]) -> Staves:
        """Read pages."""
        candidates, targets = [], []
        for path in files:
            with np.load(path) as page:
                candidates.append(page["candidates"].astype(np.float32))
                targets.append(page["targets"])
        return cls(torch.from_numpy(np.concatenate(candidates)), torch.from_numpy(np.concatenate(targets)))

    def lengths(self) -> np.ndarray:
        """How many candidates each window holds."""
        return self.candidates[..., contract.PRESENT].sum(1).long().numpy()


def batches(lengths: np.ndarray, recipe: Recipe) -> Iterator[np.ndarray]:
    """Indices of the windows of each step: every window once a pass, with others of about its length."""
    random = np.random.default_rng(recipe.seed)
    for _ in range(recipe.passes):
        order = np.argsort(lengths * random.uniform(0.8, 1.25, len(lengths)))
        whole = order[: len(order) // recipe.batch * recipe.batch].reshape(-1, recipe.batch)
        yield from random.permutation(whole)


def target(targets: Tensor, name: str) -> Tensor:
    """One of the `TARGETS`, int64, -1 where nothing is asked."""
    return targets[..., TARGETS.index(name)].long()


def loss(answers: dict[str, Tensor], targets: Tensor) -> Tensor:
    """Sum of the mean losses of all that is asked."""
    total = torch.zeros((), device=targets.device)
    for name in ("kind", *(name for name, *_ in CHOICES)):
        asked = target(targets, name).flatten()
        missed = functional.cross_entropy(
            answers[name].flatten(0, -2), asked, ignore_index=-1, reduction="sum"
        )
        total = total + missed / counted((asked >= 0).sum())
    for name, _ in FLAGS:
        asked = target(targets, name)
        of = asked >= 0
        missed = functional.binary_cross_entropy_with_logits(
            answers[name][of], asked[of].float(), reduction="sum"
        )
        total = total + missed / counted(of.sum())
    return total


def shaken(candidates: Tensor, noise: float, random: torch.Generator) -> Tensor:
    """The detector's readings, their log-probabilities shaken."""
    moved = candidates.clone()
    for _, where, _ in CHOICES:
        if where is not None:
            part = moved[..., where]
            by = torch.randn(part[..., :1].shape, generator=random)
            moved[..., where] = (part * (1 + noise * by)).clamp(max=0)
    return moved


@torch.no_grad()
def validate(network: ContextNetwork, staves: Staves) -> dict[str, tuple[float, float]]:
    """Share of right answers before and after, by what is asked."""
    network.eval()
    device = next(network.parameters()).device
    right: dict[str, list[float]] = {}
    for start in range(0, len(staves.candidates), 32):
        part = slice(start, start + 32)
        candidates, targets = staves.candidates[part], staves.targets[part]
        answers = {name: each.cpu() for name, each in network(candidates.to(device)).items()}
        for name, where, _ in (("kind", None, 0), *CHOICES):
            asked = target(targets, name)
            of = asked >= 0
            if not of.any():
                continue
            if name == "voice":
                before = torch.zeros_like(asked)
            else:
                before = (
                    candidates[..., where].argmax(-1) if where else candidates[..., contract.CLASS].long()
                )
            _count(right, name, before[of] == asked[of], answers[name].argmax(-1)[of] == asked[of])
        for name, field in FLAGS:
            asked = target(targets, name)
            of = asked >= 0
            if not of.any():
                continue
            said = candidates[..., field][of] > 0.5
            _count(right, name, said == asked[of].bool(), (answers[name][of] > 0) == asked[of].bool())
    return {name: (before / count, after / count) for name, (before, after, count) in right.items()}


def _count(right: dict[str, list[float]], name: str, before: Tensor, after: Tensor) -> None:
    counts = right.setdefault(name, [0.0, 0.0, 0.0])
    for i, value in enumerate((before.sum(), after.sum(), before.numel())):
        counts[i] += float(value)


def train(
    recipe: Recipe,
    folder: Path,
    train_on: Staves,
    validate_on: Staves,
    ranks: Ranks = ALONE,
    start: Mapping[str, Tensor] | None = None,
    limit_s: float = 0.0,
) -> ContextNetwork:
    """Train to the end of the recipe.

    Args:
        recipe: how it trains.
        folder: of the run, where its checkpoint and its curves lie.
        train_on, validate_on: the staves.
        ranks: who trains together.
        start: weights to start from (a `state_dict`), instead of random ones.
        limit_s: seconds after which training ends, wherever it is; 0 for no limit.
    """
    torch.manual_seed(recipe.seed)
    network = ContextNetwork()
    if start is not None:
        network.load_state_dict(dict(start))
    network = network.to(ranks.device)
    optimiser = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    plan = list(batches(train_on.lengths(), recipe))
    steps = min(len(plan), recipe.most_steps or len(plan))
    step = 0
    if (state := checkpoints.resume(folder, ranks)) is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    together = ranks.together(network)
    began, recent, ended = time.monotonic(), [], step >= steps
    while not ended:
        # What is dropped out depends on nothing before: a run goes on after an interruption as it would have.
        torch.manual_seed((recipe.seed * 1_000_003 + step) * ranks.world + ranks.rank)
        candidates, targets = _examples(train_on, plan[step], recipe, step, ranks)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(step, steps)
        network.train()
        cost = loss(together(candidates), targets)
        cost.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        recent.append(float(cost.detach()))
        step += 1
        ended = step >= steps or ranks.agreed(0 < limit_s <= time.monotonic() - began)
        if not ranks.leads:
            continue
        if step % recipe.report_every == 0 or ended:
            pace = (time.monotonic() - began) / step
            print(f"step {step} of {steps}  {pace:.2f} s/step  loss {np.mean(recent):.4f}", flush=True)
            append_row(folder / LOSSES, {"step": step, "loss": float(np.mean(recent))})
            recent.clear()
        if step % recipe.validate_every == 0 or ended:
            shares = validate(network, validate_on)
            print("  ".join(f"{k} {a:.4f}>{b:.4f}" for k, (a, b) in shares.items()), flush=True)
            append_row(
                folder / VALIDATION, {"step": step} | {name: after for name, (_, after) in shares.items()}
            )
            draw_curves(folder, ["loss"], shares, "pages of other scores")
            _save(folder, recipe, network, optimiser, step, shares)
    return network


def _examples(
    staves: Staves, chosen: np.ndarray, recipe: Recipe, step: int, ranks: Ranks
) -> tuple[Tensor, Tensor]:
    """This rank's share of a step's candidates, shaken, and their targets."""
    # Padding behind the end, as in serving: the backward LSTM comes through it first.
    longest = min(int(staves.lengths()[chosen].max()) + _PADDING, contract.SEQUENCE)
    random = torch.Generator().manual_seed(recipe.seed * 1_000_000 + step)
    candidates = shaken(staves.candidates[chosen][:, :longest], recipe.noise, random)
    share = ranks.share(len(chosen))
    own = slice(ranks.rank * share, (ranks.rank + 1) * share)
    return candidates[own].to(ranks.device), staves.targets[chosen][own, :longest].to(ranks.device)


def _save(
    folder: Path,
    recipe: Recipe,
    network: ContextNetwork,
    optimiser: torch.optim.Optimizer,
    step: int,
    shares: dict[str, tuple[float, float]],
) -> None:
    state = {
        "recipe": asdict(recipe),
        "step": step,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    checkpoints.save(folder, state)
    (folder / "validation.json").write_text(json.dumps(shares, indent=2))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="context", help="name of the run; its folder is in the cache")
    parser.add_argument("--passes", type=int, default=Recipe.passes)
    args = parser.parse_args()
    folder = cache_folder("runs", args.run)
    data = cache_folder("context")
    recipe = Recipe(passes=args.passes)
    with ranks() as joined:
        train(recipe, folder, Staves.load(data / "train"), Staves.load(data / "validation"), joined)


if __name__ == "__main__":
    main()
