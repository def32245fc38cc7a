"""Uploads, good and bad, made byte by byte: what tests of reading pages send."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

A4_POINTS = (595, 842)


def encoded(picture: NDArray[np.generic], kind: str, **options: object) -> bytes:
    """Write a picture as a file of this kind (Pillow's name of it)."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def tiff_of(pictures: Sequence[Image.Image], **options: object) -> bytes:
    """Write a TIFF of several pages."""
    file = io.BytesIO()
    pictures[0].save(file, "TIFF", save_all=True, append_images=pictures[1:], **options)  # type: ignore[arg-type]
    return file.getvalue()


def png_that_claims(width: int, height: int, rows: int = 0) -> bytes:
    """Write a black 1-bit PNG whose header claims a size, with so many rows of data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    deflate = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(deflate.compress(row) for _ in range(rows)) + deflate.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def pdf_of(
    contents: Sequence[bytes],
    *,
    size: tuple[float, float] = A4_POINTS,
    encrypt: bool = False,
    extra: str = "",
) -> bytes:
    """Write a PDF with one page for each content stream.

    Args:
        contents: PDF operators, such as b"0 0 100 100 re f".
        size: of every page, in points.
        encrypt: whether it asks for a password (no password opens it).
        extra: more entries of every page's dictionary, such as "/Rotate 90".
    """
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>",
    ]
    for index, content in enumerate(contents):
        box = f"/MediaBox [0 0 {size[0]} {size[1]}]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {box} /Contents {4 + 2 * index} 0 R {extra} >>")
        objects.append(b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream")
    trailer = f"/Size {len(objects) + 1} /Root 1 0 R"
    if encrypt:
        keys = "31" * 32
        trailer += f" /Encrypt << /Filter /Standard /V 1 /R 2 /O <{keys}> /U <{keys}> /P -4 >>"
        trailer += f" /ID [<{keys}><{keys}>]"
    return _pdf_file(objects, trailer)


def pdf_with_image(
    width: int, height: int, data: bytes, *, size: tuple[float, float] = A4_POINTS, entries: str = ""
) -> bytes:
    """Write a PDF whose one page is filled by a gray picture; `data` and `entries` say how it is coded."""
    image = f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray " + (
        f"/BitsPerComponent 8 {entries} /Length {len(data)} >>\nstream\n"
    )
    content = f"{size[0]} 0 0 {size[1]} 0 0 cm /I Do".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size[0]} {size[1]}] /Contents 4 0 R "
        "/Resources << /XObject << /I 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream",
        image.encode() + data + b"\nendstream",
    ]
    return _pdf_file(objects, "/Size 6 /Root 1 0 R")


def _pdf_file(objects: Sequence[bytes | str], trailer: str) -> bytes:
    file = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(file))
        body = content if isinstance(content, bytes) else content.encode()
        file += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += f"trailer\n<< {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(file)


def photo_of_a_cat() -> bytes:
    """Draw a tabby cat on a sofa as a JPEG: fur, stripes and whiskers, but no staves."""
    random = np.random.default_rng(0)
    fur = sum(
        cv2.resize(random.normal(0, 1, (size, size)), (1200, 900), interpolation=cv2.INTER_CUBIC)
        * 30
        / size**0.3
        for size in (4, 16, 64, 256)
    )
    picture = np.full((900, 1200), 110.0)
    body = np.zeros_like(picture)
    cv2.ellipse(body, (600, 620), (380, 240), 0, 0, 360, 1, -1)
    cv2.circle(body, (420, 380), 180, 1, -1)
    for ear in ([(270, 300), (300, 120), (400, 230)], [(450, 220), (560, 130), (570, 310)]):
        cv2.fillPoly(body, [np.array(ear)], 1)
    x, y = np.meshgrid(np.arange(1200), np.arange(900))
    stripes = 25 * np.sign(np.sin(x / 18 + 2 * np.sin(y / 70)))
    picture += body * (50 + stripes)
    for eye in ((350, 350), (480, 350)):
        cv2.ellipse(picture, eye, (32, 24), 0, 0, 360, 200, -1)
        cv2.ellipse(picture, eye, (8, 24), 0, 0, 360, 10, -1)
    for index in range(5):
        cv2.line(picture, (440, 430 + 8 * index), (700, 380 + 30 * index), 240, 2, cv2.LINE_AA)
        cv2.line(picture, (400, 430 + 8 * index), (140, 380 + 30 * index), 240, 2, cv2.LINE_AA)
    return encoded((picture + fur).clip(0, 255).astype(np.uint8), "JPEG", quality=85)


def page_of_text() -> bytes:
    """Write a PNG of a page full of words."""
    words = ["and", "so", "the", "copyist", "wrote", "all", "night", "without", "a", "single", "note"]
    page = np.full((1754, 1240), 255, np.uint8)
    for line in range(60):
        text = " ".join(words[(line * 7 + index) % len(words)] for index in range(12))
        cv2.putText(page, text, (110, 120 + 26 * line), cv2.FONT_HERSHEY_COMPLEX, 0.7, 0, 1, cv2.LINE_AA)
    return encoded(page, "PNG")
