"""The Triton server that the agent looks after, by its gRPC API for models and repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from services.errors import ModelError, ModelUnavailableError, OverloadedError
from services.runtime.channels import CHANNEL_OPTIONS
from services.sync.configuration import Configuration

#: What a question may take, in seconds.
_ANSWER_S: Final = 5.0
#: What loading may take, in seconds: TensorRT builds its engines meanwhile.
_LOAD_S: Final = 3600.0
#: What one inference may take, in seconds, with the queue before it.
_TRIAL_S: Final = 60.0

_PERHAPS_AWAY: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class RefusedError(ModelError):
    """Triton answered that it cannot do what it was asked.

    Args:
        code: the status of its answer.
        said: its reason.
    """

    def __init__(self, code: grpc.StatusCode, said: str) -> None:
        super().__init__(f"Triton says {code.name}: {said}.")
        self.code = code


class State(StrEnum):
    """What Triton says of a version."""

    UNKNOWN = "UNKNOWN"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"


#: The states of all versions that Triton knows, by model and number.
States = Mapping[str, Mapping[str, State]]


class TritonServer:
    """A Triton server with explicit model control.

    Args:
        url: `host:port` of its gRPC endpoint.

    All methods raise ModelUnavailableError when it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._channel = grpc.insecure_channel(url, options=CHANNEL_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def states(self) -> States:
        """Tell the state of every version of every model."""
        answer = self._ask(self._stub.RepositoryIndex, pb.RepositoryIndexRequest(), _ANSWER_S)
        found: dict[str, dict[str, State]] = {}
        for entry in answer.models:
            if entry.version:
                found.setdefault(entry.name, {})[entry.version] = State(entry.state or State.UNKNOWN)
        return found

    def ready(self, model: str) -> frozenset[str]:
        """Tell which versions of a model are ready."""
        states = self.states().get(model, {})
        return frozenset(number for number, state in states.items() if state is State.READY)

    def load(self, model: str, configuration: Configuration, versions: Iterable[str]) -> None:
        """Have these versions of a model loaded and all others unloaded.

        Versions that are loaded already serve on undisturbed. Where one cannot be loaded, nothing changes.
        What lies on the disk as the model's configuration is not looked at.

        Raises:
            ModelError: a version cannot be loaded; the message has Triton's reason.
        """
        named = frozenset(versions)
        request = pb.RepositoryModelLoadRequest(model_name=model)
        request.parameters["config"].string_param = configuration.json(named)
        self._ask(self._stub.RepositoryModelLoad, request, _LOAD_S)
        # Of a version whose folder it does not find, Triton says nothing but in its log.
        if missing := named - self.ready(model):
            raise ModelError(f"Triton has not loaded {model} {', '.join(sorted(missing, key=int))}.")

    def try_out(self, configuration: Configuration, number: str) -> None:
        """Have a version answer once.

        Raises:
            ModelError: it does not, or not with the tensors that are configured.
            OverloadedError: it is there, but its queue is full.
        """
        try:
            answer = self._ask(self._stub.ModelInfer, configuration.zeros(number), _TRIAL_S)
        except RefusedError as error:
            if error.code is grpc.StatusCode.UNAVAILABLE:
                raise OverloadedError(error.detail) from None
            raise
        configuration.check(answer)

    def inferences(self, model: str, number: str) -> int:
        """Count the requests that a version has answered since it was loaded."""
        request = pb.ModelStatisticsRequest(name=model, version=number)
        answer = self._ask(self._stub.ModelStatistics, request, _ANSWER_S)
        stats = [entry.inference_stats for entry in answer.model_stats]
        return sum(entry.success.count + entry.fail.count for entry in stats)

    def _ask(self, call: Callable[..., Any], request: Any, limit_s: float) -> Any:
        try:
            return call(request, timeout=limit_s)
        except grpc.RpcError as error:
            said = error.details() or "no details"
            # Triton also says UNAVAILABLE of a model, but then it goes on answering.
            if error.code() in _PERHAPS_AWAY and not self._answers():
                raise ModelUnavailableError(f"Triton at {self._url} does not answer: {said}.") from None
            raise RefusedError(error.code(), said) from None

    def _answers(self) -> bool:
        try:
            return bool(self._stub.ServerLive(pb.ServerLiveRequest(), timeout=_ANSWER_S).live)
        except grpc.RpcError:
            return False
