"""Tensors of one element, in every form that clients send them in."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb

from services.errors import InputError
from services.runtime.tensors import one_element, only_element, parameter_text


def _request(value: np.ndarray, datatype: str) -> pb.ModelInferRequest:
    tensor = triton.InferInput("x", list(value.shape), datatype)
    tensor.set_data_from_numpy(value)
    request = pb.ModelInferRequest(raw_input_contents=[tensor._get_content()])
    request.inputs.append(tensor._get_tensor())
    return request


def test_bytes_as_tritonclient_sends_them() -> None:
    content = b"\x00\xff" * 1000
    assert only_element(_request(np.array([content], object), "BYTES"), 0) == content


def test_bytes_in_the_message_itself() -> None:
    request = pb.ModelInferRequest()
    request.inputs.add(name="x", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"abc")
    assert only_element(request, 0) == b"abc"


@pytest.mark.parametrize(
    ("value", "datatype", "text"),
    [
        (np.float32([96.5]), "FP32", "96.5"),
        (np.float64([0.25]), "FP64", "0.25"),
        (np.int32([-3]), "INT32", "-3"),
        (np.int64([90]), "INT64", "90"),
    ],
)
def test_numbers_become_text(value: np.ndarray, datatype: str, text: str) -> None:
    assert only_element(_request(value, datatype), 0) == text


@pytest.mark.parametrize(
    "request_",
    [
        _request(np.array([b"a", b"b"], object), "BYTES"),
        _request(np.float32([1, 2]), "FP32"),
        _request(np.array([True]), "BOOL"),
        pb.ModelInferRequest(inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="BYTES")]),
    ],
)
def test_anything_else_is_refused_by_name(request_: pb.ModelInferRequest) -> None:
    with pytest.raises(InputError, match="'x'"):
        only_element(request_, 0)


def test_what_is_written_is_read_by_tritonclient() -> None:
    raw = one_element(b"score")
    assert triton._utils.deserialize_bytes_tensor(raw)[0] == b"score"


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [("string_param", "1/8", "1/8"), ("int64_param", 90, "90"), ("double_param", 96.5, "96.5")],
)
def test_parameters_become_text(member: str, value: object, text: str) -> None:
    assert parameter_text(pb.InferParameter(**{member: value})) == text
