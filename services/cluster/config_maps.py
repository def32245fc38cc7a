"""ConfigMaps: read, followed, and changed only as they were when they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from kubernetes.client import ApiException, CoreV1Api

from services.cluster.connection import TIMES_S, Cluster
from services.cluster.errors import ConfigMapChangedError, NotInClusterError
from services.cluster.following import WATCH_S, follow


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """A ConfigMap at one moment.

    Attributes:
        name: in its namespace.
        version: changes whenever it does.
        data: its texts by key.
    """

    name: str
    version: str
    data: Mapping[str, str]


class ConfigMaps:
    """The ConfigMaps of one namespace. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._core = CoreV1Api(cluster.client)

    def read(self, name: str) -> ConfigMap:
        """Read one.

        Raises:
            NotInClusterError: there is none of this name.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        read = partial(
            self._core.read_namespaced_config_map, name, self._cluster.namespace, _request_timeout=TIMES_S
        )
        return _read(self._cluster.ask(f"read the ConfigMap {name}", read))

    def change(self, was: ConfigMap, data: Mapping[str, str]) -> ConfigMap:
        """Set some of its keys, unless it has changed since it was read; the others stay.

        Args:
            was: as it was read.
            data: the new texts by key.

        Raises:
            ConfigMapChangedError: it has changed.
            NotInClusterError: it is gone.
            ClusterUnavailableError, ClusterForbiddenError, ClusterRefusedError: as `Cluster.ask`.
        """
        body = {"metadata": {"resourceVersion": was.version}, "data": dict(data)}
        patch = partial(
            self._core.patch_namespaced_config_map,
            was.name,
            self._cluster.namespace,
            body,
            _content_type="application/merge-patch+json",
            _request_timeout=TIMES_S,
        )
        try:
            return _read(self._cluster.ask(f"change the ConfigMap {was.name}", patch))
        except ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        # A change whose answer was lost, and that was then made again, meets itself.
        now = self.read(was.name)
        if all(now.data.get(key) == text for key, text in data.items()):
            return now
        raise ConfigMapChangedError(
            f"The ConfigMap {was.name} was changed by someone else since it was read.",
            remedy="Read it again and decide again.",
            retry_after_s=1,
        )

    def follow(self, name: str, *, watch_s: int = WATCH_S) -> Iterator[ConfigMap]:
        """Yield it as it is now and after each change, and again unchanged every `watch_s` seconds.

        Raises:
            NotInClusterError: there is none of this name, or there no longer is.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        for found in follow(self._cluster, self._core.list_namespaced_config_map, name, watch_s=watch_s):
            if found is None:
                raise NotInClusterError(
                    f"There is no ConfigMap {name} in {self._cluster.namespace} (any more)."
                )
            yield _read(found)


def _read(found: Any) -> ConfigMap:
    return ConfigMap(
        name=found.metadata.name, version=found.metadata.resource_version, data=dict(found.data or {})
    )
