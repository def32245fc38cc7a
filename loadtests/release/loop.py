"""The loop closed: what is sent changes, and in the end a better model serves, or the old one still does.

`python -m loadtests.release.loop`, the second half of `make test-release`: recordings without treble are sent
to the real stack; Prometheus sees the drift, Alertmanager calls the trigger, the trigger starts a retraining
with a small budget, its gates judge what it made, and what passes is put on trial under load, promoted or
rolled back by the release watch. Nobody lifts a hand. Alerts wait for seconds where the shipped rules have
them wait for minutes; the rest is as shipped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtests.chaos.site import environment
from loadtests.release.outcome import Outcome, table
from loadtests.release.site import Site
from pipelines.retraining.plan import STEPS
from pipelines.retraining.run import OUTCOME, STATE
from services.client import Copyist
from services.errors import CopyistError
from services.local.options import SERVING
from services.operate.canary.watcher import BY
from tests.monitoring.watching import prometheus_over
from tests.traffic import recordings

MODEL: Final = "piano"
_PROGRAMS: Final = (*SERVING, "sync", "alertmanager", "trigger")
_BUDGET: Final = {"COPYIST_RETRAIN_BUDGET": "small"}
_AT_ONCE: Final = 2
_ALERTED_S: Final = 120.0
_REQUESTED_S: Final = 120.0
#: For training, gates and trial, on two cores that also serve.
_ENDED_S: Final = 2400.0
#: How a run may end well.
_GOOD_ENDS: Final = ("promoted", "refused", "rolled back")
_FIRING: Final = f'ALERTS{{alertstate="firing", model="{MODEL}", action="retrain"}}'


@dataclass
class Loop:
    """One round.

    Attributes:
        site: the stack.
        outcome: what is measured.
        began: when, on the clock of `time.monotonic`.
    """

    site: Site
    outcome: Outcome
    began: float

    def tell(self, line: str) -> None:
        """Say what has happened, and when."""
        print(f"{time.monotonic() - self.began:7.1f} s  {line}", flush=True)

    def wait(self, what: str, condition: Callable[[], bool], limit_s: float) -> None:
        """Wait until something is so, and note when it was.

        Raises:
            TimeoutError: it was not so within the limit.
        """
        self.site.wait_for(what, condition, limit_s)
        self.outcome.figures[f"{what}, after s"] = time.monotonic() - self.began
        self.tell(what)

    def number(self, expression: str) -> float:
        """Ask Prometheus for one number; 0 where it has none."""
        return next((sample.value for sample in self.site.prometheus.now(expression)), 0.0)

    def state(self) -> dict[str, Any]:
        """Where the run of retraining stands; empty before there is one."""
        for file in Path(self.site.options.runs_folder).glob(f"*/{STATE}"):
            return dict(json.loads(file.read_text("utf-8")))
        return {}


def run(folder: Path, rate_hz: float) -> Outcome:
    """Go round once."""
    outcome, began = Outcome("the loop closed"), time.monotonic()
    with ExitStack() as opened:
        opened.enter_context(environment(_BUDGET))
        site = opened.enter_context(Site(folder, _say, programs=_PROGRAMS))
        opened.enter_context(_watched(site, folder))
        loop = Loop(site, outcome, began)
        _drift(loop)
        _alert(loop)
        _retrain(loop, rate_hz)
        _check(loop)
    outcome.seconds = time.monotonic() - began
    return outcome


def _watched(site: Site, folder: Path) -> Any:
    options = site.options
    ports = {"amt": options.amt_http_port, "sync": options.sync_port, "trigger": options.trigger_port}
    return prometheus_over(
        {f"copyist-{name}": f"{options.host}:{port}" for name, port in ports.items()},
        folder / "watching",
        address=f"{options.host}:{options.prometheus_port}",
        alertmanager=f"{options.host}:{options.alertmanager_port}",
    )


def _drift(loop: Loop) -> None:
    """Send recordings that have lost their treble."""
    files = recordings.without_treble()

    def send(file: bytes) -> str:
        with Copyist(loop.site.stack.http_url) as client:
            return client.transcribe(file).model.version

    with ThreadPoolExecutor(_AT_ONCE) as senders:
        versions = set(senders.map(send, files))
    loop.tell(f"{len(files)} recordings without treble were transcribed, by version {', '.join(versions)}")
    loop.outcome.check("the shipped version answers them", versions, held=versions == {"1"})


def _alert(loop: Loop) -> None:
    site = loop.site
    loop.wait("an alert asks for a retraining", lambda: bool(site.prometheus.now(_FIRING)), _ALERTED_S)
    for each in site.prometheus.now(_FIRING):
        loop.tell(f"    {each.labels['alertname']}: {each.labels.get('cause', '')} {each.labels['window']}")
    loop.wait("the trigger has started a run", lambda: bool(loop.state()), _REQUESTED_S)


def _retrain(loop: Loop, rate_hz: float) -> None:
    """Follow the run; once it puts a version on trial, there are requests for it to answer."""
    site, outcome = loop.site, loop.outcome
    deadline, step = time.monotonic() + _ENDED_S, ""
    with ExitStack() as requests:
        traffic = None
        while (state := loop.state())["state"] == "running" or not _outcome_file(loop):
            if time.monotonic() > deadline or state["state"] == "failed":
                raise TimeoutError(f"the run stands at {state}")
            if state["step"] != step:
                step = state["step"]
                loop.tell(f"    {step}")
                outcome.figures[f"{step} begins, after s"] = time.monotonic() - loop.began
            if step == "canary" and traffic is None:
                traffic = requests.enter_context(site.traffic(rate_hz))
            time.sleep(0.5)
        if traffic is not None:
            time.sleep(5)
            outcome.count(traffic.sent(), "2")
    loop.tell(json.loads(_outcome_file(loop)[0].read_text("utf-8"))["text"])


def _outcome_file(loop: Loop) -> list[Path]:
    return list(Path(loop.site.options.runs_folder).glob(f"*/{OUTCOME}"))


def _check(loop: Loop) -> None:
    """Look for each step where an operator and an ML engineer would."""
    site, outcome = loop.site, loop.outcome
    ended = json.loads(_outcome_file(loop)[0].read_text("utf-8"))
    outcome.why = ended["text"]
    outcome.check("the run comes to a good end", ended["state"], held=ended["state"] in _GOOD_ENDS)
    outcome.check("no request fails", outcome.failed or "none", held=not outcome.failed)
    _check_release(loop, ended)
    _check_metrics(loop, ended)
    folder = _outcome_file(loop)[0].parent
    steps = {each.name for each in STEPS if ended["state"] != "refused" or not each.release}
    logs = {file.stem for file in (folder / "log").glob("*.log")}
    outcome.check("every step has a log", f"{len(logs)} of {len(steps)}", held=steps <= logs)
    listed = site.command("trigger", "list").stdout
    outcome.check("one retraining was requested", listed.count("\n") - 1, held=listed.count("\n") == 2)
    models = json.loads(site.command("models", "--model", MODEL, "--json").stdout)
    told = {each["version"]: each for each in models[MODEL]}
    expected = {"1"} if ended["state"] == "refused" else {"1", "2"}
    outcome.check("MLflow has the versions", sorted(told), held=set(told) == expected)
    champion = "2" if ended["state"] == "promoted" else "1"
    outcome.check(
        "its champion is what serves", champion, held="champion" in told.get(champion, {}).get("aliases", [])
    )


def _check_release(loop: Loop, ended: dict[str, Any]) -> None:
    outcome, history = loop.outcome, [each.change for each in reversed(loop.site.board.history())]
    for change in history:
        loop.tell(f"    release: {change.what}, by {change.by}{f': {change.why}' if change.why else ''}")
    if ended["state"] == "refused":
        outcome.check("nothing was released", len(history), held=not history)
        return
    outcome.check("the run begins the trial", history[0].by, held=history[0].by.startswith("run "))
    outcome.check("the watch ends it", history[-1].by, held=history[-1].by == BY)


def _check_metrics(loop: Loop, ended: dict[str, Any]) -> None:
    outcome = loop.outcome
    started = loop.number(f'sum(copyist_retraining_requests_total{{model="{MODEL}", decision="started"}})')
    outcome.check("metrics tell of the request", started, held=started == 1)
    ask = f'sum(copyist_retraining_runs{{model="{MODEL}", state="{ended["state"]}"}})'
    loop.site.wait_for("the metrics tell how the run ended", lambda: loop.number(ask) == 1, 60)
    revision = loop.number("min(copyist_release_revision)")
    kept = loop.site.board.read().revision
    outcome.check("metrics tell of the release", f"revision {revision:g}", held=revision == kept)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=2.0, help="requests a second during the trial")
    parser.add_argument("--out", type=Path, default=Path("out/release"), help="folder of the results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="copyist-loop-") as temporary:
        try:
            outcome = run(Path(temporary), args.rate)
        except (CopyistError, TimeoutError, RuntimeError) as error:
            print(f"loop: {error}", file=sys.stderr)
            return 1
        finally:
            _keep_logs(Path(temporary), args.out / "loop")
    print("\n".join(["", *table([outcome])]))
    (args.out / "loop.json").write_text(json.dumps(outcome.plain(), indent=1))
    print("everything held" if outcome.held else "NOT everything held")
    return 0 if outcome.held else 1


def _keep_logs(folder: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    for log in folder.rglob("*.log"):
        kept = to / log.relative_to(folder)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, kept)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
