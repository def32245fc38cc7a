"""What Kubernetes lets nobody change in an object that is there, and what earlier charts made of that.

When a version of the chart is released, `python -m tests.charts.released` writes the unchangeable fields of
everything that the values files make into `released/VERSION.json`. Later versions are held to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import helm_python as helm

from tests.charts.rendering import CHART, VALUES_FILES, Object, render

RELEASED: Final = Path(__file__).parent / "released"
#: The fields of a StatefulSet that may change; no others may.
_STATEFUL_SET_MAY: Final = frozenset(
    {
        *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
        *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
    }
)


def _without(spec: Mapping[str, Any], names: Iterable[str]) -> Object:
    return {name: value for name, value in spec.items() if name not in set(names)}


def _claim(each: Object) -> Object:
    # It may grow, where its class lets it.
    return _without(each["spec"], ("resources", "volumeAttributesClassName"))


_UNCHANGEABLE: Final[Mapping[str, Callable[[Object], Any]]] = {
    "Deployment": lambda each: each["spec"]["selector"],
    "StatefulSet": lambda each: _without(each["spec"], _STATEFUL_SET_MAY),
    "Service": lambda each: each["spec"].get("clusterIP", ""),
    "PersistentVolumeClaim": _claim,
    "RoleBinding": lambda each: each["roleRef"],
    "PriorityClass": lambda each: [each["value"], each["preemptionPolicy"]],
    "Job": lambda each: each["spec"]["template"],
}


def unchangeable(objects: Iterable[Object]) -> dict[str, Any]:
    """The fields that an upgrade must leave alone, by kind and name. Hooks are made anew each time."""
    return {
        f"{each['kind']} {each['metadata']['name']}": _UNCHANGEABLE[each["kind"]](each)
        for each in objects
        if each["kind"] in _UNCHANGEABLE and "helm.sh/hook" not in each["metadata"].get("annotations", {})
    }


def main() -> None:
    """Write down what the present version makes."""
    version = helm.Chart.load(CHART).metadata["version"]
    made = {name: unchangeable(render(values)) for name, values in VALUES_FILES.items()}
    RELEASED.mkdir(exist_ok=True)
    (RELEASED / f"{version}.json").write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
