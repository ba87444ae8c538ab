"""Who may change what is everybody's: the model that is loaded.

Knows: whether others reach the page, where a request comes from. Does not know: models.

On a page that only people at this machine reach, whoever comes from it is the owner, unless a proxy
stands between (it says so in a header): then nobody knows who comes. On any other page nobody is.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import Any

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


@dataclass(frozen=True)
class Owner:
    """``private``: only people at this machine reach the page, and no login tells them apart.
    ``visitors_too``: everybody may do what the owner may, by the owner's wish.
    """

    private: bool = True
    visitors_too: bool = False

    @property
    def somebody(self) -> bool:
        """Whether anybody at all may change the model by the page."""
        return self.private or self.visitors_too

    def asks(self, request: Any) -> bool:
        """Whether the owner stands behind a request (Gradio's; None: a call within the program)."""
        if self.visitors_too or request is None:
            return self.somebody
        if not self.private:
            return False
        headers = getattr(request, "headers", None) or {}
        if any(headers.get(name) for name in FORWARDED):
            return False
        client = getattr(request, "client", None)
        return client is None or _is_loopback(str(getattr(client, "host", "")))

    def shown(self, model: str) -> str:
        """A model's name as the page tells it: where others read it, no folder of this machine."""
        return model if self.private else without_folder(model)


def without_folder(name: str) -> str:
    """A model's name, or the last part of its path; names of the Hub stay."""
    path = PureWindowsPath(name) if "\\" in name else PurePath(name)
    inside = path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2
    return path.name if inside else name


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
