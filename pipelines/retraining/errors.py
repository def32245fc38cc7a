"""What a retraining run raises."""

from __future__ import annotations

from services.errors import CopyistError, InputError


class RetrainingError(CopyistError):
    """A run of retraining cannot go on."""

    slug = "retraining-failed"
    title = "The retraining run cannot go on"


class StepFailedError(RetrainingError):
    """A step of a run ended with an error; the run goes on with it when it is resumed."""

    slug = "retraining-step-failed"
    title = "A step of the retraining run failed"


class RunUnderWayError(RetrainingError):
    """The model is being retrained already: one run at a time."""

    slug = "retraining-under-way"
    title = "The model is being retrained already"
    status = 409


class UnknownRunError(InputError):
    """There is no such run."""

    slug = "unknown-run"
    title = "Unknown retraining run"
    status = 404


class NoTrainingDataError(InputError):
    """There is nothing to learn from, or it cannot be read."""

    slug = "no-training-data"
    title = "No training data"
    status = 422
