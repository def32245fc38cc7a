"""An asynchronous client of a Triton server, speaking gRPC (the Open Inference Protocol).

It calls by a model's tensor contract, checks both sides of the call against it, and says of every
failure who can mend it: the server is away (ModelUnavailableError), the server has no room
(OverloadedError), or server and contract disagree (ModelError). The connection is made when it is
needed and made again when it was lost, so a client outlives any number of server restarts.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.errors import (
    CopyistError,
    ModelError,
    ModelUnavailableError,
    OverloadedError,
    VersionMissingError,
)
from services.runtime import model_calls, tracing
from services.runtime.channels import CHANNEL_OPTIONS
from services.runtime.contract import ModelContract, TensorSpec
from services.runtime.release.manifest import Role

T = TypeVar("T")

#: Waits between attempts, in seconds; together long enough for a crashed server to be back.
RETRY_DELAYS_S: Final = (0.25, 0.5, 1.0, 2.0)

#: What a question other than an inference may take, in seconds.
PROBE_LIMIT_S: Final = 2.0

_DTYPES: Final = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
}
#: Seconds after which a channel without any connection is replaced. gRPC looks a name without an address up
#: ever more seldom, in the end every two minutes, whatever a channel's options say; a new channel asks at
#: once. That is how servers are found that come back after a night without any.
_CHANNEL_PATIENCE_S: Final = 2.0
#: How Triton words a rejection by its queue; the status alone (UNAVAILABLE) does not tell it.
_QUEUE_REJECTIONS: Final = ("exceeds maximum queue size", "request timeout expired")
#: How it words that a version is being loaded or unloaded, which has the same status.
_NOT_READY: Final = "is not at ready state"


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """What a model's requests have cost since the server loaded it, all versions together.

    Attributes:
        requests: requests that succeeded.
        executions: batches in which they ran.
        queue_s: time spent waiting for an instance, summed over requests.
        compute_s: time spent inside the model, summed over requests.
    """

    requests: int
    executions: int
    queue_s: float
    compute_s: float


class TritonClient:
    """A client of one Triton server; make it and use it inside one event loop.

    Args:
        url: `host:port` of the server's gRPC endpoint, or `dns:///host:port` of several, which take turns.
        timeout_s: what one call may take in all, waiting and further attempts included.
        max_concurrency: calls that may be under way at once; more wait their turn.
    """

    def __init__(self, url: str, *, timeout_s: float = 60.0, max_concurrency: int = 32) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(max_concurrency)
        self._open_channel()

    async def infer(
        self,
        contract: ModelContract,
        version: str | None,
        inputs: Mapping[str, NDArray[Any]],
        role: Role = Role.STABLE,
    ) -> dict[str, NDArray[Any]]:
        """Run one batch through a model.

        An inference changes nothing on the server, so a call that met a lost connection or a full
        queue is tried again while its time lasts.

        Args:
            contract: the model and its tensors.
            version: the version to ask; None leaves the choice to the server.
            inputs: each input of the contract, with the batch as its first axis.
            role: of the version. A canary that the server lacks is not waited for, as another version can
                answer; a shadow is asked once, and does not count among the calls that requests wait for.

        Returns:
            Each output of the contract, batch first; the arrays are read-only views of the answer.

        Raises:
            ModelUnavailableError: the server cannot be reached, or is too slow.
            VersionMissingError: it has not this version of the model.
            OverloadedError: its queue stayed full, or this client's own turn did not come in time.
            ModelError: the inputs break the contract, or the server or its answer does.
        """
        request = _infer_request(contract, version, inputs)
        with model_calls.observe(contract.model, version or "", role):
            try:
                async with asyncio.timeout(self._timeout_s), self._turns:
                    response = await self._retrying(contract.model, role, lambda: self._infer(request))
            except TimeoutError:
                raise OverloadedError(
                    f"The model {contract.model} gave no answer within {self._timeout_s:g} s.",
                    remedy="Try again in a few seconds.",
                ) from None
            return _outputs(contract, response, batch=len(next(iter(inputs.values()))))

    async def ready(self, model: str, version: str | None = None) -> bool:
        """Whether the server can be reached and has the model ready."""
        try:
            answer = await self._call(
                self._stub.ModelReady(
                    pb.ModelReadyRequest(name=model, version=version or ""), timeout=PROBE_LIMIT_S
                )
            )
        except ModelUnavailableError:
            return False
        return bool(answer.ready)

    async def versions(self, model: str) -> tuple[str, ...]:
        """The model's versions that are ready, oldest first.

        Raises:
            ModelUnavailableError: the server cannot be reached.
        """
        request = pb.RepositoryIndexRequest(ready=True)
        try:
            answer = await self._call(self._stub.RepositoryIndex(request, timeout=PROBE_LIMIT_S))
        except ModelUnavailableError:
            # Where one of several servers hangs, the next one says it.
            answer = await self._call(self._stub.RepositoryIndex(request, timeout=PROBE_LIMIT_S))
        return tuple(sorted((m.version for m in answer.models if m.name == model), key=int))

    async def times(self, model: str) -> ModelTimes:
        """What the model's requests have cost so far; two readings tell what lay between them.

        Raises:
            ModelUnavailableError: the server cannot be reached, or has no such model.
        """
        request = pb.ModelStatisticsRequest(name=model)
        answer = await self._call(self._stub.ModelStatistics(request, timeout=PROBE_LIMIT_S))
        stats = [entry.inference_stats for entry in answer.model_stats]
        return ModelTimes(
            requests=sum(entry.success.count for entry in stats),
            executions=sum(entry.execution_count for entry in answer.model_stats),
            queue_s=sum(entry.queue.ns for entry in stats) / 1e9,
            compute_s=sum(entry.compute_infer.ns for entry in stats) / 1e9,
        )

    async def close(self) -> None:
        """Close the connection; calls under way fail."""
        await self._channel.close()

    async def _infer(self, request: Any) -> Any:
        """Make one attempt at an inference; the server may continue the trace."""
        told = {"model": request.model_name, "version": request.model_version, "server.address": self._url}
        with tracing.span(f"infer {request.model_name}", told, kind="client"):
            metadata = tuple(tracing.outgoing().items())
            return await self._call(self._stub.ModelInfer(request, metadata=metadata))

    def _open_channel(self) -> None:
        self._channel = grpc.aio.insecure_channel(self._url, options=CHANNEL_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)
        self._channel_opened_at = time.monotonic()

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            await self._replace_lost_channel()
            raise self._meaning(error) from error

    async def _replace_lost_channel(self) -> None:
        """Begin anew where no server has been reached for a while; calls under way there are lost already."""
        lost = self._channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        if lost and time.monotonic() - self._channel_opened_at > _CHANNEL_PATIENCE_S:
            channel = self._channel
            self._open_channel()
            await channel.close()

    async def _retrying(self, model: str, role: Role, attempt: Callable[[], Awaitable[T]]) -> T:
        for delay_s in RETRY_DELAYS_S:
            try:
                return await attempt()
            except (ModelUnavailableError, OverloadedError) as error:
                missing = isinstance(error, VersionMissingError)
                if role is Role.SHADOW or (role is Role.CANARY and missing):
                    raise
                model_calls.count_retry(model, error.slug)
                # Jitter, so that callers turned away together do not come back together.
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        return await attempt()

    def _meaning(self, error: grpc.aio.AioRpcError) -> CopyistError:
        """Copyist's error for a failed call."""
        code, details = error.code(), error.details() or "no details"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ModelUnavailableError(
                f"The model server at {self._url} did not answer within {PROBE_LIMIT_S:g} s.",
                remedy="Try again in a few seconds.",
            )
        if any(words in details.lower() for words in _QUEUE_REJECTIONS):
            return OverloadedError("The model's queue is full.", remedy="Try again in a few seconds.")
        if code is grpc.StatusCode.NOT_FOUND or _NOT_READY in details:
            return VersionMissingError(
                f"The model server does not have it loaded: {details}.", remedy="Try again in a few seconds."
            )
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return ModelUnavailableError(
                f"The model server at {self._url} is not available: {details}.",
                remedy="Try again in a few seconds.",
            )
        return ModelError(f"The model server answered {code.name}: {details}.")


def _infer_request(contract: ModelContract, version: str | None, inputs: Mapping[str, NDArray[Any]]) -> Any:
    request = pb.ModelInferRequest(model_name=contract.model, model_version=version or "")
    if inputs.keys() != {spec.name for spec in contract.inputs}:
        expected = ", ".join(spec.name for spec in contract.inputs)
        raise ModelError(f"The model {contract.model} takes {expected}, not {', '.join(inputs)}.")
    batch = len(next(iter(inputs.values())))
    if not 1 <= batch <= contract.max_batch:
        raise ModelError(f"A batch of {contract.model} holds 1 to {contract.max_batch} items, not {batch}.")
    for spec in contract.inputs:
        array = inputs[spec.name]
        _check(contract.model, spec, array.dtype, array.shape, batch)
        request.inputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    for spec in contract.outputs:
        request.outputs.add(name=spec.name)
    return request


def _outputs(contract: ModelContract, response: Any, batch: int) -> dict[str, NDArray[Any]]:
    found = dict(zip((o.name for o in response.outputs), response.raw_output_contents, strict=True))
    tensors = {tensor.name: tensor for tensor in response.outputs}
    arrays = {}
    for spec in contract.outputs:
        if spec.name not in tensors:
            raise ModelError(f"The model {contract.model} answered without its output {spec.name}.")
        tensor = tensors[spec.name]
        dtype = _DTYPES.get(tensor.datatype, np.dtype(object))
        _check(contract.model, spec, dtype, tuple(tensor.shape), batch)
        arrays[spec.name] = np.frombuffer(found[spec.name], dtype).reshape(tensor.shape)
    return arrays


def _check(model: str, spec: TensorSpec, dtype: np.dtype[Any], shape: tuple[int, ...], batch: int) -> None:
    """Raise ModelError unless a tensor is what the contract promises."""
    expected = (batch, *spec.shape)
    if dtype != _DTYPES[spec.datatype] or shape != expected:
        raise ModelError(
            f"{spec.name} of the model {model} is {spec.datatype} {list(expected)} by its contract, "
            f"not {dtype} {list(shape)}."
        )
