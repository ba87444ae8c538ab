"""Environments as companies, containers and accidents set them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from omni.errors import ResourceError
from omni.loading.network import no_proxy, prepare_network

PROXY = "http://127.0.0.1:9"  # where nobody listens


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "spared",
    [
        "",
        "example.com",
        "127.0.0.0/8,::1/128,fe80::/10",
        "[::1]",
        "[::1]:80",
        "localhost:7860, .corp, *.corp",
        "*",
        "http://x.y",
        "a b, ü.example, :, //",
    ],
)
def test_no_proxy_is_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, name: str, spared: str
) -> None:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setenv(name, PROXY)
    monkeypatch.setenv("no_proxy", spared)
    prepare_network(own=["192.168.1.5", "fe80::1"])
    with httpx.Client() as client:
        for own in ("localhost", "127.0.0.1", "[::1]", "192.168.1.5", "[fe80::1]"):
            transport = client._transport_for_url(httpx.URL(f"http://{own}:7860/"))
            assert transport is client._transport, own
        if spared != "*":
            far = client._transport_for_url(httpx.URL("http://huggingface.co/"))
            assert far is not client._transport


def test_an_environment_without_a_proxy_is_left_alone() -> None:
    environment: dict[str, str] = {"PATH": "/bin"}
    prepare_network(environment)
    assert environment == {"PATH": "/bin"}


def test_what_was_spared_stays_spared() -> None:
    entries = no_proxy({"NO_PROXY": "a.example,10.0.0.7/8"}).split(",")
    assert entries[:2] == ["a.example", "10.0.0.0/8"]
    assert no_proxy({"no_proxy": "a", "NO_PROXY": "b"}).startswith("a,")


@pytest.mark.parametrize("value", ["foo://127.0.0.1:9", "http://", "http://a:b:c", "socks4://a:1"])
def test_a_proxy_of_no_known_kind_gets_a_sentence(value: str) -> None:
    with pytest.raises(ResourceError, match="HTTPS_PROXY names a proxy that cannot be used"):
        prepare_network({"HTTPS_PROXY": value})


@pytest.mark.parametrize("value", ["proxy.corp:3128", "http://user:p@proxy:1", "https://proxy"])
def test_proxies_of_all_spellings_are_taken(value: str) -> None:
    prepare_network({"http_proxy": value})


def test_a_socks_proxy_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="pip install socksio"):
        prepare_network({"ALL_PROXY": "socks5://127.0.0.1:9"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    prepare_network({"ALL_PROXY": "socks5h://127.0.0.1:9"})


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_are_gone_get_a_sentence(tmp_path: Path, name: str) -> None:
    missing = tmp_path / "gone.pem"
    with pytest.raises(ResourceError, match=f"{name} names {missing}"):
        prepare_network({name: str(missing)})
    prepare_network({name: str(tmp_path)})
    prepare_network({name: ""})


@pytest.mark.parametrize(
    ("value", "complete"),
    [
        ("mirror.example/", "https://mirror.example"),
        ("http://mirror.example:80/hf", "http://mirror.example:80/hf"),
        (" ", None),
    ],
)
def test_a_mirror_of_the_hub_is_an_address(value: str, complete: str | None) -> None:
    environment = {"HF_ENDPOINT": value}
    prepare_network(environment)
    assert environment.get("HF_ENDPOINT") == complete


def test_a_mirror_that_is_no_address_gets_a_sentence() -> None:
    with pytest.raises(ResourceError, match="names no address of a Hub"):
        prepare_network({"HF_ENDPOINT": "ftp://mirror.example"})
