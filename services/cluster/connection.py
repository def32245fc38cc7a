"""The connection to one namespace of a cluster: credentials, time limits, further tries, kinds of errors."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from services.cluster.errors import (
    ClusterForbiddenError,
    ClusterRefusedError,
    ClusterUnavailableError,
    NoClusterError,
    NotInClusterError,
)
from services.errors import CopyistError

logger = logging.getLogger(__name__)

#: Where Kubernetes tells a pod which namespace it is in.
NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: Seconds until a connection must stand, and until a call must be answered.
TIMES_S: Final = (5.0, 30.0)
#: Answers after which the same call may succeed: too many requests, and those of a server that is starting,
#: overloaded or being replaced.
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 8.0

T = TypeVar("T")


class Cluster:
    """One namespace of a cluster, as this process may use it.

    Args:
        configuration: the API's address and this process's credentials.
        namespace: all objects are looked for, and made, in this one.
        patience_s: seconds for which a call that fails in passing is tried again.
    """

    def __init__(self, configuration: Configuration, namespace: str, *, patience_s: float = 60.0) -> None:
        # Tries are counted here, with pauses; urllib3's own would follow one another at once.
        configuration.retries = False
        self.namespace = namespace
        self.client = ApiClient(configuration)
        self._patience_s = patience_s

    def close(self) -> None:
        """Close the connections."""
        self.client.rest_client.pool_manager.clear()

    def ask(self, what: str, call: Callable[[], T], *, patience_s: float | None = None) -> T:
        """Make a call, and make it again for a while where it failed in passing.

        Args:
            what: the call in words, for errors: "read the Job x".
            call: must bear being made twice: the first may have been carried out although no answer came.
            patience_s: for this call, in place of the cluster's.

        Raises:
            ClusterUnavailableError: it still failed when patience ran out.
            NotInClusterError, ClusterForbiddenError, ClusterRefusedError: the answer was final.
            ApiException: as it came, for the answers that only the caller can read: 409 and 410.
        """
        deadline = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return call()
            except (ApiException, HTTPError) as error:
                failure = _failure(what, error)
                if not isinstance(failure, ClusterUnavailableError):
                    raise failure from error
                pause_s = max(pause_s, _asked_pause_s(error))
                if time.monotonic() + pause_s > deadline:
                    raise failure from error
                logger.info("%s; trying again in %.2f s", failure.detail, pause_s)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def connect(*, patience_s: float = 60.0) -> Cluster:
    """Connect with the credentials of the pod that this runs in, or else with those of the kubeconfig.

    Args:
        patience_s: as `Cluster` takes it.

    Raises:
        NoClusterError: there are neither.
    """
    configuration = Configuration()
    try:
        if NAMESPACE_FILE.is_file():
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            return Cluster(configuration, NAMESPACE_FILE.read_text().strip(), patience_s=patience_s)
        path = os.environ.get("KUBECONFIG")
        config.load_kube_config(path, client_configuration=configuration)  # type: ignore[no-untyped-call]
        _, context = config.list_kube_config_contexts(path)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise NoClusterError(
            f"No credentials for Kubernetes were found: {error}.",
            remedy="Run this in a pod with a service account, or point KUBECONFIG to a kubeconfig.",
        ) from error
    return Cluster(configuration, context["context"].get("namespace", "default"), patience_s=patience_s)


def _failure(what: str, error: ApiException | HTTPError) -> CopyistError | ApiException:
    """What a failed call means."""
    if not isinstance(error, ApiException):
        return ClusterUnavailableError(f"Could not {what}: the Kubernetes API does not answer ({error}).")
    status = int(error.status or 0)
    said = _message(error)
    if status in (409, 410):
        return error
    if status in _PASSING or not status:
        return ClusterUnavailableError(f"Could not {what}: the Kubernetes API says {status} ({said}).")
    if status == 404:
        return NotInClusterError(f"Could not {what}: {said}.")
    if status in (401, 403):
        return ClusterForbiddenError(
            f"Could not {what}: {said}.",
            remedy="Give the service account the rights of services/cluster/rules.py, as the chart does.",
        )
    return ClusterRefusedError(f"Could not {what}: {said}.")


def _message(error: ApiException) -> str:
    """What the API said, without its last full stop."""
    try:
        message = str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        message = str(error.reason)
    return message.removesuffix(".")


def _asked_pause_s(error: ApiException | HTTPError) -> float:
    """For how long the API asks to be left alone, in seconds."""
    headers = getattr(error, "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    return float(asked) if asked.isdecimal() else 0.0
