"""Which page, and which place on it, a training tile shows: rare symbols come up more often than they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from pipelines.engraving.pages import EngravedPage
from pipelines.training.distributed import ALONE, Ranks
from pipelines.training.symbols.recipe import Recipe
from pipelines.training.symbols.targets import POINT, joined, targets
from pipelines.training.symbols.tiles import cut, on_nearest_staff

#: How strongly what is rare is preferred: a kind that is a hundredth as frequent is shown a sixth as often.
_PREFERENCE = 0.6
#: Share of tiles around no symbol in particular: margins, titles, text.
_ANYWHERE = 0.08
#: How far from the tile's centre the chosen symbol may lie, in px of the page.
_ASIDE_PX = 150.0
#: Batches after which new pages are looked for.
_LOOK_EVERY = 200


def what_it_is(symbols: NDArray[np.void]) -> NDArray[np.int64]:
    """One number for all that makes a symbol a rare one: kind, duration, dots, grace, tuplet."""
    key = symbols["kind"].astype(np.int64)
    for name, values in (("duration", 8), ("dots", 4), ("grace", 2), ("tuplet", 4)):
        key = key * values + np.clip(symbols[name], -1, values - 2) + 1
    return key


class Shelf:
    """The pages of a folder, each drawn the more often the rarer what it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stems: list[Path] = []
        self._kinds: list[NDArray[np.int64]] = []
        self._count: dict[int, int] = {}
        self._shares = np.zeros(0)

    def look(self) -> None:
        """Take in pages that have been made since.

        Raises:
            FileNotFoundError: there is none.
        """
        known = {stem.name for stem in self.stems}
        for path in sorted(self.folder.glob("*.npz")):
            if path.stem in known or path.name.endswith(".part.npz"):
                continue
            with np.load(path) as truth:
                kinds, counts = np.unique(what_it_is(truth["symbols"]), return_counts=True)
            if len(kinds) == 0:
                continue
            self.stems.append(path.with_suffix(""))
            self._kinds.append(kinds)
            for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
                self._count[kind] = self._count.get(kind, 0) + count
        if not self.stems:
            raise FileNotFoundError(f"No pages in {self.folder}: run `python -m pipelines.engraving.make`.")
        worth = np.array([self._worth(kinds).sum() for kinds in self._kinds])
        self._shares = worth / worth.sum()

    def _worth(self, kinds: NDArray[np.int64]) -> NDArray[np.float64]:
        """How much each kind is wanted."""
        return np.array([self._count[kind] for kind in kinds.tolist()], np.float64) ** -_PREFERENCE

    def draw(self, random: np.random.Generator) -> tuple[EngravedPage, NDArray[np.float64]]:
        """A page, and how likely each of its symbols should be chosen."""
        while True:
            try:
                page = EngravedPage.load(self.stems[int(random.choice(len(self.stems), p=self._shares))])
            except FileNotFoundError:  # being made anew
                continue
            break
        worth = self._worth(what_it_is(page.symbols))
        return on_nearest_staff(page), worth / worth.sum()


def somewhere(
    random: np.random.Generator, page: EngravedPage, worth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The centre (x, y) of a tile, near a symbol chosen by its `worth`."""
    height, width = page.image.shape
    if random.random() < _ANYWHERE:
        return random.uniform(0, (width, height))
    chosen = page.symbols[int(random.choice(len(worth), p=worth))]
    return np.array([chosen["x"], chosen["y"]]) + random.uniform(-_ASIDE_PX, _ASIDE_PX, 2)


#: A batch: "tile" uint8 [B, T, T], "absence", "staves" (as `Targets`), and the columns of `POINT`.
Batch = dict[str, Tensor]


class Batches(IterableDataset[Batch]):
    """An endless stream of batches; pages added to the folder meanwhile join in.

    Args:
        folder: of engraved pages.
        recipe: how tiles are made.
        skip: batches already drawn by an interrupted run, so that a resumed one goes on elsewhere.
        ranks: who trains together; each draws its share of every batch.
    """

    def __init__(self, folder: Path, recipe: Recipe, skip: int = 0, ranks: Ranks = ALONE) -> None:
        self.folder = folder
        self.recipe = recipe
        self.skip = skip
        self.ranks = ranks
        self.tiles = ranks.share(recipe.batch)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        random = np.random.default_rng([self.recipe.seed, self.skip, self.ranks.stream(worker)])
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        shelf = Shelf(self.folder)
        shelf.look()
        held = [shelf.draw(random) for _ in range(min(self.recipe.pages_in_memory, 8))]
        made = 0
        while True:
            made += 1
            if made % _LOOK_EVERY == 0:
                shelf.look()
            yield self._batch(random, held)
            for _ in range(random.poisson(self.tiles / self.recipe.tiles_a_page)):
                if len(held) < self.recipe.pages_in_memory:
                    held.append(shelf.draw(random))
                else:
                    held[int(random.integers(len(held)))] = shelf.draw(random)

    def _batch(
        self, random: np.random.Generator, held: list[tuple[EngravedPage, NDArray[np.float64]]]
    ) -> Batch:
        images, wanted = [], []
        for _ in range(self.tiles):
            page, worth = held[int(random.integers(len(held)))]
            clean = bool(random.random() < self.recipe.clean)
            tile = cut(random, page, somewhere(random, page, worth), self.recipe.tile_px, clean)
            images.append(tile.image)
            wanted.append(targets(random, tile.symbols, tile.lines, self.recipe.tile_px))
        whole = joined(wanted)
        columns = {name: np.ascontiguousarray(whole.points[name]) for name in POINT.names}
        arrays = {"tile": np.stack(images), "absence": whole.absence, "staves": whole.staves, **columns}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
