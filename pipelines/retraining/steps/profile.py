"""Makes the candidate whole: `model.onnx`, and `card.json` with measures, thresholds, profile and cost."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from tritonclient.utils import triton_to_np_dtype

from pipelines.retraining.environment import code_digest
from pipelines.retraining.families import family
from pipelines.retraining.run import write_json
from pipelines.retraining.step import Workplace, main
from services.amt.contract import PIANO
from services.omr.contract import CONTEXT, SYMBOLS
from services.runtime.contract import ModelContract
from services.runtime.disk import sha256_of
from services.runtime.release.index import CARD_FILE, MODEL_FILE

_CALLS = 5
_CONTRACTS: dict[str, ModelContract] = {each.model: each for each in (PIANO, SYMBOLS, CONTEXT)}


def run(work: Workplace) -> None:
    """Measure."""
    ours, record = family(work.record.model), work.record
    model = work.folder / MODEL_FILE
    shutil.copyfile(work.read("export") / MODEL_FILE, model)
    champion = json.loads((work.champion / CARD_FILE).read_text("utf-8"))
    card = ours.card(work.read("collect"), work.read("build"), work.read("train"), model, champion)
    card |= {
        "run": record.id,
        "commit": record.commit.removesuffix("+"),
        "code": code_digest(),
        "sha256": sha256_of(model),
        "cost": {
            "bytes": model.stat().st_size,
            "milliseconds a call on one thread": latency_ms(record.model, model),
        },
    }
    profile = ours.profile(model, card, record)
    if profile is not None:
        card["profile"] = profile
    write_json(work.folder / CARD_FILE, card)
    print(json.dumps(card["measures"]), flush=True)
    print(json.dumps(card["cost"]), flush=True)


def latency_ms(name: str, model: Path) -> float:
    """Median time of a call with one input, on one thread of this machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    inputs: dict[str, Any] = {
        each.name: np.zeros((1, *each.shape), triton_to_np_dtype(each.datatype))
        for each in _CONTRACTS[name].inputs
    }
    times = []
    for _ in range(_CALLS + 1):
        began = time.perf_counter()
        session.run(None, inputs)
        times.append(1000 * (time.perf_counter() - began))
    return round(median(times[1:]), 2)


if __name__ == "__main__":
    main("profile", run)
