"""Intermediate results of jobs as bytes: values of frozen dataclasses, written and read again exactly.

The form is JSON, compressed. Numbers are told in full, arrays as their bytes with type and shape; nothing in
it is ever run, unlike what pickle writes. What was written in another form, such as by another release, is
not read: whoever asks does the work again.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Final, TypeVar, get_origin

import numpy as np
from cattrs.errors import BaseValidationError
from cattrs.preconf.json import JsonConverter, make_converter
from numpy.typing import NDArray

T = TypeVar("T")

#: Numbers alone: signed and unsigned integers, floats, booleans.
_KINDS: Final = "iufb"
#: A page's reading is a tenth of a second's work; the best compression would be as much again.
_LEVEL: Final = 3


def packed(value: Any, form: str) -> bytes:
    """Write a value down.

    Args:
        value: a dataclass of numbers, texts, enumerations, tuples, mappings, arrays and such dataclasses.
        form: what it is and which version of that, such as `amt-heard/1`.
    """
    told = {"form": form, "value": _CONVERTER.unstructure(value)}
    return zlib.compress(json.dumps(told, separators=(",", ":")).encode(), _LEVEL)


def unpacked(content: bytes | None, kind: type[T], form: str) -> T | None:
    """Read a value that was written down.

    Args:
        content: what was kept.
        kind: the dataclass that it is to be.
        form: as it was given to `packed`.

    Returns:
        None where there is none, it is of another form, or its fields are not those that `kind` has now.
    """
    if content is None:
        return None
    told = json.loads(zlib.decompress(content))
    if told["form"] != form:
        return None
    try:
        return _CONVERTER.structure(told["value"], kind)
    except BaseValidationError:
        return None


def _array_told(array: NDArray[Any]) -> dict[str, Any]:
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {array.dtype} cannot be kept")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def _array(told: dict[str, Any], _: type[Any]) -> NDArray[Any]:
    dtype = np.dtype(told["dtype"])
    if dtype.kind not in _KINDS:
        raise TypeError(f"an array of {dtype} cannot be kept")
    # A copy, as what lies in bytes could not be written to.
    return np.frombuffer(base64.b64decode(told["data"]), dtype).reshape(told["shape"]).copy()


def _is_array(kind: Any) -> bool:
    return kind is np.ndarray or get_origin(kind) is np.ndarray


def _converter() -> JsonConverter:
    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook_func(_is_array, _array_told)
    converter.register_structure_hook_func(_is_array, _array)
    return converter


_CONVERTER: Final = _converter()
