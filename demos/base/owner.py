"""Whose a request is: the owner's, who may change the model and has voices, or from which address.

Knows: whether others reach the page, where a request comes from. Does not know: models, voices.

On a page that only people at this machine reach, whoever comes from it is the owner, unless a proxy
stands between: then nobody knows who comes. On any other page nobody is. A proxy shows itself by a
header that it adds; by an Origin or Referer of another host than the one it asks for; by HTTP/1.0,
which no browser speaks and nginx does unless it is told otherwise. One that hides all of these
cannot be told from a person at this machine: docs/security.md says what to do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import Any, TypeAlias
from urllib.parse import urlsplit

# What proxies add. Of the names that begin like the last one there are many (-for, -host, -proto,
# -port, -server, -prefix, ...).
FORWARDED = (
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-host",
    "x-envoy-external-address",
    "x-forwarded",
)
OLD_HTTP = "1.0"
HOUSEHOLD_BITS = 64  # of an IPv6 address are the network's, the rest the machine's


@dataclass(frozen=True)
class Owner:
    """``private``: only people at this machine reach the page, and no login tells them apart.
    ``visitors_too``: everybody may change the model, by the owner's wish. ``shares_voices``:
    everybody has the owner's voices, and may add to them.
    """

    private: bool = True
    visitors_too: bool = False
    shares_voices: bool = False

    @property
    def somebody(self) -> bool:
        """Whether anybody at all may change the model by the page."""
        return self.private or self.visitors_too

    def asks(self, request: Any) -> bool:
        """Whether a request may change the model (Gradio's; None: a call within the program)."""
        return self.visitors_too or self.comes(request)

    def comes(self, request: Any) -> bool:
        """Whether the owner stands behind a request (Gradio's; None: a call within the program)."""
        if not self.private or request is None:
            return self.private
        client = getattr(request, "client", None)
        here = client is None or _is_loopback(str(getattr(client, "host", "")))
        return here and not forwarded(getattr(request, "headers", None) or {}, _version(request))

    def has_voices(self, request: Any) -> bool:
        """Whether the owner's voices are there for a request."""
        return self.shares_voices or self.comes(request)

    def shown(self, model: str, request: Any = None) -> str:
        """A model's name as the page tells it: where others read it, no folder of this machine."""
        return model if self.comes(request) else without_folder(model)


OWNER = Owner()  # of a page that nobody else reaches


@dataclass(frozen=True)
class Visitors:
    """How visitors are told apart by their addresses."""

    apart: bool = False  # whether they are at all; all of one's own machine have the same
    proxied: bool = False  # a proxy that we know of stands between, and adds whom it speaks for
    # Further proxies with addresses of their own network may stand behind that one.
    inner: bool = False

    def asks(self, request: Any) -> str | None:
        """The address behind a request of Gradio's; None: it tells nobody apart."""
        if not self.apart or request is None:
            return None
        client = getattr(request, "client", None)
        return self.address(getattr(request, "headers", None) or {}, getattr(client, "host", ""))

    def address(self, headers: Mapping[str, str], client: str | None) -> str:
        """The address behind a request.

        Args:
            headers: by names in lower case.
            client: who opened the connection.
        """
        named = [_plain(one) for one in headers.get("x-forwarded-for", "").split(",")]
        known = [one for one in named if one is not None] if self.proxied else []
        # What stands further left was said by whoever sent the request, and may be anything.
        outer = [one for one in known if one.is_global] if self.inner else []
        said = outer or known
        return _person(said[-1] if said else _plain(client or ""))


Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def _plain(text: str) -> Address | None:
    """An address as it is written in headers: with a port, in brackets, IPv4 in IPv6."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _person(address: Address | None) -> str:
    """What stands for one household: of IPv6 the network, in which it has all addresses."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, HOUSEHOLD_BITS), strict=False))
    return "?" if address is None else str(address)


def forwarded(headers: Mapping[str, str], version: str = "1.1") -> bool:
    """Whether a request came by a proxy, as far as it can be seen.

    Args:
        headers: by names in lower case.
        version: of HTTP.
    """
    if version == OLD_HTTP or any(name.lower().startswith(FORWARDED) for name in headers):
        return True
    host = headers.get("host", "").lower()
    said = (headers.get("origin", ""), headers.get("referer", ""))
    return any(_host(address) != host for address in said if "//" in address)


def without_folder(name: str) -> str:
    """A model's name, or the last part of its path; names of the Hub stay."""
    path = PureWindowsPath(name) if "\\" in name else PurePath(name)
    parts = name.partition("@")[0].split("/")  # a revision of the Hub may hold slashes
    inside = path.is_absolute() or name.startswith((".", "~")) or len(parts) > 2
    return path.name if inside else name


def _host(address: str) -> str:
    """Host and port of an address of the web; "?" where it makes no sense."""
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return "?"


def _version(request: Any) -> str:
    """The version of HTTP that a request of Gradio's came by."""
    scope = getattr(getattr(request, "request", None), "scope", None) or {}
    return str(scope.get("http_version", ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
