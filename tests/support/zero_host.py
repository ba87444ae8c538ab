"""The host of a ZeroGPU Space, as the package ``spaces`` asks it for GPUs."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class ZeroHost:
    """Lends a GPU to whoever asks; ``left_s``: refuses with what is left of a quota."""

    left_s: int | None = None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                address = urlsplit(self.path)
                given = {name: values[0] for name, values in parse_qs(address.query).items()}
                host.asked.append((address.path, given))
                code, answer = host.answer(address.path)
                data = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> tuple[int, Any]:
        if path == "/schedule" and self.left_s is not None:
            return 429, {"left": self.left_s, "wait": 3600}
        if path == "/schedule":
            lent = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "token"}
            return 200, lent
        return 200, {}

    def calls(self, path: str) -> list[dict[str, str]]:
        return [given for asked, given in self.asked if asked == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
