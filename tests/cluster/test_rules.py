"""What the code calls and what `rules` say are the same."""

from __future__ import annotations

from services.cluster import rules
from services.cluster.config_maps import ConfigMaps
from services.cluster.jobs import JobPhase, Jobs
from tests.cluster.api_server import ApiServer
from tests.cluster.manifests import COMPLETE, rights, training
from tests.waiting import PATIENCE_S, when


def test_the_rules_of_jobs_are_what_is_called_and_no_more(api: ApiServer, jobs: Jobs) -> None:
    api.rights = rights(*rules.JOBS)
    name = jobs.start(training()).name
    jobs.start(training())
    api.add_pod(name, f"{name}-1", "a line\n")
    watched = when(
        lambda: "watch" in [call.verb for call in api.calls],
        lambda: api.set_job(name, conditions=[COMPLETE]),
    )
    assert jobs.wait(name, PATIENCE_S).phase is JobPhase.SUCCEEDED
    watched.join()
    assert jobs.list({}) and jobs.find(name) and jobs.log(name)
    jobs.delete(name)
    assert {call.right for call in api.calls} == api.rights


def test_the_rules_of_config_maps_are_what_is_called_and_no_more(
    api: ApiServer, config_maps: ConfigMaps
) -> None:
    api.rights = rights(*rules.CONFIG_MAP_WRITER)
    api.put("configmaps", {"metadata": {"name": "release"}, "data": {"manifest.json": "1"}})
    for found in config_maps.follow("release", watch_s=1):
        if found.data["manifest.json"] == "2":
            break
        config_maps.change(config_maps.read("release"), {"manifest.json": "2"})
    assert {call.right for call in api.calls} == api.rights
    assert rights(*rules.CONFIG_MAP_READER) == api.rights - {("patch", "", "configmaps")}
    # So a Role may be limited to the one name, lists and watches included.
    assert {call.name or call.query["fieldSelector"] for call in api.calls} == {
        "release",
        "metadata.name=release",
    }
