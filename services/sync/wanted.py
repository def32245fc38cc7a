"""Which versions of which models are to serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.runtime.release.manifest import Manifest, ModelVersion


@dataclass(frozen=True, slots=True)
class Wanted:
    """The versions of a model that are to serve.

    Attributes:
        stable: what answers unless another one is chosen.
        others: canary and shadow.
    """

    stable: ModelVersion
    others: tuple[ModelVersion, ...] = ()

    @property
    def all(self) -> tuple[ModelVersion, ...]:
        """All of them, the stable one first."""
        return (self.stable, *self.others)

    @property
    def numbers(self) -> frozenset[str]:
        """Their numbers."""
        return frozenset(version.number for version in self.all)


def wanted(manifest: Manifest, shipped: Mapping[str, ModelVersion]) -> Mapping[str, Wanted]:
    """Tell the versions that are to serve, by model.

    Args:
        manifest: what it does not name serves as shipped; what it names and was not shipped does not serve.
        shipped: the version of each model that came with Copyist.
    """
    found = {model: Wanted(version) for model, version in shipped.items()}
    for model, release in manifest.models.items():
        if model in found:
            others = (version for _, version, _ in release.roles() if version != release.stable)
            found[model] = Wanted(release.stable, tuple(others))
    return found
