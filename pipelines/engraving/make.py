"""Makes the pages that the `symbols` and `context` models learn from: `python -m pipelines.engraving.make`.

Pages go to `pages/train` and `pages/validation` of the cache; scores whose pages validate are never trained
on. Resumable: what is there is not made again. Where MuseScore is installed, it engraves some of the pages.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from lxml import etree
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.engraving.arrangements import arrange, corpus_files
from pipelines.engraving.look import random_look
from pipelines.engraving.musescore import PROGRAM as MUSESCORE
from pipelines.engraving.musescore import engrave_with_musescore
from pipelines.engraving.random_scores import random_scores
from pipelines.engraving.render import engrave_pages

#: One score in this many is kept for validation.
VALIDATION_SHARE = 20
#: Random notation among the pages to learn from.
RANDOM_SHARE = 0.35
#: What reading odd scores raises; they are passed over.
_UNREADABLE = (ValueError, KeyError, etree.XMLSyntaxError, StopIteration)
_PAGES_OF_A_SCORE = 2
#: Scores that one run of MuseScore engraves: it takes a second to start.
_SCORES_AT_ONCE = 8
#: Scores with at least this many very short notes give more pages: they are few.
_MANY_SHORT_NOTES = 20


def is_for_validation(path: Path) -> bool:
    """Whether a score's pages validate; decided by its name alone."""
    return int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % VALIDATION_SHARE == 0


def material(files: list[Path], random_share: float, random: Random) -> Iterator[tuple[str, int]]:
    """Music without end: MusicXML or MEI, and how many pages to take of it."""
    invented = random_scores(random.getrandbits(32))
    while True:
        for path in random.sample(files, len(files)):
            while random.random() < random_share:
                yield next(invented)[1], _PAGES_OF_A_SCORE
            try:
                music = arrange(path, random)
            except _UNREADABLE:
                continue
            short = music.count("<type>32nd") + music.count("<type>64th")
            yield music, _PAGES_OF_A_SCORE + 3 * (short > _MANY_SHORT_NOTES)


def make_pages(folder: Path, files: list[Path], random_share: float, count: int, seed: int) -> None:
    """Make pages until there are `count` of this seed in the folder."""
    made = len(list(folder.glob(f"{seed}_*.npz")))
    random = Random(f"{seed}/{made}")
    progress = tqdm(total=count, initial=made, desc=folder.name, unit="page", mininterval=10)
    for music, most in material(files, random_share, random):
        if made >= count:
            return
        try:
            for page in engrave_pages(music, random_look(random), random, most):
                page.save(folder / f"{seed}_{made:05d}")
                made += 1
                progress.update()
        except _UNREADABLE as error:
            progress.write(f"passed over a score: {error!r}")


def make_musescore_pages(folder: Path, files: list[Path], count: int, seed: int) -> None:
    """Make pages engraved by MuseScore until there are `count` of this seed in the folder."""
    made = len(list(folder.glob(f"m{seed}_*.npz")))
    random = Random(f"musescore/{seed}/{made}")
    progress = tqdm(
        total=count, initial=made, desc=f"{folder.name} by MuseScore", unit="page", mininterval=10
    )
    while made < count:
        try:
            musics = [arrange(path, random) for path in random.sample(files, _SCORES_AT_ONCE)]
            for page in engrave_with_musescore(musics):
                page.save(folder / f"m{seed}_{made:05d}")
                made += 1
                progress.update()
        except _UNREADABLE as error:
            progress.write(f"passed over a score: {error!r}")


def main() -> None:
    """Make the pages of one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=Path("../shared/data/scores"))
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--validation-pages", type=int, default=80)
    parser.add_argument("--random-share", type=float, default=RANDOM_SHARE)
    parser.add_argument("--musescore-pages", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    files = corpus_files(args.scores)
    kept = [path for path in files if is_for_validation(path)]
    trained = [path for path in files if not is_for_validation(path)]
    make_pages(cache_folder("pages", "validation"), kept, 0.0, args.validation_pages, args.seed)
    make_pages(cache_folder("pages", "train"), trained, args.random_share, args.pages, args.seed)
    if shutil.which(MUSESCORE) is not None:
        make_musescore_pages(cache_folder("pages", "train"), trained, args.musescore_pages, args.seed)
    elif args.musescore_pages:
        print(f"{MUSESCORE} is not installed: no pages are engraved by it")


if __name__ == "__main__":
    main()
