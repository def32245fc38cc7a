"""Scores of the corpora as music to engrave: songs without their voice, quartets as if for piano, chorales.

Most pages that are read hold piano music, of which the corpora have next to none: what is near it is made
more of.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from random import Random

from lxml import etree

from pipelines.corpora.scores import music21_files, score_files

#: Songs without their voice look like piano music.
PIANO_ALONE = 0.6
WITHOUT_WORDS = 0.3
TWO_OF_MANY = 0.5

MUSICXML_SUFFIXES = {".mxl", ".musicxml", ".xml"}


def read_musicxml(path: Path) -> str:
    """The MusicXML text of a plain or compressed file."""
    if path.suffix != ".mxl":
        return path.read_text("utf-8")
    with zipfile.ZipFile(path) as archive:
        name = next(
            name
            for name in archive.namelist()
            if name.endswith((".xml", ".musicxml")) and not name.startswith("META-INF")
        )
        return archive.read(name).decode("utf-8")


def arrange(path: Path, random: Random) -> str:
    """The music of a file as MusicXML: all of it, or those parts that look like piano music.

    A song loses its voice or its words now and then; of other scores in parts two are taken as the staves of
    one player.

    Raises:
        ValueError: the file holds no MusicXML.
    """
    text = read_musicxml(path)
    try:
        root = etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, load_dtd=False))
    except etree.XMLSyntaxError as error:
        raise ValueError(f"{path.name} holds no MusicXML: {error}") from error
    parts = [part.get("id", "") for part in root.findall("part")]
    if "lieder" in path.parts:
        if len(parts) > 1 and random.random() < PIANO_ALONE:
            keep_parts(root, parts[1:])
        elif random.random() < WITHOUT_WORDS:
            drop_words(root)
    elif len(parts) > 2 and random.random() < TWO_OF_MANY:
        first = random.randrange(len(parts) - 1)
        keep_parts(root, [parts[first], parts[random.randrange(first + 1, len(parts))]])
        drop_words(root)
        join_with_brace(root)
    return etree.tostring(root, encoding="unicode")


def keep_parts(root: etree._Element, kept: list[str]) -> None:
    """Leaves only these parts (by id) in a partwise score, and no groups."""
    listed = root.find("part-list")
    if listed is None:
        return
    for each in list(listed):
        if each.tag == "part-group" or each.get("id") not in kept:
            listed.remove(each)
    for part in root.findall("part"):
        if part.get("id") not in kept:
            root.remove(part)


def drop_words(root: etree._Element) -> None:
    """Takes the lyrics out."""
    for lyric in list(root.iter("lyric")):
        parent = lyric.getparent()
        if parent is not None:
            parent.remove(lyric)


def join_with_brace(root: etree._Element) -> None:
    """Joins all parts with a brace, barlines drawn through, and takes their names away."""
    listed = root.find("part-list")
    if listed is None:
        return
    for name in listed.iter("part-name", "part-abbreviation"):
        name.text = ""
    start = etree.Element("part-group", type="start", number="1")
    etree.SubElement(start, "group-symbol").text = "brace"
    etree.SubElement(start, "group-barline").text = "yes"
    listed.insert(0, start)
    etree.SubElement(listed, "part-group", type="stop", number="1")


def corpus_files(folder: Path) -> list[Path]:
    """The scores below `folder` and those of music21's corpus that may be trained on."""
    others = [path for path in music21_files() if path.suffix in MUSICXML_SUFFIXES]
    return [*score_files(folder), *others]
