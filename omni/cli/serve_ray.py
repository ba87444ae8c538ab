"""``omni serve-ray``: the engine on the machines of a Ray cluster, or on this one.

Knows: its flags, what is told until the first replica answers, the end. Does not know: what Ray
does (:mod:`omni.remote.deployment`), how a client asks.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from omni.cli import flags
from omni.cli.output import say
from omni.errors import ResourceError
from omni.loading.ending import TERMINATED, heed, obey
from omni.settings import positive

if TYPE_CHECKING:
    from omni.remote.deployment import Arguments

HOST, PORT = "127.0.0.1", 8000
TOKEN_BYTES = 18  # of chance in a token that is made up
LOOK_S = 0.5
STORE_BYTES = 200 * 2**20  # of Ray's object store on this machine; little goes through it
HERE = "here"  # the cluster that is started for this command alone


def add(commands: flags.Commands) -> argparse.ArgumentParser:
    """The command's own flags."""
    command = commands.add_parser(
        "serve-ray", help="serve the engine on a Ray cluster, for pages and commands elsewhere"
    )
    add = command.add_argument
    flags.add_model(command)
    add("--adapter", action="append", default=[], metavar="NAME_OR_FOLDER",
        help="what fine-tuning has learnt, for those who ask for it; may be repeated")  # fmt: skip
    add("--replicas", type=positive, default=1, metavar="N", help="models at least (1)")
    add("--max-replicas", type=positive, metavar="N", help="models at most, by need (--replicas)")
    add("--add-after", type=float, default=30.0, metavar="SECONDS",
        help="of more than two requests a replica before one is added (30)")  # fmt: skip
    add("--cpus", type=float, metavar="N", help="cores of a replica; default: its share of all")
    add("--gpus", type=float, metavar="N", help="GPUs of a replica; default: 1 if there are any")
    add("--ray", default=HERE, metavar="ADDRESS",
        help="the cluster: auto (the one of this machine), HOST:PORT; default: one is started "
        "here for as long as this runs")  # fmt: skip
    add("--host", default=HOST, help="address to serve on (127.0.0.1; 0.0.0.0: the network)")
    add("--port", type=int, default=PORT, help=f"port to serve on ({PORT})")
    add("--ssl-certfile", metavar="FILE", help="serve https with this certificate (PEM)")
    add("--ssl-keyfile", metavar="FILE", help="the key of the certificate (PEM)")
    add("--no-token", action="store_true", help="whoever reaches the port may ask")
    return command


def run(options: flags.Options) -> None:
    """Serve until the end.

    Raises:
        ResourceError: Ray is not there, or a replica cannot be had.
    """
    if importlib.util.find_spec("ray") is None:
        raise ResourceError(
            "ray-missing",
            "Ray is not installed: pip install -r requirements-ray.txt -c constraints.txt",
        )
    if options.max_replicas is not None and options.max_replicas < options.replicas:
        options.command.error("--max-replicas is below --replicas")
    if bool(options.ssl_certfile) != bool(options.ssl_keyfile):
        options.command.error("--ssl-certfile and --ssl-keyfile go together")
    from omni.remote.link import TOKEN_VARIABLE, own_token

    made_up = not (own_token() or options.no_token)
    if made_up:
        os.environ[TOKEN_VARIABLE] = secrets.token_urlsafe(TOKEN_BYTES)
    elif options.no_token:
        os.environ.pop(TOKEN_VARIABLE, None)
    say("starting Ray ..." if options.ray == HERE else f"joining Ray at {options.ray} ...")
    begin_ray(options)
    heed(TERMINATED)  # Ray has its own handlers, which end the program in the middle
    import ray
    from ray import serve

    from omni.remote.deployment import NAME, application

    if not options.verbose:
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        wanted = arguments(options, ray.cluster_resources())
        location: dict[str, Any] = {"host": options.host, "port": options.port}
        if options.ssl_certfile:
            location |= {"ssl_certfile": options.ssl_certfile, "ssl_keyfile": options.ssl_keyfile}
        serve.start(http_options=location)
        target = serve.RunTarget(application(wanted), NAME, "/")
        serve.run_many([target], wait_for_applications_running=False)
        wait_ready(NAME, wanted.replicas)
        announce(options, made_up)
        while True:
            obey()
            time.sleep(LOOK_S)
    finally:
        if options.ray == HERE:
            serve.shutdown()
        elif ray.is_initialized():
            serve.delete(NAME)
        ray.shutdown()


def begin_ray(options: flags.Options) -> None:
    """Start Ray, or join it.

    Raises:
        ResourceError: ``ray-failed``.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if options.ray == HERE:
        # Ray's own ports are open to the network, and whoever may use them runs programs here.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    level = logging.INFO if options.verbose else logging.ERROR
    common: dict[str, Any] = {"logging_level": level, "log_to_driver": options.verbose}
    try:
        if options.ray == HERE:
            ray.init("local", include_dashboard=False, object_store_memory=STORE_BYTES, **common)
        else:
            ray.init(options.ray, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ResourceError(
            "ray-failed",
            "Ray could not be started or joined ({reason}): check --ray, or stop what runs there.",
            reason=" ".join(str(error).split()),
        ) from error


def arguments(options: flags.Options, resources: dict[str, float]) -> Arguments:
    """What the flags ask for, on a cluster with so many of each."""
    from omni.remote.deployment import Arguments

    most = options.max_replicas or options.replicas
    gpus = options.gpus
    if gpus is None:
        gpus = 1.0 if resources.get("GPU", 0) >= 1 and options.device in ("auto", "cuda") else 0.0
    cpus = options.cpus
    if cpus is None:
        share = resources.get("CPU", 1.0) / most
        cpus = float(int(share)) if share >= 1 else int(share * 100) / 100
    return Arguments(
        model=options.model,
        quantization=options.quantization,
        device=options.device,
        dtype=options.dtype,
        max_pixels=options.max_pixels,
        keep_quantized=options.keep_quantized,
        adapters=",".join(options.adapter),
        replicas=options.replicas,
        max_replicas=most,
        up_s=options.add_after,
        cpus=cpus,
        gpus=gpus,
    )


def wait_ready(name: str, replicas: int) -> None:
    """Until all replicas are there, and say how many there are.

    Raises:
        ResourceError: ``ray-replica``.
    """
    from ray import serve
    from ray.serve.schema import ApplicationStatus as Status

    told = ""
    while True:
        obey()
        stands = serve.status().applications.get(name)
        if stands is not None:
            deployments = stands.deployments.values()
            ready = sum(int(one.replica_states.get("RUNNING", 0)) for one in deployments)
            said = " ".join(one.message for one in deployments)
            if stands.status in (Status.DEPLOY_FAILED, Status.UNHEALTHY) or "omni: " in said:
                raise cannot(said or stands.message)
            if stands.status == Status.RUNNING and ready >= replicas:
                return
            line = f"{ready} of {replicas} replicas are ready"
            if line != told:
                say(told := line)
        time.sleep(LOOK_S)


def cannot(said: str) -> ResourceError:
    """What Ray says of a replica that does not come, as a sentence."""
    from omni.remote.deployment import SENTENCE

    own = re.search(rf"{SENTENCE}(.+?)(?:\n|$)", said)
    return ResourceError(
        "ray-replica",
        "A replica cannot be had: {reason}",
        reason=own[1].strip() if own else " ".join(said.split())[-500:],
    )


def announce(options: flags.Options, made_up: bool) -> None:
    """Say where it is, and how it is asked."""
    from omni.remote.link import TOKEN_VARIABLE

    scheme = "https" if options.ssl_certfile else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{scheme}://{host}:{options.port}"
    token = f"{TOKEN_VARIABLE}={os.environ[TOKEN_VARIABLE]} " if made_up else ""
    print(f"Ready: {address}", flush=True)
    print(f"{token}python app.py --engine {address}", flush=True)
