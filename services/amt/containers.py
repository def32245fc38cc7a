"""What an upload is and what it promises, read from its own bytes where FFmpeg keeps silent.

FFmpeg decodes whatever is there and takes a cut file for a short one. The functions here read the few
header fields that tell the difference. Formats: RIFF/WAVE and RF64 (EBU Tech 3306), MPEG audio frames
(ISO/IEC 11172-3), the Xing/Info and VBRI headers of mp3 encoders, ADTS (ISO/IEC 13818-7), Ogg pages
(RFC 3533).
"""

from __future__ import annotations

import os
from typing import BinaryIO, Final

#: Lengths from here on in a RIFF header mean "not known yet": programs that write to a pipe use them.
_RIFF_STREAMED: Final = 0x7FFF_F000

_LONGEST_OGG_PAGE: Final = 27 + 255 + 255 * 255

_SIGNATURES: Final = (
    (b"%PDF", "a PDF document"),
    (b"MThd", "a MIDI file, which holds notes already and no sound"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"#EXTM3U", "a playlist, which names recordings but holds none"),
    (b"[playlist]", "a playlist, which names recordings but holds none"),
    (b"<", "markup (HTML or XML)"),
)


def size_of(source: BinaryIO) -> int:
    """Bytes in `source`; leaves its position at the start."""
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size


def guess(source: BinaryIO) -> str:
    """Say in a few words what a file that is no recording seems to be; empty where nothing can be said."""
    source.seek(0)
    head = source.read(1024)
    for signature, name in _SIGNATURES:
        if head.lstrip().startswith(signature):
            return name
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    if head[4:8] == b"ftyp":
        return "an mp4 or m4a file whose index is missing, so it is probably cut short"
    try:
        head[:1000].decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "plain text"


def wav_missing_bytes(source: BinaryIO) -> int:
    """Bytes of sound that a WAVE header promises beyond the end of the file; 0 if none or not told."""
    size = size_of(source)
    promised_by_ds64 = 0
    position = 12
    while position + 8 <= size:
        source.seek(position)
        name, length = source.read(4), int.from_bytes(source.read(4), "little")
        if name == b"ds64":
            promised_by_ds64 = int.from_bytes(source.read(16)[8:], "little")
        if name == b"data":
            if promised_by_ds64:
                length = promised_by_ds64
            elif length >= _RIFF_STREAMED:
                return 0
            return max(0, position + 8 + length - size)
        position += 8 + length + length % 2
    return 0


def mp3_promised_s(source: BinaryIO) -> float | None:
    """Seconds that the Xing, Info or VBRI header of an mp3 promises; None where there is none."""
    source.seek(0)
    head = source.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        tag_size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        source.seek(10 + tag_size)
    else:
        source.seek(0)
    frame = source.read(4096)
    start = frame.find(b"\xff")
    while start >= 0 and not mpeg_frame_bytes(frame[start : start + 4]):
        start = frame.find(b"\xff", start + 1)
    if start < 0:
        return None
    frame = frame[start:]
    frames = _counted_frames(frame)
    if not frames:
        return None
    return frames * _mpeg_samples(frame) / _mpeg_rate_hz(frame)


def _counted_frames(frame: bytes) -> int:
    mpeg1, mono = frame[1] & 0x08, frame[3] >> 6 == 3
    side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    xing = frame[4 + side_info : 4 + side_info + 12]
    if xing[:4] in (b"Xing", b"Info") and xing[7:8] and xing[7] & 1:
        return int.from_bytes(xing[8:12], "big")
    vbri = frame[36:54]
    if vbri[:4] == b"VBRI":
        return int.from_bytes(vbri[14:18], "big")
    return 0


_MPEG1_LAYER3_KBPS: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_LAYER3_KBPS: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG1_RATES_HZ: Final = (44100, 48000, 32000)


def _mpeg_samples(header: bytes) -> int:
    return 1152 if header[1] & 0x08 else 576


def _mpeg_rate_hz(header: bytes) -> int:
    halvings = {3: 0, 2: 1, 0: 2}[header[1] >> 3 & 3]
    return _MPEG1_RATES_HZ[header[2] >> 2 & 3] >> halvings


def mpeg_frame_bytes(header: bytes) -> int:
    """Length of the MPEG layer III frame that `header` begins; 0 where it begins none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kbps = (_MPEG1_LAYER3_KBPS if version == 3 else _MPEG2_LAYER3_KBPS)[bitrate]
    padding = header[2] >> 1 & 1
    return _mpeg_samples(header) // 8 * kbps * 1000 // _mpeg_rate_hz(header) + padding


def adts_frame_bytes(header: bytes) -> int:
    """Length of the ADTS (raw AAC) frame that `header` begins; 0 where it begins none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5


def ogg_is_cut(source: BinaryIO) -> bool:
    """Whether the last page of an Ogg stream lacks its end."""
    size = size_of(source)
    source.seek(max(0, size - _LONGEST_OGG_PAGE - 1))
    tail = source.read()
    start = tail.rfind(b"OggS")
    if start < 0:
        return False
    page = tail[start:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    return len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])
