"""The Open Inference Protocol, spoken by a service of ours.

So `tritonclient.grpc`, or any other client of that protocol, can call a service as it would call a model
on Triton: the files are the elements of one tensor, options and results are tensors of one element. What
is served is a `Recogniser`; nothing here knows of audio or pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceServicer

from services.errors import CopyistError, InputError, TooLargeError, UnknownOptionError
from services.runtime import metrics, problems, tensors
from services.runtime.calls import Call

FILE_INPUT: Final = "file"
PLATFORM: Final = "copyist"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a recogniser answers: the outputs by name, and the version of the model that it asked."""

    outputs: Mapping[str, bytes]
    version: str


class Recogniser(Protocol):
    """Something that takes files and options and gives named files back.

    Attributes:
        name: the model's name on the wire, such as `amt`.
        options: names of the options.
        outputs: names of all outputs.
        default_outputs: those given when none is asked for.
        max_files: how many files one call may bring.
    """

    name: str
    options: tuple[str, ...]
    outputs: tuple[str, ...]
    default_outputs: tuple[str, ...]
    max_files: int

    async def versions(self) -> tuple[str, ...]:
        """List the versions that answer requests, the stable one first.

        Raises:
            ModelUnavailableError: there is none.
        """
        ...

    async def recognise(
        self,
        files: Sequence[bytes],
        options: Mapping[str, str],
        outputs: tuple[str, ...],
        request_id: str,
        version: str,
    ) -> Recognised:
        """Recognise what one or more files hold together.

        Args:
            files: their bytes.
            options: by name.
            outputs: names of those that are wanted.
            request_id: chooses the versions of the models.
            version: of the recogniser's model that the caller insists on; empty for none.

        Raises:
            NotFoundError: that version does not serve.
        """
        ...


class InferenceService(GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The calls of the Open Inference Protocol; those of Triton's extensions answer UNIMPLEMENTED."""

    def __init__(self, recogniser: Recogniser, max_upload_bytes: int) -> None:
        self._recogniser = recogniser
        self._max_upload_bytes = max_upload_bytes

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names
        """Tell that the process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tell whether a file could be recognised now."""
        return pb.ServerReadyResponse(ready=await self._ready())

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tell whether a model, or a version of it, is ready."""
        known = request.name == self._recogniser.name
        return pb.ModelReadyResponse(ready=known and await self._ready(request.version))

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tell what this server is."""
        return pb.ServerMetadataResponse(name=PLATFORM, version="1", extensions=[])

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tell a model's inputs and outputs."""
        call = Call(self._recogniser.name, context, "ModelMetadata", "")
        async with call.answering():
            self._check_name(request.name)
            answer = pb.ModelMetadataResponse(
                name=self._recogniser.name, platform=PLATFORM, versions=await self._recogniser.versions()
            )
            answer.inputs.add(
                name=FILE_INPUT, datatype="BYTES", shape=[-1 if self._recogniser.max_files > 1 else 1]
            )
            for name in self._recogniser.options:
                answer.inputs.add(name=name, datatype="BYTES", shape=[1])
            for name in self._recogniser.outputs:
                answer.outputs.add(name=name, datatype="BYTES", shape=[1])
            return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Recognise the files of one call."""
        call = Call(self._recogniser.name, context, "ModelInfer", request.id)
        async with call.answering():
            self._check_name(request.model_name)
            files, options = self._inputs(request)
            metrics.observe_upload(self._recogniser.name, "grpc", sum(map(len, files)))
            wanted = self._wanted(request)
            _check_options(options)
            recognised = await self._recogniser.recognise(
                files, options, wanted, call.request_id, request.model_version
            )
            answer = pb.ModelInferResponse(
                model_name=self._recogniser.name, model_version=recognised.version, id=request.id
            )
            for name in wanted:
                answer.outputs.add(name=name, datatype="BYTES", shape=[1])
                answer.raw_output_contents.append(tensors.one_element(recognised.outputs[name]))
            return answer

    async def _ready(self, version: str = "") -> bool:
        try:
            versions = await self._recogniser.versions()
        except CopyistError:
            return False
        return not version or version in versions

    def _check_name(self, name: str) -> None:
        if name != self._recogniser.name:
            raise problems.NotFoundError(
                f"There is no model {name!r} here.", remedy=f"Call the model {self._recogniser.name!r}."
            )

    def _inputs(self, request: Any) -> tuple[tuple[bytes, ...], dict[str, str]]:
        values = {name: tensors.parameter_text(parameter) for name, parameter in request.parameters.items()}
        files: tuple[bytes, ...] = ()
        for index, tensor in enumerate(request.inputs):
            if tensor.name == FILE_INPUT:
                files = tensors.all_elements(request, index)
                continue
            value = tensors.only_element(request, index)
            values[tensor.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        self._check_files(files)
        return files, values

    def _check_files(self, files: tuple[bytes, ...]) -> None:
        most = self._recogniser.max_files
        if not 1 <= len(files) <= most:
            raise InputError(
                f"The request has no input {FILE_INPUT!r} of type BYTES."
                if not files
                else f"The input {FILE_INPUT!r} has {len(files)} elements; the limit is {most}.",
                remedy="Send each file's bytes as one BYTES element.",
            )
        if sum(map(len, files)) > self._max_upload_bytes:
            raise TooLargeError(
                f"The upload is larger than the limit of {self._max_upload_bytes} bytes "
                "(COPYIST_MAX_UPLOAD_BYTES).",
                remedy="Compress it or cut it into parts, and send them one by one.",
            )

    def _wanted(self, request: Any) -> tuple[str, ...]:
        wanted = tuple(dict.fromkeys(output.name for output in request.outputs))
        for name in wanted:
            if name not in self._recogniser.outputs:
                raise InputError(
                    f"There is no output {name!r}.",
                    remedy=f"The outputs are: {', '.join(self._recogniser.outputs)}.",
                )
        return wanted or self._recogniser.default_outputs


def _check_options(options: Mapping[str, str]) -> None:
    if "formats" in options:
        raise UnknownOptionError(
            "There is no option 'formats' over gRPC.", remedy="Ask for the formats as outputs by name."
        )
