"""Small whole files of every format that the services accept, always the same: what mutants are made of."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
import pypdfium2
from numpy.typing import NDArray
from PIL import Image

from services.music.export import Format, export
from services.music.notate import NotationOptions, notate
from services.music.notes import Note
from services.triton.environment import REPOSITORY_ROOT
from tests.fuzz.structure import with_serial_number
from tests.recordings import with_soundfile

SAMPLES = REPOSITORY_ROOT / "services" / "client" / "samples"
SECONDS = 1.2
#: One staff of the sample page, in px of it, and how much smaller it is made.
STAFF_BOX = (280, 225, 720, 345)
SHRINK = 0.6

#: Codecs by format: FFmpeg's name of the container, codec, channel layout, sample rate, codec's options.
_AUDIO: dict[str, list[tuple[str, str, str, int]]] = {
    "wav": [("wav", "pcm_s16le", "mono", 16_000), ("wav", "pcm_f32le", "stereo", 11_025)],
    "aiff": [("aiff", "pcm_s16be", "mono", 16_000), ("aiff", "pcm_s24be", "stereo", 11_025)],
    "flac": [("flac", "flac", "mono", 16_000), ("flac", "flac", "stereo", 44_100)],
    "mp3": [("mp3", "libmp3lame", "mono", 16_000), ("mp3", "libmp3lame", "stereo", 44_100)],
    "ogg": [("ogg", "vorbis", "mono", 16_000), ("ogg", "vorbis", "mono", 44_100)],
    "opus": [("ogg", "libopus", "mono", 48_000), ("ogg", "libopus", "stereo", 48_000)],
    "m4a": [
        ("ipod", "aac", "mono", 44_100),
        ("ipod", "alac", "mono", 16_000),
        ("mov", "aac", "mono", 22_050),
    ],
    "aac": [("adts", "aac", "mono", 44_100), ("adts", "aac", "stereo", 22_050)],
    "webm": [("webm", "libopus", "mono", 48_000), ("matroska", "aac", "mono", 16_000)],
}


@cache
def _recording() -> NDArray[np.float32]:
    """The beginning of the sample recording, float32 [N] at 16 kHz."""
    with av.open(str(SAMPLES / "demo.flac")) as container:
        resampler = av.AudioResampler("flt", "mono", 16_000)
        blocks = [
            part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)
        ]
    return np.concatenate(blocks)[16_000 : 16_000 + int(SECONDS * 16_000)].astype(np.float32)


def _encoded(container: str, codec: str, layout: str, rate_hz: int) -> bytes:
    if codec == "vorbis":
        return with_serial_number(with_soundfile(_recording(), rate_hz, "OGG", "VORBIS"), rate_hz)
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", format=container, options={"fflags": "+bitexact"}) as output:
            stream = output.add_stream(codec, rate=rate_hz, layout=layout)
            frame = av.AudioFrame.from_ndarray(_recording()[np.newaxis], format="flt", layout="mono")
            frame.sample_rate = 16_000
            resampler = av.AudioResampler(
                stream.codec_context.format,
                layout,
                rate_hz,
                frame_size=stream.codec_context.frame_size or None,
            )
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
        content = Path(file.name).read_bytes()
        return with_serial_number(content, len(content)) if container == "ogg" else content


@cache
def _staff() -> Image.Image:
    """One staff of the sample page, in gray."""
    with Image.open(SAMPLES / "demo-page.png") as page:
        staff = page.crop(STAFF_BOX)
        return staff.resize((int(staff.width * SHRINK), int(staff.height * SHRINK)), Image.Resampling.LANCZOS)


def _picture(kind: str, picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def _pngs() -> list[bytes]:
    staff = _staff()
    return [
        _picture("PNG", staff, dpi=(200, 200)),
        _picture("PNG", staff.convert("1")),
        _picture("PNG", staff.convert("P"), transparency=3),
        _picture("PNG", staff.convert("RGBA")),
    ]


def _jpegs() -> list[bytes]:
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        _picture("JPEG", _staff(), quality=80),
        _picture("JPEG", _staff().convert("RGB"), quality=70, progressive=True, exif=turned),
        _picture("JPEG", _staff().convert("CMYK"), quality=60),
    ]


def _tiffs() -> list[bytes]:
    staff = _staff()
    pages = {"save_all": True, "append_images": [staff.convert("1")]}
    return [
        _picture("TIFF", staff),
        _picture("TIFF", staff.convert("1"), compression="group4"),
        _picture("TIFF", staff, compression="tiff_lzw", **pages),
        _picture("TIFF", staff.convert("RGB"), compression="jpeg"),
        _picture("TIFF", staff, compression="tiff_adobe_deflate", big_tiff=True),
    ]


def _webps() -> list[bytes]:
    staff = _staff()
    return [
        _picture("WEBP", staff, quality=70),
        _picture("WEBP", staff.convert("RGBA"), lossless=True),
        _picture("WEBP", staff, save_all=True, append_images=[staff.point(lambda value: 255 - value)]),
    ]


def _bmps() -> list[bytes]:
    return [_picture("BMP", _staff().convert(mode)) for mode in ("L", "1", "RGB")]


def _pdfs() -> list[bytes]:
    notes = tuple(Note(index / 4, index / 4 + 0.25, 60 + index, 64) for index in range(6))
    drawn = _smaller(export(notes, notate(notes, NotationOptions()), (Format.PDF,))[Format.PDF])
    undated = {"creationDate": None, "modDate": None}
    scanned = _picture("PDF", _staff(), resolution=150, **undated)
    both = io.BytesIO()
    with pypdfium2.PdfDocument.new() as document:
        for part in (scanned, scanned):
            with pypdfium2.PdfDocument(part) as source:
                document.import_pages(source)
        document.save(both)
    return [scanned, _unnamed(both.getvalue()), drawn]


def _smaller(pdf: bytes) -> bytes:
    """The upper left of a PDF's page, in points."""
    file = io.BytesIO()
    with pypdfium2.PdfDocument(pdf) as document:
        document[0].set_mediabox(20, 740, 220, 820)
        document.save(file)
    return _unnamed(file.getvalue())


def _unnamed(pdf: bytes) -> bytes:
    """Blank the number that PDFium invents for every file, and the date."""
    pdf = re.sub(rb"D:\d{14}", b"D:20000101000000", pdf)
    return re.sub(rb"/ID\s*\[.*?\]", lambda match: b"/ID[]".ljust(len(match[0])), pdf, flags=re.DOTALL)


_PAGES: dict[str, Callable[[], list[bytes]]] = {
    "png": _pngs,
    "jpg": _jpegs,
    "tiff": _tiffs,
    "webp": _webps,
    "bmp": _bmps,
    "pdf": _pdfs,
}

AUDIO_FORMATS = tuple(_AUDIO)
PAGE_FORMATS = tuple(_PAGES)
FORMATS = AUDIO_FORMATS + PAGE_FORMATS


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """Whole files of one format."""
    if kind in _AUDIO:
        return tuple(_encoded(*how) for how in _AUDIO[kind])
    return tuple(_PAGES[kind]())
