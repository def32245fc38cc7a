"""Tensors of few elements in the messages of the Open Inference Protocol."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from services.errors import InputError

#: Number types by their name in the protocol, as the `struct` module calls them.
_NUMBERS: Final = {"FP32": "<f", "FP64": "<d", "INT32": "<i", "INT64": "<q"}


def parameter_text(parameter: Any) -> str:
    """Read a request parameter of any type as text."""
    kind = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, kind) if kind else ""
    return value if isinstance(value, str) else json.dumps(value)


def only_element(request: Any, index: int) -> bytes | str:
    """Read the only element of an input: bytes, or a number's text."""
    tensor = request.inputs[index]
    if request.raw_input_contents:
        if index >= len(request.raw_input_contents):
            raise InputError(f"The input {tensor.name!r} has no content.", remedy="Send one element.")
        raw = request.raw_input_contents[index]
        if tensor.datatype == "BYTES" and len(raw) >= 4 and int.from_bytes(raw[:4], "little") == len(raw) - 4:
            return bytes(raw[4:])
        if tensor.datatype in _NUMBERS and len(raw) == struct.calcsize(_NUMBERS[tensor.datatype]):
            return str(struct.unpack(_NUMBERS[tensor.datatype], raw)[0])
    elif tensor.datatype == "BYTES" and len(tensor.contents.bytes_contents) == 1:
        return bytes(tensor.contents.bytes_contents[0])
    kinds = ", ".join(("BYTES", *_NUMBERS))
    raise InputError(
        f"The input {tensor.name!r} is not one element of a known type.",
        remedy=f"Send one element of one of these types: {kinds}.",
    )


def all_elements(request: Any, index: int) -> tuple[bytes, ...]:
    """Read all elements of an input of type BYTES."""
    tensor = request.inputs[index]
    if tensor.datatype == "BYTES" and not request.raw_input_contents:
        return tuple(tensor.contents.bytes_contents)
    raw = request.raw_input_contents[index] if index < len(request.raw_input_contents) else b""
    elements, start = [], 0
    while tensor.datatype == "BYTES" and start + 4 <= len(raw):
        end = start + 4 + int.from_bytes(raw[start : start + 4], "little")
        elements.append(bytes(raw[start + 4 : end]))
        start = end
    if not elements or start != len(raw):
        raise InputError(
            f"The input {tensor.name!r} does not hold elements of type BYTES.",
            remedy="Send each file as one element: its length (4 bytes, little-endian), then its bytes.",
        )
    return tuple(elements)


def one_element(content: bytes) -> bytes:
    """Write the raw content of a BYTES tensor of one element."""
    return len(content).to_bytes(4, "little") + content
