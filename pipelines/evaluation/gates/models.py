"""A version of a model as gates take it: its file, opened as Triton opens it on a CPU, and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnxruntime

from services.errors import CopyistError

FILE: Final = "model.onnx"
CARD: Final = "card.json"
REPOSITORY: Final = Path(__file__).parents[3] / "model_repository"


class NoModelError(CopyistError):
    """A folder that holds no version of a model."""

    slug = "no-model"
    title = "There is no model to judge"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one version.

    Attributes:
        onnx: the model.
        card: what its card says.
    """

    onnx: Path
    card: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path) -> ModelFiles:
        """Read a folder: of a version, with `model.onnx` and `card.json`, or of a model of the repository.

        Raises:
            NoModelError: a file is missing, or the card is not JSON.
        """
        onnx = folder / FILE
        if not onnx.exists():
            numbers = sorted(int(each.name) for each in folder.glob("[1-9]*") if each.name.isdecimal())
            onnx = folder / str(numbers[-1] if numbers else 1) / FILE
        card = folder / CARD
        for path in (onnx, card):
            if not path.exists():
                raise NoModelError(f"{path} is missing.", remedy=f"Name a folder with {FILE} and {CARD}.")
        try:
            return cls(onnx, json.loads(card.read_text("utf-8")))
        except ValueError as error:
            raise NoModelError(f"{card} is not JSON ({error}).") from None


def open_session(onnx: Path) -> onnxruntime.InferenceSession:
    """Open a model on one thread of the CPU, as each of Triton's instances runs it.

    Raises:
        NoModelError: ONNX Runtime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no public base class
        raise NoModelError(f"ONNX Runtime cannot load {onnx.name}: {error}") from None
