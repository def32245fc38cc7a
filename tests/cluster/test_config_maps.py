from __future__ import annotations

import pytest

from services.cluster.config_maps import ConfigMaps
from services.cluster.errors import ConfigMapChangedError, NotInClusterError
from tests.cluster.api_server import ApiServer, Fault
from tests.cluster.manifests import later


def test_a_change_keeps_the_other_keys(api: ApiServer, config_maps: ConfigMaps) -> None:
    api.put("configmaps", {"metadata": {"name": "release"}, "data": {"manifest.json": "1", "note": "n"}})
    was = config_maps.read("release")
    now = config_maps.change(was, {"manifest.json": "2"})
    assert now.data == {"manifest.json": "2", "note": "n"}
    assert now.version != was.version
    assert config_maps.read("release") == now


def test_what_someone_else_changed_is_not_overwritten(api: ApiServer, config_maps: ConfigMaps) -> None:
    api.put("configmaps", {"metadata": {"name": "release"}, "data": {"manifest.json": "1"}})
    was = config_maps.read("release")
    config_maps.change(was, {"manifest.json": "theirs"})
    with pytest.raises(ConfigMapChangedError, match="release"):
        config_maps.change(was, {"manifest.json": "ours"})
    assert api.object("configmaps", "release")["data"] == {"manifest.json": "theirs"}


def test_a_change_whose_answer_was_lost_is_not_taken_for_someone_elses(
    api: ApiServer, config_maps: ConfigMaps
) -> None:
    api.put("configmaps", {"metadata": {"name": "release"}, "data": {"manifest.json": "1"}})
    was = config_maps.read("release")
    api.faults.append(Fault(carried_out=True))
    assert config_maps.change(was, {"manifest.json": "2"}).data == {"manifest.json": "2"}


def test_changes_are_seen_as_they_come(api: ApiServer, config_maps: ConfigMaps) -> None:
    api.put("configmaps", {"metadata": {"name": "release"}, "data": {"manifest.json": "1"}})
    seen = []
    for found in config_maps.follow("release", watch_s=300):
        seen.append(found.data["manifest.json"])
        if len(seen) == 3:
            break
        text = str(len(seen) + 1)
        body = {"metadata": {"name": "release"}, "data": {"manifest.json": text}}
        later(lambda body=body: api.put("configmaps", body), 0.1)
    assert seen == ["1", "2", "3"]


def test_one_that_is_not_there(config_maps: ConfigMaps) -> None:
    with pytest.raises(NotInClusterError):
        next(config_maps.follow("release"))
