"""The steps of a release: each makes the next manifest of the one in force, or says why it cannot.

Steps are pure; `apply` takes them to where the manifest is kept. All take the manifest first, then `model`,
and `by` (who made the change) and `why` (empty where nothing is to be said). `version`, where it is optional,
is the number that the step is meant for: another one on trial by now is left alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from services.errors import CopyistError
from services.runtime.release.board import ReleaseBoard, ReleaseChangedError
from services.runtime.release.manifest import Canary, Change, Manifest, ModelRelease, ModelVersion, Shadow

#: Makes the next manifest of the one in force.
Step = Callable[[Manifest], Manifest]

_TRIES: Final = 20
_LONGEST_PAUSE_S: Final = 0.1


class WrongStepError(CopyistError):
    """The step does not fit what serves now."""

    slug = "wrong-step"
    title = "The release does not allow this step"
    status = 409


def apply(board: ReleaseBoard, step: Step) -> Manifest:
    """Take a step from the manifest in force; again where someone else took another at the same time.

    Returns:
        The manifest that is now in force.

    Raises:
        WrongStepError: the step does not fit what serves now.
        ReleaseChangedError: others kept changing the manifest.
        CopyistError: as the board's methods say.
    """
    for left in reversed(range(_TRIES)):
        manifest = step(board.read())
        try:
            board.write(manifest)
        except ReleaseChangedError:
            if not left:
                raise
            time.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - no secret
        else:
            return manifest
    raise AssertionError("there is at least one try")


def start_canary(
    manifest: Manifest,
    model: str,
    version: ModelVersion,
    share: float,
    *,
    shipped: ModelVersion,
    by: str,
    automatic: bool = True,
    why: str = "",
) -> Manifest:
    """Put a version on trial; where it is its shadow, it is that no more.

    Args:
        manifest: in force.
        model: whose version.
        version: which one.
        share: of the requests, above 0, at most 1.
        shipped: the version that serves where nothing is released.
        by: who.
        automatic: whether it takes larger shares, and in the end all, by itself when it does well.
        why: for the record.

    Raises:
        WrongStepError: it is the stable version, or another one is on trial.
        BadManifestError: the share is none.
    """
    release = _release(manifest, model, shipped)
    if release.stable.number == version.number:
        raise WrongStepError(f"Version {version.number} of {model} serves already, as its stable one.")
    if release.canary is not None and release.canary.version != version:
        raise WrongStepError(
            f"Version {release.canary.version.number} of {model} is on trial.",
            remedy="Promote it or roll it back first.",
        )
    now = datetime.now(UTC)
    changed = replace(
        release, canary=Canary(version, share, now, automatic), shadow=_unless(release.shadow, version)
    )
    held = "" if automatic else ", held"
    return _next(
        manifest, model, changed, by, f"canary {model} {version.number} at {_percent(share)}{held}", why, now
    )


def change_share(
    manifest: Manifest, model: str, share: float, *, by: str, version: str | None = None, why: str = ""
) -> Manifest:
    """Give the version on trial another share of the requests.

    Raises:
        WrongStepError: there is none, or another than `version`.
        BadManifestError: the share is none.
    """
    release, canary = _on_trial(manifest, model, version)
    now = datetime.now(UTC)
    changed = replace(release, canary=replace(canary, share=share, since=now))
    what = f"canary {model} {canary.version.number} at {_percent(share)}"
    return _next(manifest, model, changed, by, what, why, now)


def promote(
    manifest: Manifest, model: str, *, by: str, version: str | None = None, why: str = ""
) -> Manifest:
    """Make the version on trial the stable one.

    Raises:
        WrongStepError: there is none, or another than `version`.
    """
    release, canary = _on_trial(manifest, model, version)
    changed = ModelRelease(canary.version, shadow=release.shadow)
    return _next(manifest, model, changed, by, f"promote {model} {canary.version.number}", why)


def rollback(
    manifest: Manifest,
    model: str,
    *,
    history: Sequence[Manifest],
    by: str,
    version: str | None = None,
    why: str = "",
) -> Manifest:
    """End a trial; where there is none, go back to the stable version before the present one.

    Several times over, it goes back further: never to a version that was rolled back itself.

    Args:
        manifest: in force.
        model: of which model.
        history: the manifests before it, newest first.
        by: who.
        version: end the trial of this one only.
        why: for the record.

    Raises:
        WrongStepError: there is nothing to go back to, or `version` is not on trial.
    """
    release = manifest.models.get(model)
    if version is not None or (release is not None and release.canary is not None):
        release, canary = _on_trial(manifest, model, version)
        what = f"roll back canary {model} {canary.version.number}"
        return _next(manifest, model, replace(release, canary=None), by, what, why)
    before = _stables(manifest, model, history)
    if release is None or len(before) < 2:
        raise WrongStepError(
            f"It is not known which version of {model} served before the present one.",
            remedy="Put the one that you want on trial: copyist release canary.",
        )
    changed = ModelRelease(before[-2], shadow=_unless(release.shadow, before[-2]))
    what = f"roll back {model} {release.stable.number} to {before[-2].number}"
    return _next(manifest, model, changed, by, what, why)


def start_shadow(
    manifest: Manifest,
    model: str,
    version: ModelVersion,
    share: float,
    *,
    shipped: ModelVersion,
    by: str,
    why: str = "",
) -> Manifest:
    """Give a version copies of a share of the requests, in place of the shadow before it, if any.

    Raises:
        WrongStepError: it answers requests already.
        BadManifestError: the share is none.
    """
    release = _release(manifest, model, shipped)
    answering = [release.stable, *([release.canary.version] if release.canary else [])]
    if version.number in (each.number for each in answering):
        raise WrongStepError(f"Version {version.number} of {model} answers requests already.")
    what = f"shadow {model} {version.number} at {_percent(share)}"
    return _next(manifest, model, replace(release, shadow=Shadow(version, share)), by, what, why)


def stop_shadow(manifest: Manifest, model: str, *, by: str, why: str = "") -> Manifest:
    """Give the shadow no more requests.

    Raises:
        WrongStepError: there is none.
    """
    release = manifest.models.get(model)
    if release is None or release.shadow is None:
        raise WrongStepError(f"No version of {model} is a shadow.")
    what = f"stop shadow {model} {release.shadow.version.number}"
    return _next(manifest, model, replace(release, shadow=None), by, what, why)


def _release(manifest: Manifest, model: str, shipped: ModelVersion) -> ModelRelease:
    return manifest.models.get(model) or ModelRelease(shipped)


def _on_trial(manifest: Manifest, model: str, version: str | None) -> tuple[ModelRelease, Canary]:
    release = manifest.models.get(model)
    if release is None or release.canary is None:
        raise WrongStepError(f"No version of {model} is on trial.")
    number = release.canary.version.number
    if version is not None and version != number:
        raise WrongStepError(f"Version {number} of {model} is on trial, not {version}.")
    return release, release.canary


def _stables(manifest: Manifest, model: str, history: Sequence[Manifest]) -> list[ModelVersion]:
    """List the stable versions that led to the present one, oldest first, without what was rolled back."""
    way: list[ModelVersion] = []
    earlier = [each for each in history if each.revision < manifest.revision]
    for each in (*sorted(earlier, key=lambda one: one.revision), manifest):
        release = each.models.get(model)
        if release is None:
            continue
        if release.stable in way:
            del way[way.index(release.stable) :]
        way.append(release.stable)
    return way


def _unless(shadow: Shadow | None, version: ModelVersion) -> Shadow | None:
    return None if shadow is not None and shadow.version.number == version.number else shadow


def _next(
    manifest: Manifest,
    model: str,
    release: ModelRelease,
    by: str,
    what: str,
    why: str,
    at: datetime | None = None,
) -> Manifest:
    # Its microseconds tell it from the same step of someone else at the same time, which a place could
    # otherwise take for its own, written twice.
    change = Change(at or datetime.now(UTC), by, what, why)
    return Manifest(manifest.revision + 1, {**manifest.models, model: release}, change)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
