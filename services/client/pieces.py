"""What is to be written down, and where the results go."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.client.jobs import Service
from services.client.ordering import service_for
from services.client.vocabulary import AUDIO_SUFFIXES, PAGE_SUFFIXES
from services.errors import InputError

_SUFFIXES: Final = {
    None: AUDIO_SUFFIXES | PAGE_SUFFIXES,
    Service.RECORDINGS: AUDIO_SUFFIXES,
    Service.PAGES: PAGE_SUFFIXES,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or several that make one piece, and where the results go.

    Attributes:
        sources: the files, in order.
        stem: the path of each result without its suffix.
        service: which service is to do it.
    """

    sources: tuple[Path, ...]
    stem: Path
    service: Service

    @property
    def source(self) -> Path:
        """The first file, after which the results are named."""
        return self.sources[0]

    def outputs(self, suffixes: Iterable[str]) -> tuple[Path, ...]:
        """The files that will be written, in the order of their suffixes."""
        return tuple(self.stem.with_name(self.stem.name + suffix) for suffix in suffixes)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be written down, and why, with what to do."""

    source: Path
    reason: str


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Make one piece of all: the files, in order, are one piece."""
    sources = tuple(source for piece in pieces for source in piece.sources)
    return [replace(pieces[0], sources=sources)] if pieces else []


def plan(
    arguments: Iterable[str], directory: Path, service: Service | None
) -> tuple[list[Piece], list[Failure]]:
    """Find the files that the arguments mean, and where the results of each go.

    An argument is a file, a folder (every file under it with a suffix that the service reads, hidden ones
    left out; the folders under it are made again under `directory`), or a pattern such as `*.flac` that no
    shell has expanded.

    Args:
        arguments: as typed.
        directory: where the results go.
        service: which service is to do them; None chooses by each file's name.

    Returns:
        The pieces in order, each file once, and a failure for each argument that means nothing.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    failures = []
    for argument in arguments:
        path = Path(argument)
        meant = _meant(path, _SUFFIXES[service])
        if not meant:
            failures.append(Failure(path, _nothing(path, _SUFFIXES[service])))
        for file, place in meant:
            found.setdefault(file.resolve(), (file, place))
    pieces = []
    for file, place in found.values():
        stem = (directory / place).with_name(file.stem)
        try:
            pieces.append(Piece((file,), stem, service or service_for(file.name)))
        except InputError as error:
            failures.append(Failure(file, str(error)))
    return pieces, failures


def _meant(path: Path, suffixes: Collection[str]) -> list[tuple[Path, Path]]:
    """The files that a path stands for, each with its place in the folder of results."""
    if path.is_dir():
        return [(file, file.relative_to(path)) for file in _files_under(path, suffixes)]
    if path.exists():
        return [(path, Path(path.name))]
    matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    return [(file, Path(file.name)) for file in matches]


def _nothing(path: Path, suffixes: Collection[str]) -> str:
    if path.is_dir():
        return f"Nothing to read is in this folder (looked for {' '.join(sorted(suffixes))})."
    return "There is no such file. Check the path."


def check_clashes(pieces: Sequence[Piece], suffixes: Sequence[str]) -> None:
    """Make sure that no file would be written twice, nor over one that is read.

    Raises:
        InputError: naming the files concerned.
    """
    sources = {source.resolve() for piece in pieces for source in piece.sources}
    by_output: dict[Path, Piece] = {}
    for piece in pieces:
        for output in piece.outputs(suffixes):
            if output.resolve() in sources:
                raise InputError(
                    f"{output} would be written over a file that is to be read.",
                    remedy="Write into another folder (-o).",
                )
            other = by_output.setdefault(output.resolve(), piece)
            if other is not piece:
                raise InputError(
                    f"{other.source} and {piece.source} would both be written to {output}.",
                    remedy="Rename one of them, or write them into different folders (-o).",
                )


def missing(pieces: Sequence[Piece], suffixes: Sequence[str]) -> list[Piece]:
    """The pieces of which some result is not there yet; of several overlays the first counts for all."""
    return [piece for piece in pieces if not all(_is_there(piece, suffix) for suffix in suffixes)]


def _is_there(piece: Piece, suffix: str) -> bool:
    return any(output.exists() for output in piece.outputs((suffix, f"-1{suffix}")))


def _files_under(directory: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Every file with one of the suffixes in a folder and below; links to folders are not followed."""
    for where, folders, files in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(where, name)
