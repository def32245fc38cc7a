"""A model's configuration in Triton's terms: which versions it names, and what its tensors are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2, service_pb2

from services.errors import ModelError

_HEADER: Final = "# Written by `copyist sync`: the shipped configuration, with the versions that serve.\n"
#: Bytes of an element, by its type's name; strings have none of their own.
_ELEMENT_BYTES: Final = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "FP32": 4,
    "FP64": 8,
    "BF16": 2,
}


class Configuration:
    """The content of a `config.pbtxt`.

    Args:
        text: of the file.
        warm_up: whether versions are warmed up as it says before they serve.
    """

    def __init__(self, text: str, *, warm_up: bool = True) -> None:
        """Read it.

        Raises:
            ModelError: it is none.
        """
        try:
            self._config: Any = text_format.Parse(text, model_config_pb2.ModelConfig())
        except text_format.ParseError as error:
            raise ModelError(f"The model's config.pbtxt cannot be read: {error}.") from None
        if not warm_up:
            self._config.ClearField("model_warmup")

    @property
    def versions(self) -> frozenset[str]:
        """The versions that it names one by one; none where it leaves them to Triton."""
        return frozenset(map(str, self._config.version_policy.specific.versions))

    def text(self, versions: Iterable[str]) -> str:
        """Write it as a `config.pbtxt` that names these versions and no others."""
        return _HEADER + str(text_format.MessageToString(self._naming(versions)))

    def json(self, versions: Iterable[str]) -> str:
        """Write it in the form that Triton's load API takes, naming these versions and no others."""
        return str(json_format.MessageToJson(self._naming(versions), preserving_proto_field_name=True))

    def zeros(self, version: str) -> Any:
        """Make a request for one inference of nothing but zeros.

        Raises:
            ModelError: an input has no fixed shape, or a type that has no zero.
        """
        request = service_pb2.ModelInferRequest(model_name=self._config.name, model_version=version)
        for tensor in self._config.input:
            datatype, shape = _datatype(tensor), self._shape(tensor)
            if datatype not in _ELEMENT_BYTES or min(shape) < 1:
                raise ModelError(
                    f"{self._config.name} cannot be tried out: {tensor.name} is {datatype} {shape}."
                )
            request.inputs.add(name=tensor.name, datatype=datatype, shape=shape)
            request.raw_input_contents.append(bytes(_ELEMENT_BYTES[datatype] * _product(shape)))
        for tensor in self._config.output:
            request.outputs.add(name=tensor.name)
        return request

    def check(self, answer: Any) -> None:
        """Check that an answer to `zeros` has the outputs that are configured.

        Raises:
            ModelError: it has others.
        """
        found = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in answer.outputs}
        expected = {tensor.name: (_datatype(tensor), self._shape(tensor)) for tensor in self._config.output}
        if found != expected:
            raise ModelError(f"{self._config.name} answers {found}, not {expected} as it is configured.")

    def _naming(self, versions: Iterable[str]) -> Any:
        config = model_config_pb2.ModelConfig()
        config.CopyFrom(self._config)
        config.version_policy.specific.versions[:] = sorted(map(int, versions))
        return config

    def _shape(self, tensor: Any) -> list[int]:
        """A tensor's shape for a batch of one."""
        return [*([1] if self._config.max_batch_size else []), *tensor.dims]


def _datatype(tensor: Any) -> str:
    return (
        str(model_config_pb2.DataType.Name(tensor.data_type)).removeprefix("TYPE_").replace("STRING", "BYTES")
    )


def _product(shape: Iterable[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
