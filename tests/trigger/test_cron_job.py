"""Retrainings as Jobs of a cluster, against a stand-in of its API."""

from __future__ import annotations

import pytest

from services.cluster.connection import Cluster
from services.trigger.cron_job import CronJobStarter
from services.trigger.starters import RunPhase, RunState
from tests.cluster.api_server import ApiServer
from tests.cluster.manifests import cron_job
from tests.trigger.drifted import request


@pytest.fixture
def starter(api: ApiServer, cluster: Cluster) -> CronJobStarter:
    api.put("cronjobs", cron_job())
    return CronJobStarter(cluster, "copyist-retrain", "full")


NAME = "retrain-piano-aaaaaaaaaaaa"


def test_a_job_of_the_models_cron_job_is_started_once(starter: CronJobStarter, api: ApiServer) -> None:
    assert starter.look(request()) == RunState(RunPhase.ABSENT)
    asked = request(reason="CopyistInputDrift: snr_db")
    starter.start(asked)
    starter.start(asked)
    stored = api.object("jobs", NAME)
    container = stored["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["copyist", "retrain", "piano"]
    assert container["args"] == ["--run", asked.id, "--reason", asked.reason, "--budget", "full"]
    assert stored["metadata"]["annotations"]["copyist.io/retraining-request"] == asked.id
    assert starter.look(asked) == RunState(RunPhase.RUNNING)


def test_a_template_that_was_changed_since_starts_no_second_one(
    starter: CronJobStarter, api: ApiServer
) -> None:
    starter.start(request())
    changed = cron_job()
    changed["spec"]["jobTemplate"]["spec"]["backoffLimit"] = 1
    api.put("cronjobs", changed)
    before = api.object("jobs", NAME)["metadata"]["uid"]
    starter.start(request())
    assert api.object("jobs", NAME)["metadata"]["uid"] == before


def test_its_end_and_its_last_words_are_told(starter: CronJobStarter, api: ApiServer) -> None:
    starter.start(request())
    api.add_pod(NAME, f"{NAME}-x", "training\npromoted: piano 2\n\n")
    api.set_job(NAME, succeeded=1, conditions=[{"type": "Complete", "status": "True"}])
    assert starter.look(request()) == RunState(RunPhase.SUCCEEDED, "promoted: piano 2")


def test_a_job_that_failed_without_a_word_is_told_by_kubernetes(
    starter: CronJobStarter, api: ApiServer
) -> None:
    starter.start(request())
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "It took too long"}
    api.set_job(NAME, failed=1, conditions=[failed])
    assert starter.look(request()) == RunState(RunPhase.FAILED, "It took too long")
