"""The machine's way to the network, looked at before anybody needs it: proxies and certificates.

Knows: the environment variables that httpx and requests read. Does not know: the Hub, the page.

A proxy for the world must never be asked for this machine's own address: the page looks at itself
when it starts. And a variable that leads nowhere should be a sentence, not a traceback from inside
a library.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

from omni.errors import ResourceError

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PLAIN_SCHEMES = {"http", "https"}
SOCKS_SCHEMES = {"socks5", "socks5h"}
OWN = ("localhost", "127.0.0.1", "::1")
ENDPOINT = "HF_ENDPOINT"  # a mirror of the Hub

_NAME = re.compile(r"\.?[\w-]+(\.[\w-]+)*(:\d+)?", re.ASCII)

Environment = MutableMapping[str, str]


def prepare_network(environment: Environment | None = None, own: Iterable[str] = ()) -> None:
    """Make the environment one that libraries can use; this process and its children see it.

    Args:
        environment: changed in place; None: this process's.
        own: further addresses of this machine that no proxy is asked for.

    Raises:
        ResourceError: ``certificates-missing``, ``proxy-unknown``, ``proxy-socks``,
            ``endpoint-unknown``.
    """
    environment = os.environ if environment is None else environment
    check_certificates(environment)
    complete_endpoint(environment)
    check_proxies(environment)
    spared = no_proxy(environment, own)
    if any(_both(environment, name) for name in PROXIES):
        environment["no_proxy"] = environment["NO_PROXY"] = spared


def check_certificates(environment: Environment) -> None:
    """Refuse variables that name certificates which are not there.

    Raises:
        ResourceError: ``certificates-missing``.
    """
    for name in CERTIFICATES:
        value = environment.get(name)
        if value and not Path(value).exists():
            raise ResourceError(
                "certificates-missing",
                "The environment variable {name} names {path}, which is not there: "
                "correct it or unset it.",
                name=name,
                path=value,
            )


def check_proxies(environment: Environment) -> None:
    """Refuse proxies that no library here can speak to.

    Raises:
        ResourceError: ``proxy-unknown`` or ``proxy-socks``.
    """
    for name in PROXIES:
        for spelled in (name, name.upper()):
            value = environment.get(spelled, "").strip()
            if not value:
                continue
            scheme = _scheme(value)
            if scheme in SOCKS_SCHEMES and importlib.util.find_spec("socksio") is None:
                raise ResourceError(
                    "proxy-socks",
                    "The environment variable {name} names a SOCKS proxy, which needs the package "
                    "socksio: pip install socksio.",
                    name=spelled,
                )
            if scheme not in PLAIN_SCHEMES | SOCKS_SCHEMES:
                raise ResourceError(
                    "proxy-unknown",
                    "The environment variable {name} names a proxy that cannot be used ({value}): "
                    "it must begin with http://, https:// or socks5://.",
                    name=spelled,
                    value=value,
                )


def complete_endpoint(environment: Environment) -> None:
    """Let HF_ENDPOINT be an address with its scheme, as the Hub's client needs it.

    Raises:
        ResourceError: ``endpoint-unknown``.
    """
    value = environment.get(ENDPOINT, "").strip()
    if not value:
        environment.pop(ENDPOINT, None)
        return
    if _scheme(value if "://" in value else f"https://{value}") not in PLAIN_SCHEMES:
        raise ResourceError(
            "endpoint-unknown",
            "The environment variable {name} names no address of a Hub ({value}): "
            "it must begin with https://.",
            name=ENDPOINT,
            value=value,
        )
    environment[ENDPOINT] = (value if "://" in value else f"https://{value}").rstrip("/")


def no_proxy(environment: Environment, own: Iterable[str] = ()) -> str:
    """The value of no_proxy with this machine's own addresses, spelled as httpx reads them."""
    entries = [entry.strip() for entry in _both(environment, "no_proxy").split(",")]
    spared = [_plain(entry) for entry in entries if entry]
    return ",".join(dict.fromkeys([*filter(None, spared), *OWN, *filter(None, map(_plain, own))]))


def _both(environment: Environment, name: str) -> str:
    """The lower-case spelling wins, as in Python's own reading."""
    return environment.get(name) or environment.get(name.upper()) or ""


def _scheme(proxy: str) -> str:
    """Of a proxy's address; libraries take one without a scheme for http."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return ""
    return parts.scheme.lower() if parts.hostname else ""


def _plain(entry: str) -> str:
    """An entry without what makes httpx fail: brackets, a scheme; nothing for what it cannot read.

    That are ranges of IPv6, and names with other characters than names have.
    """
    if entry == "*":
        return entry
    host = entry.split("://")[-1]
    if host.startswith("["):
        host = host[1:].split("]")[0]
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return host.lstrip("*") if _NAME.fullmatch(host.lstrip("*")) else ""
    if network.num_addresses == 1:
        return str(network.network_address)
    return str(network) if network.version == 4 else ""
