"""What NetworkPolicies let through, computed as Kubernetes defines it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from tests.charts.rendering import Object, of_kind


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection.

    Attributes:
        name: for messages.
        labels: of a pod; None for an address outside of the cluster.
        namespace: of a pod.
        address: of what is no pod.
    """

    name: str
    labels: Mapping[str, str] | None = None
    namespace: str = ""
    address: str = ""


class Network:
    """The policies of one namespace.

    Args:
        objects: the NetworkPolicies, and whatever else.
        namespace: in which they lie.
    """

    def __init__(self, objects: Iterable[Object], namespace: str) -> None:
        self._policies = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy")]
        self._namespace = namespace

    def allows(self, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection may be opened: both ends must let it through."""
        return self._passes("Egress", source, target, port, protocol) and self._passes(
            "Ingress", target, source, port, protocol
        )

    def _passes(self, direction: str, mine: End, other: End, port: int, protocol: str) -> bool:
        if mine.labels is None or mine.namespace != self._namespace:
            return True  # these policies are not about it
        covering = [
            policy
            for policy in self._policies
            if direction in policy["policyTypes"] and _matches(policy["podSelector"], mine.labels)
        ]
        if not covering:
            return True  # a pod that no policy covers is open
        peers_key = "to" if direction == "Egress" else "from"
        return any(
            self._any_peer(rule.get(peers_key), other) and _any_port(rule.get("ports"), port, protocol)
            for policy in covering
            for rule in policy.get(direction.lower(), [])
        )

    def _any_peer(self, peers: list[Object] | None, other: End) -> bool:
        return peers is None or any(self._is_peer(peer, other) for peer in peers)

    def _is_peer(self, peer: Object, other: End) -> bool:
        if block := peer.get("ipBlock"):
            return other.labels is None and _inside(block, other.address)
        if other.labels is None:
            return False
        if "namespaceSelector" in peer:
            names = {"kubernetes.io/metadata.name": other.namespace}
            if not _matches(peer["namespaceSelector"], names):
                return False
        elif other.namespace != self._namespace:
            return False
        return _matches(peer.get("podSelector", {}), other.labels)


def _inside(block: Object, address: str) -> bool:
    place = ip_address(address)
    return place in ip_network(block["cidr"]) and not any(
        place in ip_network(hole) for hole in block.get("except", [])
    )


def _any_port(ports: list[Object] | None, port: int, protocol: str) -> bool:
    return ports is None or any(
        each["protocol"] == protocol and each["port"] <= port <= each.get("endPort", each["port"])
        for each in ports
    )


def _matches(selector: Object, labels: Mapping[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}, "expressions are not computed here"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()
