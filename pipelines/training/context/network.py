"""The `context` network: two bidirectional LSTMs over the candidates of a staff, in reading order.

It starts from what the `symbols` model said of each candidate and learns corrections: every answer is the
detector's own logits plus what the context adds, so that an untrained network changes nothing.

PyTorch, unlike `symbols`: its LSTM exports to one ONNX operator for each direction, which ONNX Runtime and
TensorRT run as a whole; a loop over time would cost more than the detector.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.omr import contract
from services.omr.vocabulary import CLASSES

#: Answers of several alternatives: name, where the detector's log-probabilities lie in a candidate (None
#: where it gives none), and how many alternatives there are.
CHOICES: Final[tuple[tuple[str, slice | None, int], ...]] = (
    ("duration", contract.DURATION, 7),
    ("dots", contract.DOTS, 3),
    ("stem", contract.STEM, 3),
    ("tuplet", contract.TUPLET, 3),
    ("voice", None, 3),
)
#: Answers of yes or no, and the field of the detector's probability.
FLAGS: Final[tuple[tuple[str, int], ...]] = (
    ("keep", contract.SCORE),
    ("grace", contract.GRACE),
    ("tied_back", contract.TIED_BACK),
    ("tied_on", contract.TIED_ON),
)
_LOWEST: Final = 1e-4


class ContextNetwork(nn.Module):
    """[staves, SEQUENCE, CONTEXT_FIELDS] to logits by the names of `CHOICES`, `FLAGS`, and `kind`."""

    def __init__(self, width: int = 128, hidden: int = 112) -> None:
        super().__init__()
        fields = contract.CONTEXT_FIELDS - 1 + len(CLASSES)  # the class index becomes one-hot
        self.enter = nn.Sequential(nn.Linear(fields, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        answers = len(CLASSES) + sum(count for *_, count in CHOICES) + len(FLAGS)
        last = nn.Linear(width, answers)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.leave = nn.Sequential(nn.Linear(2 * hidden + width, width), nn.ReLU(), last)

    def forward(self, candidates: Tensor) -> dict[str, Tensor]:
        """Logits for every candidate; those of padding mean nothing."""
        kinds = functional.one_hot(
            candidates[..., contract.CLASS].long().clamp(0, len(CLASSES) - 1), len(CLASSES)
        )
        kinds = kinds.to(candidates.dtype)
        features = self.enter(torch.cat([_scaled(candidates), kinds], -1))
        features = features * candidates[..., contract.PRESENT, None]
        seen, _ = self.lstm(features)
        added = self.leave(torch.cat([seen, features], -1))
        answers = {"kind": added[..., : len(CLASSES)] + 6 * kinds}
        at = len(CLASSES)
        for name, where, count in CHOICES:
            answers[name] = added[..., at : at + count] + (candidates[..., where] if where else 0)
            at += count
        for name, field in FLAGS:
            answers[name] = added[..., at] + torch.logit(candidates[..., field].clamp(_LOWEST, 1 - _LOWEST))
            at += 1
        return answers


def _scaled(candidates: Tensor) -> Tensor:
    """All fields but the class, brought to a range of about -1 to 1."""
    scale = torch.ones(contract.CONTEXT_FIELDS)
    scale[contract.X] = 1 / 60
    scale[contract.Y] = scale[contract.POSITION] = 1 / 8
    scale[contract.WIDTH] = scale[contract.HEIGHT] = 1 / 3
    scale[contract.STEP_FROM_PREVIOUS] = 1 / 2
    for where in (contract.DURATION, contract.DOTS, contract.STEM, contract.TUPLET):
        scale[where] = 1 / 4
    kept = [field for field in range(contract.CONTEXT_FIELDS) if field != contract.CLASS]
    return (candidates * scale.to(candidates.device)).clamp(-4, 4)[..., kept]


class ContextExport(nn.Module):
    """The network as it is served: `readings` as `services.omr.contract` lays them out."""

    def __init__(self, network: ContextNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, candidates: Tensor) -> Tensor:
        """[staves, SEQUENCE, CONTEXT_FIELDS] to [staves, SEQUENCE, READING_FIELDS]."""
        answers = self.network(candidates)
        score, kind = answers["kind"].softmax(-1).max(-1)
        flags = {name: answers[name].sigmoid()[..., None] for name, _ in FLAGS}
        choices = [answers[name].log_softmax(-1) for name, *_ in CHOICES]
        head = [flags["keep"], kind.to(score.dtype)[..., None], score[..., None]]
        return torch.cat([*head, *choices, flags["grace"], flags["tied_back"], flags["tied_on"]], -1)
