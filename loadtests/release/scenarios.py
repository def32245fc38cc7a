"""What happens to releases under load, and what must hold then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import SubprocessError
from typing import Final

from loadtests.release.outcome import Outcome, failures, most_of, p99_s
from loadtests.release.site import Site
from loadtests.release.traffic import Sent, Traffic
from services.errors import CopyistError
from services.operate.canary.decision import Plan
from services.operate.canary.watcher import BY
from services.runtime.release.index import MODEL_FILE
from services.runtime.release.manifest import Change, Manifest, ModelVersion
from tests import spoiled_models
from tests.spoiled_models import Maker

MODEL: Final = "piano"
#: How long requests come before anything is released.
CALM_S: Final = 60.0
#: A canary that has neither been promoted nor rolled back by then never will.
_DECIDED_S: Final = 1200.0
#: What takes seconds may take minutes on a busy machine.
_PATIENCE_S: Final = 300.0
#: After a change, until the last answers of what it ended are there.
_SETTLED_S: Final = 15.0
#: What loading a version may make of the slowest requests.
_SLOWER_WHILE_LOADING: Final = 2.0
_BY_HAND_S: Final = 10.0
#: What the watch says of answers without sense: some come without a note, others are merely other notes.
_SENSELESS: Final = ("PSI against", "notes_found failed")


@dataclass
class Stage:
    """What scenarios share.

    Attributes:
        site: the stack.
        traffic: the requests.
        calm_s: how long requests come before anything is released.
        share: the first one that candidates take.
        loading: the times, in seconds since the epoch, in which versions were loaded.
    """

    site: Site
    traffic: Traffic
    calm_s: float
    share: float
    loading: list[tuple[float, float]] = field(default_factory=list)

    def between(self, began: float, ended: float) -> list[Sent]:
        """The requests of that time."""
        return [each for each in self.traffic.sent() if began <= each.at < ended]

    def since(self, revision: int) -> list[Manifest]:
        """The manifests after a revision, oldest first."""
        return [each for each in reversed(self.site.board.history()) if each.revision > revision]

    def load(self, version: ModelVersion, share: float, *, automatic: bool) -> None:
        """Put a version on trial, and note how long Triton took to have it."""
        began = time.time()
        self.site.canary(MODEL, version, share, automatic=automatic)
        self.site.wait_for("the version is loaded", lambda: self._there(version), _PATIENCE_S)
        self.loading.append((began, time.time() + 5))

    def _there(self, version: ModelVersion) -> bool:
        release = self.site.release(MODEL)
        return self.site.in_force() or release is None or release.canary is None


def played(name: str, stage: Stage) -> Outcome:
    """Play one of SCENARIOS; one that does not come to its end has not held."""
    try:
        return SCENARIOS[name](stage)
    except (CopyistError, TimeoutError, SubprocessError) as error:
        outcome = Outcome(name)
        outcome.check("it comes to its end", error, held=False)
        return outcome


def calm(stage: Stage) -> Outcome:
    """Requests alone, for comparison."""
    outcome, began = Outcome("nothing is released"), time.time()
    time.sleep(stage.calm_s)
    ended = time.time()
    time.sleep(_SETTLED_S)
    sent = stage.between(began, ended)
    outcome.seconds = ended - began
    outcome.count(sent, "")
    outcome.figures = {"p99 s": p99_s(sent)}
    outcome.check("no request fails", outcome.failed or "none", held=not outcome.failed)
    return outcome


def good(stage: Stage) -> Outcome:
    """A candidate as good as the stable version goes from 0 to 100 % and is promoted."""
    outcome, version, changes = _tried(stage, "a good candidate", spoiled_models.as_it_is)
    shares = [stage.share, *(share for share in Plan().shares if share > stage.share)]
    expected = [f"canary {MODEL} {version.number} at {100 * share:g} %" for share in shares]
    expected.append(f"promote {MODEL} {version.number}")
    done = [each.what for each in changes]
    outcome.check("it takes all steps and is promoted", done[-1], held=done == expected)
    outcome.check("the watch takes the steps", BY, held=all(each.by == BY for each in changes[1:]))
    outcome.check("no request fails", outcome.failed or "none", held=not outcome.failed)
    return outcome


def crashing(stage: Stage) -> Outcome:
    """A candidate that cannot be loaded."""
    outcome = _bad(stage, "a candidate that crashes on load", spoiled_models.crashing, "cannot be loaded")
    outcome.check("it answers nothing", outcome.touched, held=outcome.touched == 0)
    return outcome


def wrong_contract(stage: Stage) -> Outcome:
    """A candidate whose answers have another form."""
    return _bad(stage, "a candidate with other tensors", spoiled_models.wrong_contract, "cannot be loaded")


def garbage(stage: Stage) -> Outcome:
    """A candidate whose answers are right in form and without sense."""
    return _bad(stage, "a candidate that answers garbage", spoiled_models.garbage, *_SENSELESS)


def slow(stage: Stage) -> Outcome:
    """A candidate that is right and takes three times as long."""
    return _bad(stage, "a slow candidate", three_times_slow, "mean time of a call")


def three_times_slow(model: Path, to: Path) -> None:
    """Right, but it does all of its work three times."""
    spoiled_models.slow(model, to, times=3)


def by_hand(stage: Stage) -> Outcome:
    """Somebody rolls a canary back that answers half of the requests."""
    outcome, site, began = Outcome("rollback by hand"), stage.site, time.time()
    version = site.publish(MODEL, spoiled_models.as_it_is)
    stage.load(version, 0.5, automatic=False)
    site.wait_for("the canary answers", lambda: _answered(stage, version, began) >= 5, _PATIENCE_S)
    told = time.time()
    done = site.command("release", "rollback", MODEL)
    took_s = time.time() - told
    outcome.check("the command succeeds", done.stderr or "yes", held=done.returncode == 0)
    time.sleep(_BY_HAND_S + _SETTLED_S)
    sent = stage.between(began, time.time() - _SETTLED_S)
    outcome.seconds = time.time() - began
    outcome.count(sent, version.number)
    by_it = [each for each in sent if each.version == version.number]
    last_answer = max(each.ended_at for each in by_it) - told
    outcome.figures = {
        "the command took, s": took_s,
        "last request that it took, s": max(each.at for each in by_it) - told,
        "its last answer, s": last_answer,
    }
    outcome.check(
        f"within {_BY_HAND_S:.0f} s it answers nothing any more",
        f"{last_answer:.1f} s",
        held=last_answer <= _BY_HAND_S,
    )
    outcome.check("no request fails", outcome.failed or "none", held=not outcome.failed)
    return outcome


def damaged(stage: Stage) -> Outcome:
    """Files of a published version are changed, and cut off, before anybody fetched them."""
    outcome, site, began = Outcome("damaged artefacts"), stage.site, time.time()
    for name, damage in (("a changed byte", _change_byte), ("half of a file", _cut)):
        # Files of the same content are one: other scenarios must not meet these.
        version = site.publish(MODEL, spoiled_models.too_large if damage is _cut else spoiled_models.noisy)
        file = site.artefacts.index(MODEL, version.number).files[MODEL_FILE]
        damage(Path(site.options.models_url) / "blobs" / file.sha256)
        revision = site.board.read().revision
        stage.load(version, 0.5, automatic=True)
        site.wait_for("it is rolled back", lambda: _canary(site) is None, _PATIENCE_S)
        outcome.why = stage.since(revision)[-1].change.why
        outcome.check(
            f"{name}: it is rolled back", outcome.why, held="cannot be loaded: damaged" in outcome.why
        )
        time.sleep(_SETTLED_S)
        answered = _answered(stage, version, began)
        outcome.check(f"{name}: it answers nothing", answered, held=answered == 0)
    sent = stage.between(began, time.time() - _SETTLED_S)
    outcome.seconds = time.time() - began
    outcome.count(sent, "")
    outcome.check("no request fails", outcome.failed or "none", held=not outcome.failed)
    return outcome


def at_once(stage: Stage) -> Outcome:
    """Two promote the same canary at once, then two put different versions on trial at once."""
    outcome, site, began = Outcome("two at once"), stage.site, time.time()
    first, second = (site.publish(MODEL, make) for make in (spoiled_models.as_it_is, spoiled_models.rounded))
    stage.load(first, 0.5, automatic=False)
    revision = site.board.read().revision
    ended = [begun.wait(_PATIENCE_S) for begun in [site.begin("release", "promote", MODEL) for _ in range(2)]]
    promoted = stage.since(revision)
    outcome.check("one of two promotions is made", sorted(ended), held=sorted(ended) == [0, 1])
    outcome.check("it is there once", len(promoted), held=len(promoted) == 1)
    third = site.publish(MODEL, spoiled_models.as_it_is)
    commands = [("release", "canary", MODEL, each.number, "--share", "10%") for each in (second, third)]
    ended = [begun.wait(_PATIENCE_S) for begun in [site.begin(*command) for command in commands]]
    begun = stage.since(revision)[1:]
    outcome.check(
        "one of two trials is begun", sorted(ended), held=sorted(ended) == [0, 1] and len(begun) == 1
    )
    revisions = [each.revision for each in stage.since(0)]
    steady = revisions == list(range(revisions[0], revisions[0] + len(revisions)))
    outcome.check("revisions follow one another", f"to {revisions[-1]}", held=steady)
    site.command("release", "rollback", MODEL)
    time.sleep(_SETTLED_S)
    sent = stage.between(began, time.time() - _SETTLED_S)
    outcome.seconds = time.time() - began
    outcome.count(sent, first.number)
    outcome.check("no request fails", outcome.failed or "none", held=not outcome.failed)
    return outcome


def while_loading(stage: Stage, calm_p99_s: float) -> Outcome:
    """Of all scenarios: how slow the slowest requests were while versions were loaded."""
    outcome = Outcome("while versions are loaded")
    sent = [each for began, ended in stage.loading for each in stage.between(began, ended)]
    outcome.seconds = sum(ended - began for began, ended in stage.loading)
    outcome.count(sent, "")
    p99 = p99_s(sent)
    outcome.figures = {"p99 s": p99, "p99 s, nothing released": calm_p99_s, "loads": len(stage.loading)}
    outcome.check(
        "p99 no more than doubled",
        f"{p99 / calm_p99_s:.2f} times",
        held=p99 <= _SLOWER_WHILE_LOADING * calm_p99_s,
    )
    outcome.check("no request fails", failures(sent) or "none", held=not failures(sent))
    return outcome


def _tried(stage: Stage, name: str, make: Maker) -> tuple[Outcome, ModelVersion, list[Change]]:
    """Publish a candidate, put it on trial, and leave it to the release watch."""
    outcome, site, began = Outcome(name), stage.site, time.time()
    version = site.publish(MODEL, make)
    revision = site.board.read().revision
    stage.load(version, stage.share, automatic=True)
    site.wait_for("it is decided", lambda: _canary(site) is None, _DECIDED_S)
    ended = time.time()
    time.sleep(_SETTLED_S)
    changes = [each.change for each in stage.since(revision)]
    outcome.seconds, outcome.why = ended - began, changes[-1].why
    outcome.count(stage.between(began, time.time() - _SETTLED_S), version.number)
    outcome.figures = {f"{change.what}, after s": change.at.timestamp() - began for change in changes[1:]}
    _check_shares(stage, outcome, version, stage.since(revision), ended)
    return outcome, version, changes


def _check_shares(
    stage: Stage, outcome: Outcome, version: ModelVersion, manifests: list[Manifest], ended: float
) -> None:
    """Check that the version answered no more at each share than that."""
    times = [each.change.at.timestamp() for each in manifests]
    for manifest, began, until in zip(manifests, times, [*times[1:], ended], strict=True):
        canary = manifest.models[MODEL].canary
        if canary is not None and canary.share < 1:
            sent = stage.between(began, until)
            answered, most = (
                sum(each.version == version.number for each in sent),
                most_of(len(sent), canary.share),
            )
            outcome.check(
                f"at {canary.share:.0%} it answers no more",
                f"{answered} of {len(sent)}",
                held=answered <= most,
            )


def _bad(stage: Stage, name: str, make: Maker, *reasons: str) -> Outcome:
    outcome, version, changes = _tried(stage, name, make)
    last = changes[-1]
    rolled_back = last.what == f"roll back canary {MODEL} {version.number}" and last.by == BY
    outcome.check("the watch rolls it back", last.what, held=rolled_back)
    named = any(reason in last.why for reason in reasons)
    outcome.check("the reason names it", last.why, held=named)
    outcome.check("no request fails", outcome.failed or "none", held=not outcome.failed)
    return outcome


def _canary(site: Site) -> ModelVersion | None:
    release = site.release(MODEL)
    return release.canary.version if release and release.canary else None


def _answered(stage: Stage, version: ModelVersion, began: float) -> int:
    return sum(each.version == version.number and each.at >= began for each in stage.traffic.sent())


def _change_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


#: By the name that the command line has for each, in their order.
SCENARIOS: Final[dict[str, Callable[[Stage], Outcome]]] = {
    "good": good,
    "crashing": crashing,
    "wrong-contract": wrong_contract,
    "garbage": garbage,
    "slow": slow,
    "by-hand": by_hand,
    "damaged": damaged,
    "at-once": at_once,
}
