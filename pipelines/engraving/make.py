"""Makes the pages that the `symbols` and `context` models learn from: `python -m pipelines.engraving.make`.

Pages go to `pages/train` and `pages/validation` of the cache; scores whose pages validate are never trained on.
Resumable: what is there is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.corpora.scores import score_files
from pipelines.engraving.render import engrave_pages, random_look

#: One score in this many is kept for validation.
VALIDATION_SHARE = 20
#: Songs without their voice look like piano music, which is what most pages hold.
_PIANO_ALONE = 0.6
_PAGES_OF_A_SCORE = 2
#: Scores with at least this many very short notes give more pages: they are few.
_MANY_SHORT_NOTES = 20


def read_musicxml(path: Path) -> str:
    """The MusicXML text of a plain or compressed file."""
    if path.suffix != ".mxl":
        return path.read_text("utf-8")
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".xml") and not n.startswith("META-INF"))
        return archive.read(name).decode("utf-8")


def without_first_part(musicxml: str) -> str:
    """A score without its first part, such as a song without its voice; unchanged if it has one part only."""
    root = ET.fromstring(musicxml)
    parts = root.find("part-list")
    if parts is None or len(parts.findall("score-part")) < 2:
        return musicxml
    first = parts.findall("score-part")[0]
    parts.remove(first)
    for part in root.findall("part"):
        if part.get("id") == first.get("id"):
            root.remove(part)
    return ET.tostring(root, encoding="unicode")


def is_for_validation(path: Path) -> bool:
    """Whether a score's pages validate; decided by its name alone."""
    return int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % VALIDATION_SHARE == 0


def arrangements(files: list[Path], random: Random) -> Iterator[tuple[str, str, int]]:
    """Scores without end: name, MusicXML, and how many pages to take of it."""
    while True:
        for path in random.sample(files, len(files)):
            music = read_musicxml(path)
            if "lieder" in path.parts and random.random() < _PIANO_ALONE:
                music = without_first_part(music)
            short = music.count("<type>32nd") + music.count("<type>64th")
            yield path.stem, music, _PAGES_OF_A_SCORE + 3 * (short > _MANY_SHORT_NOTES)


def make_pages(folder: Path, files: list[Path], count: int, seed: int) -> None:
    """Make pages until there are `count` of this seed in the folder."""
    random = Random(f"{seed}")
    made = len(list(folder.glob(f"{seed}_*.npz")))
    random.seed(f"{seed}/{made}")
    progress = tqdm(total=count, initial=made, desc=folder.name, unit="page", mininterval=10)
    for _, music, most in arrangements(files, random):
        try:
            for page in engrave_pages(music, random_look(random), random, most):
                page.save(folder / f"{seed}_{made:05d}")
                made += 1
                progress.update()
        except (ValueError, KeyError, ET.ParseError, StopIteration) as error:
            progress.write(f"passed over a score: {error!r}")
        if made >= count:
            return


def main() -> None:
    """Make the pages of one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=Path("../shared/data/scores"))
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--validation-pages", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    files = score_files(args.scores)
    kept = [path for path in files if is_for_validation(path)]
    trained = [path for path in files if not is_for_validation(path)]
    make_pages(cache_folder("pages", "validation"), kept, args.validation_pages, args.seed)
    make_pages(cache_folder("pages", "train"), trained, args.pages, args.seed)


if __name__ == "__main__":
    main()
