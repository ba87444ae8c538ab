"""Who may change what is everybody's or the owner's: the model that is loaded, the kept voices.

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
from typing import Any
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


@dataclass(frozen=True)
class Owner:
    """``private``: only people at this machine reach the page, and no login tells them apart.
    ``visitors_too``: everybody may change the model, by the owner's wish.
    """

    private: bool = True
    visitors_too: bool = False

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

    def shown(self, model: str, request: Any = None) -> str:
        """A model's name as the page tells it: where others read it, no folder of this machine."""
        return model if self.comes(request) else without_folder(model)


OWNER = Owner()  # of a page that nobody else reaches


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
    inside = path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2
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
