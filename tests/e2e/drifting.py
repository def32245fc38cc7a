"""Sending traffic that is ordinary, or changed in one way, while a Prometheus watches."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest

from services.amt import profile as recording_profile
from services.amt.decode import decode
from services.client import Copyist
from services.local.stack import LocalStack
from services.omr import profile as page_profile
from services.omr.look import look_at
from services.omr.straighten import prepare
from services.omr.uploads import PagePicture
from services.operate.prometheus import Prometheus
from services.runtime.profiles import shares
from tests.exposition import exposed
from tests.monitoring.watching import EVERY_S, FOR_S, prometheus_over
from tests.traffic import pages, recordings
from tests.waiting import wait_for

#: An alert: its name, and its cause (of validity: the check).
Alert = tuple[str, str]
#: By feature the mass in each of its bins.
Masses = dict[str, list[float]]

_AT_ONCE: Final = 2
_ANSWERED_WITHIN_S: Final = 1200
_ALERTED_WITHIN_S: Final = 180
#: Prometheus' `increase` reaches half a scrape beyond its samples: of so long a time that is little.
_WATCHED_S: Final = 45


@dataclass(frozen=True)
class Traffic:
    """Traffic of one kind.

    Attributes:
        model: that answers it.
        files: makes the uploads.
        alerts: exactly those that it must raise.
    """

    model: str
    files: Callable[[], list[bytes]]
    alerts: frozenset[Alert]


TRAFFIC: Final = {
    "held-out pianos": Traffic("piano", recordings.ordinary, frozenset()),
    "the treble cut": Traffic(
        "piano", recordings.without_treble, frozenset({("CopyistInputDrift", "sound")})
    ),
    "a noisy line": Traffic(
        "piano", recordings.over_a_noisy_line, frozenset({("CopyistInputDrift", "noise")})
    ),
    "guitars": Traffic(
        "piano", lambda: recordings.guitars(32), frozenset({("CopyistOutputDrift", "content")})
    ),
    "scans": Traffic("symbols", pages.ordinary, frozenset()),
    "photographs": Traffic("symbols", pages.photographs, frozenset({("CopyistInputDrift", "taking")})),
}


@dataclass(frozen=True)
class Seen:
    """What came of sending traffic.

    Attributes:
        prometheus: that watched; it has seen nothing else.
        measured: the masses of the features that the answers and files tell exactly, computed here.
        counted: the masses by which the services' counters rose, of all features.
        alerts: those of drift and validity that fire.
    """

    prometheus: Prometheus
    measured: Masses
    counted: Masses
    alerts: frozenset[Alert]


@contextmanager
def sent(traffic: Traffic, stack: LocalStack, folder: Path) -> Iterator[Seen]:
    """Send traffic to the stack, watched by a Prometheus that has seen nothing else."""
    options = stack.options
    ports = {"piano": options.amt_http_port, "symbols": options.omr_http_port}
    target = f"{options.host}:{ports[traffic.model]}"
    with prometheus_over({"copyist": target}, folder) as server:
        watched_until = time.monotonic() + _WATCHED_S
        before = _counted(target, traffic.model)
        send = _transcribed if traffic.model == "piano" else _recognized
        files = traffic.files()
        url = f"http://{target}"
        with ThreadPoolExecutor(_AT_ONCE) as senders:
            measured = list(senders.map(lambda file: send(url, file), files, timeout=_ANSWERED_WITHIN_S))
        after = _counted(target, traffic.model)
        counted = {
            feature: [now - then for now, then in zip(after[feature], before[feature], strict=True)]
            for feature in after
        }
        # Only then do the alerts have time to fire: Prometheus, too, may be held up.
        wait_for(lambda: _seen(server, traffic.model) == pytest.approx(_mass(after)))
        alerts = _alerts(server, traffic.alerts)
        time.sleep(max(watched_until - time.monotonic(), 0))
        yield Seen(
            prometheus=server,
            measured={
                name: np.sum([each[name] for each in measured], axis=0).tolist() for name in measured[0]
            },
            counted=counted,
            alerts=alerts,
        )


def _alerts(server: Prometheus, expected: frozenset[Alert]) -> frozenset[Alert]:
    """Wait for what is expected to fire, and for whatever else might; then tell what does."""
    if expected:
        wait_for(lambda: expected <= _firing(server), _ALERTED_WITHIN_S)
    time.sleep(FOR_S + 4 * EVERY_S)
    return _firing(server)


def _firing(server: Prometheus) -> frozenset[Alert]:
    """Tell which alerts of drift and validity fire; that a busy machine is slow is no drift."""
    return frozenset(
        (each.labels["alertname"], each.labels.get("cause") or each.labels.get("check", ""))
        for each in server.now('ALERTS{alertstate="firing", alertname=~".*Drift|CopyistValidityLow"}')
    )


def _mass(counted: Masses) -> float:
    return sum(map(sum, counted.values()))


def _seen(server: Prometheus, model: str) -> float:
    """What Prometheus has seen to be counted so far."""
    return sum(each.value for each in server.now(f'copyist_profile_mass_total{{model="{model}"}}'))


def _counted(target: str, model: str) -> Masses:
    """What a service has counted so far, read from the service itself."""
    found: dict[str, dict[int, float]] = {}
    for sample in exposed(f"http://{target}"):
        if sample.name == "copyist_profile_mass_total" and sample.labels["model"] == model:
            bins = found.setdefault(sample.labels["feature"], {})
            bins[int(sample.labels["bin"])] = bins.get(int(sample.labels["bin"]), 0.0) + sample.value
    return {feature: [bins[number] for number in sorted(bins)] for feature, bins in found.items()}


def _transcribed(url: str, file: bytes) -> Mapping[str, tuple[float, ...]]:
    """Have a recording heard, and measure it and what was heard.

    Without what hangs on roundings in the answer: confidences, and the ends of notes.
    """
    with Copyist(url) as client:
        heard = client.transcribe(file)
    observed = recording_profile.measure(decode(io.BytesIO(file), max_audio_s=60), heard.notes)
    return {
        name: masses for name, masses in observed.features.items() if name not in ("confidence", "polyphony")
    }


def _recognized(url: str, file: bytes) -> Mapping[str, tuple[float, ...]]:
    """Have a page read, and measure how it looks."""
    with Copyist(pages_url=url) as client:
        client.recognize(file)
    image = np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
    picture = PagePicture(image, width=image.shape[1], height=image.shape[0], dpi=None)
    look = look_at(image, picture.in_upload_px(prepare(image)))
    return {
        name: shares([getattr(look, name)], page_profile.EDGES[name])
        for name in ("unevenness", "midtone_share", "ink_share", "edge_px")
    }
