"""What the code of this package does to which resources: the rights that its service accounts need, no more.

The chart's Roles are held to these by a test, and the tests of this package to what the code really calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a Role.

    Attributes:
        group: API group; empty for the core.
        resource: plural name, a subresource after a slash.
        verbs: what is done to it.
    """

    group: str
    resource: str
    verbs: frozenset[str]


#: `services.cluster.jobs`, in its own namespace.
JOBS: Final = (
    Rule("batch", "jobs", frozenset({"create", "get", "list", "watch", "delete"})),
    Rule("", "pods", frozenset({"list"})),
    Rule("", "pods/log", frozenset({"get"})),
)

#: The same for Kubeflow's TrainJobs, besides.
TRAIN_JOBS: Final = (
    Rule("trainer.kubeflow.org", "trainjobs", frozenset({"create", "get", "list", "watch", "delete"})),
)

#: `services.cluster.cron_jobs`, for who starts a Job from a CronJob's template and looks at the Jobs that it
#: started.
CRON_JOB_STARTER: Final = (
    Rule("batch", "cronjobs", frozenset({"get"})),
    Rule("batch", "jobs", frozenset({"create", "get", "list"})),
)

#: `services.cluster.config_maps`, for who reads and follows one ConfigMap; may be given for its name alone.
CONFIG_MAP_READER: Final = (Rule("", "configmaps", frozenset({"get", "list", "watch"})),)

#: The same for who also changes it.
CONFIG_MAP_WRITER: Final = (Rule("", "configmaps", frozenset({"get", "list", "watch", "patch"})),)
