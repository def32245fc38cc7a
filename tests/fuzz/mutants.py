"""Mutants: whole files with something wrong in them, the same for the same seed.

    mutant("png", 17, seed=0)   # the 17th mutant of a PNG

Half of the changes know nothing of the format; the others change the pieces that it is made of.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.fuzz.seeds import AUDIO_FORMATS, FORMATS, PAGE_FORMATS, seeds
from tests.fuzz.structure import joined, parts_of, png_chunk

#: Numbers that break arithmetic, allocations and loops.
EXTREMES = (
    *(0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 255, 256, 257, 511, 512, 1000),
    *(4095, 4096, 0x7FFE, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, 100_000_000),
    *(0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 1 << 40, 1 << 63, (1 << 64) - 1),
)
#: Where the fields of most headers lie.
_HEAD_BYTES = 600
_LONGEST_BLOCK = 4096
_LARGEST = 8 << 20


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with something wrong in it.

    Attributes:
        kind: the format that it was made of.
        number: which one, from 0.
        how: names of the changes, joined by `+`.
        content: its bytes.
    """

    kind: str
    number: int
    how: str
    content: bytes


def mutant(kind: str, number: int, *, seed: int) -> Mutant:
    """Make one mutant of a format."""
    random = Random(f"{seed}:{kind}:{number}")
    content = random.choice(seeds(kind))
    changes = random.choices(_CHANGES, k=random.choice((1, 1, 1, 2, 3)))
    for change in changes:
        content = change(kind, content, random)[:_LARGEST]
    return Mutant(kind, number, "+".join(change.__name__.lstrip("_") for change in changes), content)


def _flip_bits(kind: str, content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _flip_head_bits(kind: str, content: bytes, random: Random) -> bytes:
    return _flip_bits(kind, content[:_HEAD_BYTES], random) + content[_HEAD_BYTES:]


def _truncate(kind: str, content: bytes, random: Random) -> bytes:
    end = min(len(content), _HEAD_BYTES) if random.random() < 0.3 else len(content)
    return content[: random.randint(0, end)]


def _remove_block(kind: str, content: bytes, random: Random) -> bytes:
    start, end = _block(content, random)
    return content[:start] + content[end:]


def _repeat_block(kind: str, content: bytes, random: Random) -> bytes:
    start, end = _block(content, random)
    return content[:end] + content[start:end] * random.choice((1, 2, 50)) + content[end:]


def _blank_block(kind: str, content: bytes, random: Random) -> bytes:
    start, end = _block(content, random)
    return content[:start] + bytes([random.choice((0, 0xFF, 0x20))]) * (end - start) + content[end:]


def _random_block(kind: str, content: bytes, random: Random) -> bytes:
    start, end = _block(content, random)
    return content[:start] + random.randbytes(end - start) + content[end:]


def _set_head_field(kind: str, content: bytes, random: Random) -> bytes:
    return _with_field(content, random.randrange(_HEAD_BYTES), random)


def _set_number(kind: str, content: bytes, random: Random) -> bytes:
    """Replace a number that is written in digits, as in a PDF."""
    numbers = list(re.finditer(rb"(?<![\w.])-?\d+\.?\d*(?![\w.])", content))
    if kind != "pdf" or not numbers:
        return _set_head_field(kind, content, random)
    number = random.choice(numbers)
    value = random.choice((*EXTREMES, -1, -(1 << 31), 0.5, 1e38, -1e9))
    return content[: number.start()] + str(value).encode() + content[number.end() :]


def _splice(kind: str, content: bytes, random: Random) -> bytes:
    """Let the end of another file follow, of the same kind of media as a rule."""
    among = AUDIO_FORMATS if kind in AUDIO_FORMATS else PAGE_FORMATS
    other = random.choice(seeds(random.choice(among if random.random() < 0.8 else FORMATS)))
    return content[: random.randint(0, len(content))] + other[random.randint(0, len(other)) :]


def _append(kind: str, content: bytes, random: Random) -> bytes:
    return content + random.choice(seeds(random.choice(FORMATS)))


def _drop_part(kind: str, content: bytes, random: Random) -> bytes:
    parts = _parts(kind, content)
    del parts[random.randrange(len(parts))]
    return joined(kind, parts)


def _repeat_part(kind: str, content: bytes, random: Random) -> bytes:
    parts = _parts(kind, content)
    index = random.randrange(len(parts))
    times = random.choice((1, 2, 40)) if len(parts[index]) < _LONGEST_BLOCK else 1
    return joined(kind, parts[:index] + parts[index : index + 1] * times + parts[index:])


def _swap_parts(kind: str, content: bytes, random: Random) -> bytes:
    parts = _parts(kind, content)
    one, other = random.randrange(len(parts)), random.randrange(len(parts))
    parts[one], parts[other] = parts[other], parts[one]
    return joined(kind, parts)


def _strange_part(kind: str, content: bytes, random: Random) -> bytes:
    """Put in a piece of another file of the format."""
    parts = _parts(kind, content)
    strange = random.choice(parts_of(kind, random.choice(seeds(kind))))
    parts.insert(random.randint(0, len(parts)), strange)
    return joined(kind, parts)


def _set_part_field(kind: str, content: bytes, random: Random) -> bytes:
    """Set a number in the beginning of a piece, small pieces first: they are the headers."""
    parts = _parts(kind, content)
    small = [index for index, part in enumerate(parts) if len(part) < 200] or list(range(len(parts)))
    index = random.choice(small if random.random() < 0.8 else list(range(len(parts))))
    parts[index] = _with_field(parts[index], random.randrange(min(len(parts[index]), 64)), random)
    return joined(kind, parts)


def _flip_part_bits(kind: str, content: bytes, random: Random) -> bytes:
    parts = _parts(kind, content)
    index = random.randrange(len(parts))
    parts[index] = _flip_bits(kind, parts[index], random)
    return joined(kind, parts)


def _repack_png(kind: str, content: bytes, random: Random) -> bytes:
    """Change what lies compressed in a PNG, or how much of it there is."""
    parts = _parts(kind, content)
    if kind != "png" or not any(part[4:8] == b"IDAT" for part in parts):
        return _set_part_field(kind, content, random)
    index = next(index for index, part in enumerate(parts) if part[4:8] == b"IDAT")
    try:
        rows = zlib.decompress(b"".join(part[8:-4] for part in parts if part[4:8] == b"IDAT"))
    except zlib.error:
        return _set_part_field(kind, content, random)
    rows = random.choice((_flip_bits, _truncate, _repeat_block, _random_block))(kind, rows, random)
    chunk = png_chunk(b"IDAT", zlib.compress(rows, random.randrange(10)))
    return joined(kind, [*parts[:index], chunk, *(part for part in parts[index:] if part[4:8] != b"IDAT")])


def _with_field(content: bytes, place: int, random: Random) -> bytes:
    """Set a number of 1 to 8 bytes at a place."""
    width = random.choice((1, 2, 2, 4, 4, 4, 8))
    value = random.choice(EXTREMES) & (1 << 8 * width) - 1
    field = value.to_bytes(width, "little" if random.random() < 0.5 else "big")
    return content[:place] + field + content[place + width :]


def _parts(kind: str, content: bytes) -> list[bytes]:
    """The pieces of a file, none of them empty; of one changed before, as far as they can be told."""
    try:
        parts = parts_of(kind, content)
    except (IndexError, ValueError, OverflowError, RecursionError, struct.error):
        parts = [part for part in (content[:32], content[32:]) if part]
    return parts or [b"\0"]


def _block(content: bytes, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(content))
    return start, min(len(content), start + random.randint(1, _LONGEST_BLOCK))


_CHANGES: tuple[Callable[[str, bytes, Random], bytes], ...] = (
    _flip_bits,
    _flip_head_bits,
    _flip_head_bits,
    _truncate,
    _remove_block,
    _repeat_block,
    _blank_block,
    _random_block,
    _set_head_field,
    _set_head_field,
    _set_number,
    _splice,
    _append,
    _drop_part,
    _repeat_part,
    _swap_parts,
    _strange_part,
    _set_part_field,
    _set_part_field,
    _set_part_field,
    _flip_part_bits,
    _repack_png,
)
