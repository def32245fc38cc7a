"""What can go wrong between Copyist and Kubernetes."""

from __future__ import annotations

from services.errors import CopyistError, TryAgainError


class NoClusterError(CopyistError):
    """This process runs neither in a pod nor beside a usable kubeconfig."""

    slug = "no-cluster"
    title = "There is no Kubernetes cluster to talk to"


class ClusterUnavailableError(TryAgainError):
    """The Kubernetes API does not answer, or is overloaded, for longer than is waited for."""

    slug = "cluster-unavailable"
    title = "The Kubernetes API is not available"


class ClusterForbiddenError(CopyistError):
    """The service account may not do what was tried."""

    slug = "cluster-forbidden"
    title = "Kubernetes does not allow this"


class ClusterRefusedError(CopyistError):
    """The Kubernetes API found the request wrong in itself: a bug, or a manifest that it does not take."""

    slug = "cluster-refused"
    title = "Kubernetes refused the request"


class NotInClusterError(CopyistError):
    """There is no such object in the namespace."""

    slug = "not-in-cluster"
    title = "There is no such object in the cluster"
    status = 404


class JobNameTakenError(CopyistError):
    """A Job of this name is there that is not the one that was to be started."""

    slug = "job-name-taken"
    title = "Another Job has this name"
    status = 409


class ConfigMapChangedError(TryAgainError):
    """Someone else changed the ConfigMap since it was read: read it again, and decide again."""

    slug = "config-map-changed"
    title = "The ConfigMap was changed by someone else"
    status = 409


class JobUnfinishedError(TryAgainError):
    """A Job did not end within the time that was waited for it."""

    slug = "job-unfinished"
    title = "The Job has not ended yet"
