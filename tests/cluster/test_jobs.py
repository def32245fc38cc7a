from __future__ import annotations

import time

import pytest

from services.cluster.errors import (
    ClusterForbiddenError,
    ClusterRefusedError,
    JobNameTakenError,
    JobUnfinishedError,
    NotInClusterError,
)
from services.cluster.jobs import ClusterJob, JobPhase, Jobs
from tests.cluster.api_server import ApiServer, Fault
from tests.cluster.manifests import COMPLETE, FAILED, later, training
from tests.waiting import PATIENCE_S, when


class TestStarting:
    def test_a_started_job_is_as_the_manifest_says(self, api: ApiServer, jobs: Jobs) -> None:
        job = jobs.start(training())
        assert (job.name, job.phase, job.failed_pods) == ("train-piano-7", JobPhase.WAITING, 0)
        stored = api.object("jobs", "train-piano-7")
        assert stored["metadata"]["uid"] == job.uid
        container = stored["spec"]["template"]["spec"]["containers"][0]
        assert container["command"] == ["python", "-m", "pipelines.training.piano.train"]
        assert container["resources"] == {"limits": {"nvidia.com/gpu": "1", "memory": "16Gi"}}
        assert stored["metadata"]["labels"] == {
            "copyist.io/model": "piano",
            "app.kubernetes.io/managed-by": "copyist",
        }

    def test_starting_it_again_finds_the_one_that_runs(self, api: ApiServer, jobs: Jobs) -> None:
        first = jobs.start(training())
        api.set_job(first.name, active=1, startTime="2026-11-21T09:00:00Z")
        again = jobs.start(training())
        assert (again.uid, again.phase) == (first.uid, JobPhase.RUNNING)

    def test_a_job_from_another_manifest_is_left_alone(self, api: ApiServer, jobs: Jobs) -> None:
        jobs.start(training())
        with pytest.raises(JobNameTakenError, match="train-piano-7"):
            jobs.start(training(image="copyist-training:0.2.0"))
        container = api.object("jobs", "train-piano-7")["spec"]["template"]["spec"]["containers"][0]
        assert container["image"] == "copyist-training:0.1.0"

    def test_a_job_that_someone_else_made_is_left_alone(self, api: ApiServer, jobs: Jobs) -> None:
        api.put("jobs", training())
        with pytest.raises(JobNameTakenError):
            jobs.start(training())

    def test_a_job_that_is_just_going_is_not_taken_for_the_new_one(self, api: ApiServer, jobs: Jobs) -> None:
        jobs.start(training())
        going = api.object("jobs", "train-piano-7")
        going["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
        api.put("jobs", going)
        with pytest.raises(JobNameTakenError, match="being deleted"):
            jobs.start(training())

    def test_a_lost_answer_starts_no_second_job(self, api: ApiServer, jobs: Jobs) -> None:
        api.faults.append(Fault(carried_out=True))
        job = jobs.start(training())
        assert api.object("jobs", job.name)["metadata"]["uid"] == job.uid
        assert [call.verb for call in api.calls] == ["create", "create", "get"]

    def test_a_field_that_no_job_has_is_told(self, jobs: Jobs) -> None:
        manifest = training()
        manifest["spec"]["template"]["spec"]["containers"][0]["imagePullpolicy"] = "Always"
        with pytest.raises(ClusterRefusedError, match=r"strict decoding error.*imagePullpolicy"):
            jobs.start(manifest)
        assert jobs.list({}) == ()

    def test_what_kubernetes_finds_invalid_is_told_in_its_words(self, jobs: Jobs) -> None:
        with pytest.raises(ClusterRefusedError, match=r'metadata\.name: Invalid value: "Train_Piano"'):
            jobs.start(training("Train_Piano"))


class TestReading:
    def test_a_job_that_succeeded(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        api.set_job(
            name,
            succeeded=1,
            startTime="2026-11-21T09:00:00Z",
            completionTime="2026-11-21T10:00:00Z",
            conditions=[{**COMPLETE, "type": "SuccessCriteriaMet"}, COMPLETE],
        )
        job = jobs.find(name)
        assert job.phase is JobPhase.SUCCEEDED
        assert job.started and job.ended
        assert (job.ended - job.started).total_seconds() == 3600

    def test_a_job_that_failed_says_why(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        api.set_job(name, failed=3, conditions=[FAILED])
        job = jobs.find(name)
        assert (job.phase, job.reason, job.failed_pods) == (JobPhase.FAILED, "BackoffLimitExceeded", 3)
        assert job.message == "Job has reached the specified backoff limit"
        assert job.ended is not None

    def test_a_condition_that_is_not_true_counts_for_nothing(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        api.set_job(name, active=1, conditions=[{**FAILED, "status": "False"}])
        assert jobs.find(name).phase is JobPhase.RUNNING

    def test_a_job_that_is_not_there(self, jobs: Jobs) -> None:
        with pytest.raises(NotInClusterError, match=r'jobs\.batch "nothing" not found'):
            jobs.find("nothing")

    def test_listing_gives_only_ones_own_with_these_labels(self, api: ApiServer, jobs: Jobs) -> None:
        for name in ("b", "a"):
            jobs.start(training(name))
        other = training("c")
        other["metadata"]["labels"] = {"copyist.io/model": "symbols"}
        jobs.start(other)
        api.put("jobs", training("strangers"))
        assert [job.name for job in jobs.list({"copyist.io/model": "piano"})] == ["a", "b"]

    def test_the_log_is_that_of_the_newest_pod_that_ran(self, api: ApiServer, jobs: Jobs) -> None:
        assert jobs.log("train") == ""
        api.add_pod("train", "train-1", "old\n", phase="Failed", created="2026-11-21T09:00:00Z")
        api.add_pod("train", "train-2", "epoch 1\nepoch 2\nepoch 3\n", created="2026-11-21T09:10:00Z")
        api.add_pod("train", "train-3", "", phase="Pending", created="2026-11-21T09:20:00Z")
        api.add_pod("another", "another-1", "not this\n", created="2026-11-21T10:00:00Z")
        assert jobs.log("train", lines=2) == "epoch 2\nepoch 3\n"


def watches(api: ApiServer) -> int:
    """How often anything was watched."""
    return [call.verb for call in api.calls].count("watch")


class TestFollowing:
    def test_every_state_is_seen_and_the_last_one_ends_it(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        phases = []
        for job in jobs.follow(name, watch_s=300):
            phases.append(job.phase)
            if job.phase is JobPhase.WAITING:
                later(lambda: api.set_job(name, active=1))
            if job.phase is JobPhase.RUNNING:
                later(lambda: api.set_job(name, conditions=[COMPLETE]))
        assert phases == [JobPhase.WAITING, JobPhase.RUNNING, JobPhase.SUCCEEDED]

    @pytest.mark.parametrize("as_event", [True, False])
    def test_an_expired_watch_lists_anew(self, api: ApiServer, jobs: Jobs, as_event: bool) -> None:
        api.gone_as_event = as_event
        name = jobs.start(training()).name

        def expire() -> None:
            with api._changed:
                api.set_job(name, conditions=[COMPLETE])
                api.forget_history()

        expiring = when(lambda: watches(api) >= 1, expire)
        assert jobs.wait(name, PATIENCE_S).phase is JobPhase.SUCCEEDED
        expiring.join()
        assert [call.verb for call in api.calls[1:]].count("list") >= 2

    def test_a_watch_that_breaks_loses_nothing(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        api.break_watches = 2
        # Each watch is told of one thing, and two of them break over it.
        changing = [
            when(lambda: watches(api) >= 1, lambda: api.set_job(name, active=1)),
            when(lambda: watches(api) >= 2, lambda: api.set_job(name, active=2)),
            when(lambda: watches(api) >= 3, lambda: api.set_job(name, conditions=[COMPLETE])),
        ]
        assert jobs.wait(name, PATIENCE_S).phase is JobPhase.SUCCEEDED
        assert api.break_watches == 0
        for thread in changing:
            thread.join()

    def test_a_watch_goes_on_where_the_last_one_ended(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        ending = when(lambda: watches(api) >= 2, lambda: api.set_job(name, conditions=[COMPLETE]))
        seen: list[ClusterJob] = list(jobs.follow(name, watch_s=1))
        ending.join()
        assert seen[-1].phase is JobPhase.SUCCEEDED
        assert [call.verb for call in api.calls].count("list") == 1
        for call in api.calls:
            if call.verb == "watch":
                assert call.query["fieldSelector"] == f"metadata.name={name}"

    def test_a_job_deleted_meanwhile(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        removing = when(lambda: watches(api) >= 1, lambda: api.remove("jobs", name))
        with pytest.raises(NotInClusterError, match="any more"):
            jobs.wait(name, PATIENCE_S)
        removing.join()

    def test_waiting_has_an_end(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        begun = time.monotonic()
        with pytest.raises(JobUnfinishedError, match="within 1 s"):
            jobs.wait(name, 1.0)
        assert time.monotonic() - begun < 20
        assert api.object("jobs", name)

    def test_watching_without_the_right_to_is_told(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        api.rights = {("list", "batch", "jobs")}
        with pytest.raises(ClusterForbiddenError, match="cannot watch resource"):
            jobs.wait(name, PATIENCE_S)


class TestDeleting:
    def test_a_job_goes_with_its_pods(self, api: ApiServer, jobs: Jobs) -> None:
        name = jobs.start(training()).name
        api.add_pod(name, f"{name}-1", "")
        jobs.delete(name)
        assert jobs.list({}) == ()
        assert jobs.log(name) == ""

    def test_deleting_what_is_not_there_is_no_error(self, api: ApiServer, jobs: Jobs) -> None:
        jobs.delete("nothing")
        assert [call.verb for call in api.calls] == ["delete"]
