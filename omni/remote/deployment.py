"""The engine as a deployment of Ray Serve: which machine has a replica, and how many there are.

Knows: Ray, which is imported here alone. Does not know: what is asked, how it is answered.

Everything that schedules is Ray's own: a session comes to the replica that has its context by
Serve's consistent hash router, replicas are added and taken away by Serve's autoscaling, and
adapters come and go by Serve's multiplexing. A replica is asked once its model is loaded.

``serve run omni.remote.deployment:application model=nano replicas=2`` is how Ray's own tools start
it, with the names of :class:`Arguments`; ``python -m omni serve-ray`` is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from omni.engine import Engine
from omni.errors import OmniError
from omni.fair_queue import LineLimits
from omni.libraries import heap
from omni.media.limits import SHARED, set_limits
from omni.remote.link import own_token
from omni.remote.server import Serving
from omni.settings import EngineSettings, QuantizationChoice

NAME = "omni"  # of the application
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
FALLBACKS = 2  # replicas that a session may come to when its own does not take it
ADAPTERS_HELD = 4  # beside a replica's model; of further ones the least used makes room
SPARE = 32  # connections besides those that wait: looks at the state, sessions to be forgotten
END_S = 120.0  # for the turns of a replica that is taken away
SENTENCE = "omni: "  # before the sentence of a replica that cannot load, in Ray's report


class Arguments(BaseModel):
    """What is served, and by how many."""

    model_config = ConfigDict(extra="forbid")

    model: str = "auto"  # as EngineSettings has it, like the next ones
    quantization: QuantizationChoice = "auto"
    device: str = "auto"
    dtype: str = "auto"
    max_pixels: int | None = None
    keep_quantized: bool = False
    # Folders or names on the Hub, with commas between; they are the same on every machine.
    adapters: str = ""
    replicas: int = Field(default=1, ge=1)  # at least
    max_replicas: int = Field(default=0, ge=0)  # at most; 0: as many as at least
    cpus: float = Field(default=1.0, ge=0)  # cores of a replica
    gpus: float = Field(default=0.0, ge=0)  # of a replica; 0: it computes on the CPU
    waiting: int = Field(default=LineLimits.waiting, ge=1)  # requests that may wait at a replica
    # Requests at a replica, the one that is served too, above which there should be more replicas.
    busy: float = Field(default=2.0, gt=0)
    up_s: float = Field(default=30.0, ge=0)  # of this, before one is added
    down_s: float = Field(default=600.0, ge=0)  # the same, before one is taken away

    def settings(self) -> EngineSettings:
        """Of a replica's engine."""
        return EngineSettings(
            self.model,
            self.quantization,
            self.device,
            self.dtype,
            max_pixels=self.max_pixels,
            keep_quantized=self.keep_quantized,
        )

    def offered(self) -> tuple[str, ...]:
        """The adapters."""
        return tuple(filter(None, map(str.strip, self.adapters.split(","))))


async def talk(socket: WebSocket) -> None:
    """A connection to the replica of this process."""
    await serve.get_replica_context().servable_object.serving.talk(socket)


class Held:
    """An adapter that Serve has a replica hold; it is let go by the end of this."""

    def __init__(self, name: str, drop: Callable[[str], None]) -> None:
        self._name, self._drop = name, drop

    def __del__(self) -> None:
        self._drop(self._name)


class EngineReplica:
    """A model of its own, in a process of its own, somewhere in the cluster."""

    def __init__(self, arguments: Arguments, token: str) -> None:
        """Loads the model, and each adapter once: what cannot be loaded is told at the start.

        Raises:
            RuntimeError: with a sentence for the person.
        """
        heap.own_process()
        set_limits(SHARED)  # files of many people are decoded here
        self._settings, offered = arguments.settings(), arguments.offered()
        self._engine = Engine(self._settings, line=LineLimits(waiting=arguments.waiting))
        self._held: set[str] = set()
        self._asked_for: Counter[str] = Counter()  # adapters of requests under way
        try:
            for _ in self._engine.load():
                pass
            for name in offered:
                for _ in self._engine.load(replace(self._settings, adapters=(name,))):
                    pass
        except OmniError as error:
            raise RuntimeError(f"{SENTENCE}{error}") from error
        self._hold()
        self.serving = Serving(self._engine, token, offered, self._with_adapter)

    @serve.multiplexed(max_num_models_per_replica=ADAPTERS_HELD)
    async def adapter(self, name: str) -> Held:
        """Have an adapter beside the model; the next request that is served brings it there."""
        self._held.add(unquote(name))
        self._hold()
        return Held(unquote(name), self._drop)

    def check_health(self) -> None:
        """For Ray, which starts a replica again that is not well.

        Raises:
            RuntimeError: it is not.
        """
        if self._engine.state == "broken":
            raise RuntimeError("the last load failed")

    def __del__(self) -> None:
        if hasattr(self, "serving"):  # its model could be loaded
            self.serving.close()

    @asynccontextmanager
    async def _with_adapter(self, name: str) -> AsyncIterator[None]:
        self._asked_for[name] += 1  # stays as long as somebody waits for it, whoever else comes
        try:
            await self.adapter(quote(name, safe=""))
            yield
        finally:
            self._asked_for[name] -= 1
            self._hold()

    def _drop(self, name: str) -> None:
        self._held.discard(name)
        self._hold()

    def _hold(self) -> None:
        wanted = self._held | {name for name, count in self._asked_for.items() if count > 0}
        self._engine.settings = replace(self._settings, adapters=tuple(sorted(wanted)))


_ingress = serve.ingress(Starlette(routes=[WebSocketRoute("/", talk)]))
engine: Any = serve.deployment(name="engine")(_ingress(EngineReplica))


def application(arguments: Arguments | dict[str, str]) -> serve.Application:
    """What Ray Serve runs. The token is the environment's (OMNI_ENGINE_TOKEN), and no argument."""
    arguments = Arguments.model_validate(arguments)  # Ray's own tools give a dictionary
    most = max(arguments.max_replicas, arguments.replicas)
    scaling = AutoscalingConfig(
        min_replicas=arguments.replicas,
        initial_replicas=arguments.replicas,
        max_replicas=most,
        target_ongoing_requests=arguments.busy,
        upscale_delay_s=arguments.up_s,
        downscale_delay_s=arguments.down_s,
        look_back_period_s=max(1.0, min(30.0, arguments.up_s)),
    )
    fixed = most == arguments.replicas
    deployment = engine.options(
        num_replicas=arguments.replicas if fixed else "auto",
        **({} if fixed else {"autoscaling_config": scaling}),
        max_ongoing_requests=arguments.waiting + 1 + SPARE,
        graceful_shutdown_timeout_s=END_S,
        ray_actor_options={"num_cpus": arguments.cpus, "num_gpus": arguments.gpus},
        request_router_config=RequestRouterConfig(
            request_router_class=ROUTER,
            request_router_kwargs={"num_fallback_replicas": FALLBACKS},
        ),
    )
    return deployment.bind(arguments, own_token())
