"""Files taken apart into the pieces that their format is made of, and put together again.

Where a reader would refuse a changed piece by its checksum or length alone, `joined` makes these right again,
so that the change reaches what lies behind the check.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

from services.amt.containers import adts_frame_bytes, mpeg_frame_bytes

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_ALONE = {0x01, *range(0xD0, 0xDA)}
_JPEG_SCAN = 0xDA
#: Boxes of MPEG-4 files that hold boxes.
_MP4_FOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"dinf", b"edts")
#: Elements of Matroska that hold elements: EBML header, Segment, Info, Tracks, TrackEntry, Audio, Cluster.
_EBML_FOLDERS = (0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE1, 0x1F43B675)
_OGG_POLYNOMIAL = 0x04C11DB7

Split = Callable[[bytes], Iterator[bytes]]


def parts_of(kind: str, content: bytes) -> list[bytes]:
    """Take a whole file of a format apart; the pieces, one after another, are the file."""
    return [part for part in _SPLITS[kind](content) if part]


def joined(kind: str, parts: list[bytes]) -> bytes:
    """Put pieces together, with the checksums, lengths and places that their format asks for."""
    return _JOINS.get(kind, b"".join)(parts)


def _riff(content: bytes) -> Iterator[bytes]:
    yield content[:12]
    position = 12
    order = "big" if content.startswith(b"FORM") else "little"
    while position < len(content):
        length = int.from_bytes(content[position + 4 : position + 8], order)  # type: ignore[arg-type]
        end = position + 8 + length + length % 2
        yield content[position:end]
        position = end


def _join_riff(parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    order = "big" if body.startswith(b"FORM") else "little"
    return body[:4] + max(0, len(body) - 8).to_bytes(4, order) + body[8:]  # type: ignore[arg-type]


def _png(content: bytes) -> Iterator[bytes]:
    yield content[:8]
    position = 8
    while position < len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        yield content[position:end]
        position = end


def _join_png(parts: list[bytes]) -> bytes:
    return b"".join(
        part if part == _PNG_SIGNATURE or len(part) < 12 else png_chunk(part[4:8], part[8:-4])
        for part in parts
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG with its length and its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _jpeg(content: bytes) -> Iterator[bytes]:
    yield content[:2]
    position = 2
    while position + 4 <= len(content):
        marker = content[position + 1]
        length = 0 if marker in _JPEG_ALONE else int.from_bytes(content[position + 2 : position + 4], "big")
        end = position + 2 + length
        if marker == _JPEG_SCAN:
            following = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(content, end)
            end = following.start() if following else len(content)
        yield content[position:end]
        position = end
    yield content[position:]


def _tiff(content: bytes) -> Iterator[bytes]:
    """Cut before and after every entry of every directory."""
    order = "<" if content.startswith(b"II") else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    width, entry, count = ("Q", 20, "Q") if big else ("I", 12, "H")
    place = struct.unpack_from(order + width, content, 8 if big else 4)[0]
    cuts = {0, 2, 4, 8 if big else 4, 16 if big else 8}
    while place:
        entries = struct.unpack_from(order + count, content, place)[0]
        first = place + struct.calcsize(count)
        last = first + entries * entry
        cuts |= {place, *range(first, last + 1, entry), last + struct.calcsize(width)}
        place = struct.unpack_from(order + width, content, last)[0]
    yield from _cut(content, cuts)


def _bmp(content: bytes) -> Iterator[bytes]:
    data = int.from_bytes(content[10:14], "little")
    yield from _cut(content, {2, 6, 10, *range(14, 54, 4), 26, 28, data})


def _pdf(content: bytes) -> Iterator[bytes]:
    yield from _cut(content, {match.start() for match in re.finditer(rb"\d+ 0 obj|xref|trailer", content)})


def _join_pdf(parts: list[bytes]) -> bytes:
    """Make the cross-reference table anew, where all objects are told by one."""
    body = b"".join(part for part in parts if not part.startswith((b"xref", b"trailer")))
    trailer = next((part for part in parts if part.startswith(b"trailer")), b"")
    if not trailer:
        return b"".join(parts)
    places = {int(match[1]): match.start() for match in re.finditer(rb"(\d+) 0 obj", body)}
    table = b"".join(b"%d 1\n%010d 00000 n \n" % (number, place) for number, place in sorted(places.items()))
    start = len(body)
    trailer = re.sub(rb"startxref\s+\d+", b"startxref\n%d" % start, trailer)
    return body + b"xref\n0 1\n0000000000 65535 f \n" + table + trailer


def _flac(content: bytes) -> Iterator[bytes]:
    yield content[:4]
    position, last = 4, False
    while not last:
        last = bool(content[position] & 0x80)
        end = position + 4 + int.from_bytes(content[position + 1 : position + 4], "big")
        yield content[position:end]
        position = end
    yield from _cut(
        content[position:], {m.start() for m in re.finditer(rb"\xff[\xf8\xf9]", content[position:])}
    )


def _ogg(content: bytes) -> Iterator[bytes]:
    yield from _cut(content, {match.start() for match in re.finditer(b"OggS", content)})


def _join_ogg(parts: list[bytes]) -> bytes:
    return b"".join(
        part[:22] + ogg_checksum(part[:22] + bytes(4) + part[26:]).to_bytes(4, "little") + part[26:]
        if part.startswith(b"OggS") and len(part) >= 27
        else part
        for part in parts
    )


def with_serial_number(content: bytes, number: int) -> bytes:
    """Give all pages of an Ogg file one serial number."""
    return _join_ogg([page[:14] + number.to_bytes(4, "little") + page[18:] for page in _ogg(content)])


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ _OGG_POLYNOMIAL if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_OGG_TABLE = _ogg_table()


def ogg_checksum(page: bytes) -> int:
    """The checksum of an Ogg page whose own is zeroed (RFC 3533)."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[value >> 24 ^ byte]
    return value


def _frames(length_of: Callable[[bytes], int]) -> Split:
    def split(content: bytes) -> Iterator[bytes]:
        position = content.find(b"\xff")
        yield content[:position]
        while position < len(content):
            end = position + (length_of(content[position : position + 8]) or len(content))
            yield content[position:end]
            position = end

    return split


def _mp4(content: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big") or len(content)
        head, box = content[position : position + 8], content[position + 8 : position + length]
        if head[4:] in _MP4_FOLDERS:
            yield head
            yield from _mp4(box)
        else:
            yield head + box
        position += length


def _ebml(content: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        identifier, after = _vint(content, position, marked=True)
        length, start = _vint(content, after, marked=False)
        unknown = length == (1 << 7 * (start - after)) - 1
        end = len(content) if unknown else start + length
        if identifier in _EBML_FOLDERS:
            yield content[position:start]
            yield from _ebml(content[start:end])
        else:
            yield content[position:end]
        position = end


def _vint(content: bytes, position: int, *, marked: bool) -> tuple[int, int]:
    """A number of EBML's variable length, and where it ends; `marked` keeps the bit that tells the length."""
    if position >= len(content) or not content[position]:
        return 0, len(content)
    width = 9 - content[position].bit_length()
    value = int.from_bytes(content[position : position + width], "big")
    return value if marked else value & (1 << 7 * width) - 1, position + width


def _cut(content: bytes, places: set[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place for place in places if 0 < place < len(content)), len(content)]
    for start, end in pairwise(edges):
        yield content[start:end]


_SPLITS: dict[str, Split] = {
    "wav": _riff,
    "aiff": _riff,
    "flac": _flac,
    "mp3": _frames(mpeg_frame_bytes),
    "ogg": _ogg,
    "opus": _ogg,
    "m4a": _mp4,
    "aac": _frames(adts_frame_bytes),
    "webm": _ebml,
    "png": _png,
    "jpg": _jpeg,
    "tiff": _tiff,
    "webp": _riff,
    "bmp": _bmp,
    "pdf": _pdf,
}
_JOINS: dict[str, Callable[[list[bytes]], bytes]] = {
    "wav": _join_riff,
    "aiff": _join_riff,
    "webp": _join_riff,
    "png": _join_png,
    "ogg": _join_ogg,
    "opus": _join_ogg,
    "pdf": _join_pdf,
}
