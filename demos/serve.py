"""Serving the page: addresses, logins, limits, what browsers may load.

Knows: Gradio's launch, ports, Hugging Face Spaces. Does not know: what is on the page.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import secrets
import socket
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
from starlette.applications import Starlette
from starlette.types import ASGIApp

from demos.base import theme
from demos.base.compressed import Compressed
from demos.base.gradio_internals import (
    end_silent_connections,
    keep_uploads_apart,
    light_sessions,
    rest_queue,
    watch_uploads,
)
from demos.base.guard import Hosts, NoTraces, SameOrigin, SlowGuesses, host_of, names
from demos.base.languages import AUTO, Words
from demos.base.owner import Owner, Visitors
from demos.base.page import doors_of, routes_beside
from demos.base.safe_headers import SafeHeaders
from demos.hosting.certificate import Certificate, given, made
from omni.errors import OmniError
from omni.loading.adapters.files import find_adapter
from omni.loading.checkpoint import Checkpoint
from omni.settings import NANO

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
FIRST_PORT = 7860
PORTS_TRIED = 100
# owner/name or owner/name@revision; omni.loading.hub would import the Hub's client.
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
HOSTS_VARIABLE = "OMNI_ALLOW_HOST"  # environment: names as for --allow-host, with commas between
_ROOT = re.compile(r"(https?://[^/\s?#]+)?(/[^\s?#/]+)*")
MAX_UPLOAD = "500mb"
MAX_THREADS = 128  # of handlers: more than turns may wait, so that everything else goes on
SESSIONS_KEPT = 1000  # of what stands in a page; the oldest go when there are more
SILENT_S = 30.0  # without a sign of the other side: the connection is dead
USER = "omni"  # of a login that was made up
PASSWORD_BYTES = 12  # of chance in its password
QUEUE_REST_S = 0.01  # between Gradio's looks into its empty queue
# Of the environment: user:password, several with spaces between. Other than the flag's, it stands
# in no list of processes; a container and a Space keep it as a secret.
AUTH_VARIABLE = "OMNI_AUTH"

log = logging.getLogger(__name__)


class ServeError(OmniError):
    """A flag that cannot be followed."""


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    ``port`` None: the first free one from FIRST_PORT on. ``allow_hosts``: further names under which
    the page is reached, behind a proxy; "*": any. ``visitors_load``: everybody may load another
    model and unload it, not the owner alone. ``made_up``: the password is ours and has to be told.
    """

    host: str = LOOPBACK
    port: int | None = None
    share: bool = False
    auth: tuple[tuple[str, str], ...] = ()
    allow_hosts: tuple[str, ...] = ()
    visitors_load: bool = False
    made_up: bool = False
    root_path: str = ""  # under which a proxy serves the page: /omni, or a whole address
    certificate: Certificate | None = None  # None: http
    keep_voices: bool = False  # saved voices stay, for all who reach the page

    @property
    def private(self) -> bool:
        """Whether only people at this machine reach the page, and no login tells them apart."""
        return not (self.open or self.auth or self.allow_hosts or on_space())

    @property
    def open(self) -> bool:
        """Whether the page is opened to a network or by a link."""
        return self.share or not is_loopback(self.host)

    @property
    def owner(self) -> Owner:
        """Who may change the model."""
        return Owner(self.private, self.visitors_load, self.keep_voices)

    @property
    def visitors(self) -> Visitors:
        """How visitors are told apart by their addresses."""
        behind = self.share or bool(self.allow_hosts) or on_space()
        return Visitors(not self.private, behind, inner=self.share or on_space())


def options_of(flags: Namespace, host: str, port: int) -> ServeOptions:
    """The options that the flags name; an open page without a login gets one, with a password.

    Raises:
        ServeError: a login of another form.
    """
    certificate = given(flags.ssl_certfile, flags.ssl_keyfile)
    if flags.https and certificate is None:
        certificate = made(host)
    logins = flags.auth or os.environ.get(AUTH_VARIABLE, "").split()
    options = ServeOptions(
        host,
        port,
        flags.share,
        tuple(map(login, logins)),
        (*flags.allow_host, *named_hosts()),
        flags.let_visitors_load,
        root_path=root_of(flags.root_path),
        certificate=certificate,
        keep_voices=flags.keep_voices,
    )
    if options.auth or flags.no_auth or on_space() or not options.open:
        return options
    return replace(options, auth=((USER, secrets.token_urlsafe(PASSWORD_BYTES)),), made_up=True)


def root_of(text: str) -> str:
    """The path, or the whole address, under which a proxy serves the page.

    Raises:
        ServeError: ``root-path``.
    """
    root = (text or os.environ.get("GRADIO_ROOT_PATH", "")).strip().rstrip("/")
    if root and not _ROOT.fullmatch(root):
        raise ServeError(
            "root-path",
            "--root-path must look like /omni or https://example.org/omni, not {value}.",
            value=text,
        )
    return root


def warning(options: ServeOptions, words: Words) -> str:
    """What becomes public, and the password that was made up; "" where nothing does."""
    language = words.of(None)
    if options.made_up:
        ((user, password),) = options.auth
        return words.say(language, "open-password", user=user, password=password)
    if options.open and not options.auth and not on_space():
        return words.say(language, "open-to-all")
    return ""


def check_model(name: str) -> None:
    """Look at a local checkpoint before anything starts; one of the Hub is met when it loads.

    Raises:
        CheckpointError: the folder is missing, incomplete or of another architecture.
    """
    folder = Path(name).expanduser()
    if name in (NANO, "auto") or (_HUB_NAME.fullmatch(name) and not folder.exists()):
        return
    checkpoint = Checkpoint(folder, name)
    _ = checkpoint.config, checkpoint.weight_files


def check_files(model: str, adapters: Iterable[str]) -> None:
    """:func:`check_model`, and :func:`check_adapter` of each."""
    check_model(model)
    for name in adapters:
        check_adapter(name)


def check_adapter(name: str) -> None:
    """Look at a local adapter before anything starts; one of the Hub is met when it loads.

    Raises:
        CheckpointError: the folder is no adapter, or its weights are pickled.
    """
    if _HUB_NAME.fullmatch(name) and not Path(name).expanduser().exists():
        return
    for _ in find_adapter(name):
        pass


def named_hosts() -> tuple[str, ...]:
    """What the environment adds to ``--allow-host``: where nobody can give flags, as on a Space."""
    return tuple(filter(None, map(str.strip, os.environ.get(HOSTS_VARIABLE, "").split(","))))


def on_space() -> bool:
    """Whether this runs as a Hugging Face Space, whose proxy must reach the server."""
    return "SPACE_ID" in os.environ


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, for itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def login(text: str) -> tuple[str, str]:
    """``user:password`` as a pair.

    Raises:
        ServeError: another form.
    """
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ServeError("login-form", "--auth and OMNI_AUTH must look like user:password.")
    return user, password


def free_port(host: str, port: int | None) -> int:
    """``port`` if it is free; without one, the first free one from FIRST_PORT on.

    Raises:
        ServeError: it is taken, may not be used, or the host is not one of this machine.
    """
    if port is not None:
        _try(host, port)
        return port
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        try:
            _try(host, candidate)
        except PortTaken:
            continue
        return candidate
    raise ServeError(
        "ports-taken", "No port from {first} on is free: choose one with --port.", first=FIRST_PORT
    )


class PortTaken(ServeError):
    """Another program uses the port."""


def _try(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # there it would allow a second server on the same port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None)
            if number == errno.EADDRINUSE:
                raise PortTaken(
                    "port-taken",
                    "Port {port} is in use by another program: choose another one with --port.",
                    port=port,
                ) from error
            if number == errno.EACCES:
                raise ServeError(
                    "port-rights",
                    "Port {port} needs administrator rights: choose one above 1023 with --port.",
                    port=port,
                ) from error
            raise ServeError(
                "address-unusable",
                "The address {host}:{port} cannot be used: check --host and --port.",
                host=host,
                port=port,
            ) from error


def serve(page: gr.Blocks, words: Words, options: ServeOptions) -> str:
    """Start serving and return the local address; the caller keeps the process alive."""
    page.queue(default_concurrency_limit=4)
    rest_queue(page, QUEUE_REST_S)
    keep_uploads_apart()
    light_sessions()
    watch_uploads()
    hosts, certificate = hosts_of(options), options.certificate
    behind = partial(_behind_the_door, hosts, options.visitors, doors_of(page))
    _, address, shared = page.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        root_path=options.root_path,
        ssl_certfile=str(certificate.file) if certificate else None,
        ssl_keyfile=str(certificate.key) if certificate else None,
        ssl_verify=False,  # of the page's look at itself, when it starts
        auth=list(options.auth) or None,
        i18n=words.i18n(),
        theme=theme.theme(),
        css_paths=list(theme.STYLES),
        head=theme.head(words.locales(), "" if words.choice == AUTO else words.choice),
        favicon_path=theme.LOGO,
        footer_links=["api"],
        max_file_size=MAX_UPLOAD,
        max_threads=MAX_THREADS,
        state_session_capacity=SESSIONS_KEPT,
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        app_kwargs={"lifespan": behind, "routes": routes_beside(page)},
    )
    end_silent_connections(page, SILENT_S)
    if not isinstance(page.app.middleware_stack, SafeHeaders):
        page.close()
        raise RuntimeError("the page is served without its door")
    if shared:
        hosts.add(host_of(urlsplit(shared).netloc))
    return address


def hosts_of(options: ServeOptions) -> Hosts:
    """The names under which the page is reached; that of a share link is known once it is there."""
    named = {options.host, *options.allow_hosts}
    if "//" in options.root_path:
        named.add(host_of(urlsplit(options.root_path).netloc))
    if on_space():  # with a domain of one's own the variable names several
        named |= {*os.environ.get("SPACE_HOST", "").split(","), ".hf.space"}
    local = is_loopback(options.host) and not on_space()
    return Hosts(local, names(named))


@asynccontextmanager
async def _behind_the_door(
    hosts: Hosts,
    visitors: Visitors,
    doors: Sequence[Callable[[ASGIApp], ASGIApp]],
    app: Starlette,
) -> AsyncIterator[None]:
    """Put the checks of every request before all that Gradio does, its answers to CORS too."""
    inside = app.middleware_stack
    assert inside is not None  # what runs this
    for door in doors:
        inside = door(inside)
    quiet = NoTraces(Compressed(inside), log=log.info)
    slowed = SlowGuesses(quiet, log=log.warning, address=visitors.address)
    guarded = SameOrigin(slowed, hosts)
    app.middleware_stack = SafeHeaders(guarded, on_space())
    yield
