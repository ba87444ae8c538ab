"""nginx and Caddy with the very configuration that docs/serving.md shows."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from tests.support.root import ROOT

Proxy: TypeAlias = Literal["nginx", "caddy"]
NAME = "omni.localhost"  # leads to this machine in every browser
START_S = 15.0
AROUND = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 128; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{shown}
}}
"""


def shown(kind: Proxy) -> str:
    """The block of docs/serving.md."""
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```{kind}\n(.*?)```", text, re.S)
    return str(block)


@contextmanager
def proxy(
    kind: Proxy, folder: Path, port: int, page: int, certificate: Path, key: Path
) -> Iterator[str]:
    """The proxy at ``port`` before a page at ``page``; its address."""
    text = (
        shown(kind).replace("omni.example.org", NAME).replace("127.0.0.1:7860", f"127.0.0.1:{page}")
    )
    if kind == "nginx":
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        text = text.replace("/etc/ssl/omni/certificate.pem", str(certificate))
        text = text.replace("/etc/ssl/omni/key.pem", str(key))
        text = AROUND.format(folder=folder, shown=text)
    else:  # a name without an authority that would answer for it
        text = text.replace(f"{NAME} {{", f"https://{NAME}:{port} {{\n tls {certificate} {key}", 1)
        text = "{\n admin off\n auto_https disable_redirects\n}\n" + text
    file = folder / f"{kind}.conf"
    file.write_text(text, encoding="utf-8")
    commands = {
        "nginx": ["nginx", "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")],
        "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)],
    }
    log = folder / "log"
    with log.open("wb") as out:
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
        program = shutil.which(commands[kind][0])
        assert program is not None
        process = subprocess.Popen(
            [program, *commands[kind][1:]], stdout=out, stderr=out, env=environment
        )
    try:
        deadline = time.monotonic() + START_S
        while not listens(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield f"https://{NAME}:{port}/omni/"
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
