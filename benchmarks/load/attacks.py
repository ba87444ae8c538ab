"""What small files and rude clients cost the running app: memory, seconds, and what they are told.

Usage: python -m benchmarks.load.attacks [--only NAME ...] [--json FILE]

Each attack meets an app of its own with nano, once as on one's own machine and once as where others
reach the page. Memory is the most above what the app held before; seconds until the last answer;
after it a good request is timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Bound, Row, table
from benchmarks.load import odd
from benchmarks.load.running import API, GREETED, GREETING, MEGABYTE, ROOT, App, running
from demos.live.panel import READY
from demos.live.route import PROTOCOL

MOST_MEMORY = 700.0  # MB above what the app held before
MOST_SECONDS = 60.0
GOOD_S = 10.0  # within which a good request is answered afterwards
FLOOD_BYTES, FLOOD_S = 300_000_000, 20.0
PAGES: dict[str, tuple[str, ...]] = {"own": (), "shared": ("--allow-host", "page.example")}


@dataclass(frozen=True)
class Attack:
    """What is done to the app; ``run`` returns what was said."""

    name: str
    run: Callable[[App, Path], str]


def file_to(name: str, key: str, ending: str, content: Callable[[], bytes]) -> Attack:
    """A file in a chat."""

    def run(app: App, folder: Path) -> str:
        path = folder / f"odd.{ending}"
        path.write_bytes(content())
        with app.visitor() as visitor:
            file: Any = visitor.upload(path)
            begin(app)
            values = {key: [file] if key == "images" else file}
            answer = visitor.call("chat", text="What is it?", speech=False, seed=1, **values)
        return f"{path.stat().st_size / 1000:.0f} kB: {answer.error or answer.data[0]}"

    return Attack(name, run)


_began: dict[str, float] = {}


def begin(app: App) -> None:
    """From here on it is measured."""
    app.forget_peak()
    _began["held"], _began["at"] = app.held().memory, time.perf_counter()


def unpacked(app: App, folder: Path) -> str:
    """A conversation that unpacks to 990 MB."""
    path = folder / "talk.zip"
    path.write_bytes(odd.bomb(990_000_000))
    with app.visitor() as visitor:
        file = visitor.upload(path)
        begin(app)
        answer = visitor.call("audio_import", **{"audio-import": file})
    return answer.sentences


def voices(app: App, folder: Path) -> str:
    """Forty checks at once of an mp3 of half an hour."""
    path = folder / "long.mp3"
    path.write_bytes(odd.long_mp3(29.5))
    said: list[str] = []
    visitors = [app.visitor() for _ in range(40)]
    files = [visitor.upload(path) for visitor in visitors]
    begin(app)

    def check(number: int) -> None:
        answer = visitors[number].call("check_reference", **{"voice-prompt": files[number]})
        said.append(answer.error or str(answer.data[-1])[:150])

    together([threading.Thread(target=check, args=(number,)) for number in range(40)])
    for visitor in visitors:
        visitor.leave()
    return "; ".join(f"{said.count(one)} x {one}" for one in sorted(set(said)))


def silent_sessions(app: App, _: Path) -> str:
    """Two hundred sessions without a heartbeat."""
    begin(app)
    for _number in range(200):
        visitor = app.visitor(beats=False)
        visitor.call("chat", text=GREETING, speech=False, seed=1)
        visitor.leave()
    return "200 answered"


def flood(app: App, _: Path) -> str:
    """300 MB of sound in 20 s into one Live session."""
    piece = b"\1" + bytes(300_000)

    def send(line: Any) -> None:
        count = FLOOD_BYTES // len(piece)
        for number in range(count):
            line.send(piece)
            time.sleep(max(0.0, began + number * FLOOD_S / count - time.monotonic()))

    began = time.monotonic()
    return live(app, "audio", send)


def camera(app: App, _: Path) -> str:
    """32 pictures that unpack hugely while somebody speaks."""
    picture = odd.claiming_jpeg(8000)
    flat = odd.flat_jpeg(2000)

    def send(line: Any) -> None:
        for number in range(32):
            line.send(b"\2" + (picture if number % 2 else flat))
            line.send(b"\1" + bytes(3200))
        line.send(json.dumps({"type": "end", "reason": "stopped"}))

    return live(app, "video", send)


def live(app: App, tab: str, send: Callable[[Any], None]) -> str:
    """A Live session in which ``send`` speaks; the reason of its end."""
    with app.visitor(origin=app.address.rstrip("/")) as visitor:
        event = visitor.event(f"{tab}_live")
        shown = {one["id"]: one["props"] for one in visitor.config["components"]}
        inputs = [shown[number] for number in event["inputs"]]
        data = [READY, *(props.get("value") for props in inputs[1:])]
        asked = {"fn_index": event["id"], "data": data, "session_hash": visitor.session}
        visitor.http.post(f"{API}/queue/join", json=asked)
        address = f"{API}/queue/data?session_hash={visitor.session}"
        with visitor.http.stream("GET", address) as stream:
            for text in stream.iter_lines():
                if '"ticket' in text or "ticket\\" in text:
                    message = json.loads(text.removeprefix("data: "))
                    ticket = json.loads(message["output"]["data"][-1])["ticket"]
                    break
            host = app.address.removeprefix("http://").rstrip("/")
            begin(app)
            with connect(
                f"ws://{host}/live",
                origin=Origin(app.address.rstrip("/")),
                subprotocols=[Subprotocol(PROTOCOL), Subprotocol(ticket)],
                max_size=None,
            ) as line:
                line.send(json.dumps({"type": "hello", "rate": 16_000}))
                try:
                    send(line)
                    return farewell(line)
                except ConnectionClosed:
                    return farewell(line)


def farewell(line: Any) -> str:
    """What the server says last."""
    try:
        while True:
            message = line.recv(30)
            if isinstance(message, str) and json.loads(message)["type"] == "bye":
                return str(json.loads(message)["text"])
    except (ConnectionClosed, TimeoutError) as error:
        return type(error).__name__


def together(threads: list[threading.Thread]) -> None:
    """All at once, until all are done."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


ATTACKS = [
    file_to("png_of_88_million_deep_pixels", "images", "png", lambda: odd.deep_png(9400)),
    file_to("png_at_the_limit", "images", "png", lambda: odd.deep_png(7900)),
    file_to("jpeg_that_claims_64_million", "images", "jpg", lambda: odd.claiming_jpeg(8000)),
    file_to("jpeg_at_the_limit", "images", "jpg", lambda: odd.claiming_jpeg(5600)),
    file_to("jpeg_of_6010_scans", "images", "jpg", lambda: odd.many_scans(6010, 1000)),
    file_to("clip_of_8000", "video", "mkv", lambda: odd.clip(8000, 8000, 3)),
    file_to("clip_at_the_limit", "video", "mkv", lambda: odd.clip(3840, 2160, 30)),
    file_to("ogg_of_255_channels", "audio", "ogg", lambda: odd.wide_ogg(255, 20)),
    file_to("ogg_at_the_limit", "audio", "ogg", lambda: odd.wide_ogg(32, 120)),
    Attack("conversation_of_990_mb", unpacked),
    Attack("voice_checks_40_at_once", voices),
    Attack("sessions_200_silent", silent_sessions),
    Attack("live_flood_of_300_mb", flood),
    Attack("live_camera_of_32", camera),
]


def measure(attack: Attack, page: str) -> list[Row]:
    """One attack on one kind of page."""
    with tempfile.TemporaryDirectory() as name, running(Path(name), *PAGES[page]) as app:
        said = attack.run(app, Path(name))
        seconds = time.perf_counter() - _began["at"]
        memory = (app.peak() - _began["held"]) / MEGABYTE
        begun = time.perf_counter()
        greeted = app.greets()
        good_s = time.perf_counter() - begun
    base = f"{attack.name}_{page}"
    most = Bound(MOST_MEMORY, at_most=True)
    return [
        Row(f"{base}_mb", round(memory), most, said[:300]),
        Row(f"{base}_s", round(seconds, 1), Bound(MOST_SECONDS, at_most=True)),
        Row(
            f"{base}_next_s",
            round(good_s, 2),
            Bound(GOOD_S, at_most=True),
            "" if greeted == GREETED else greeted,
        ),
    ]


def layers() -> list[Row]:
    """A checkpoint whose config.json asks for a million layers."""
    with tempfile.TemporaryDirectory() as name:
        folder = odd.deep_checkpoint(Path(name))
        command = [sys.executable, "-m", "omni", "chat", "Hi", "--text-only", "--model"]
        begun, most = time.perf_counter(), 0
        with subprocess.Popen(
            [*command, str(folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None:
                most = max(most, psutil.Process(process.pid).memory_info().rss)
                time.sleep(0.02)
            said = process.stderr.read() if process.stderr else ""
    bound = Bound(MOST_MEMORY, at_most=True)
    return [
        Row("config_of_a_million_layers_mb", round(most / MEGABYTE), bound, said[-200:].strip()),
        Row("config_of_a_million_layers_s", round(time.perf_counter() - begun, 1)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; 1 where a bound is missed."""
    parser = flags_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="names of attacks, or their parts")
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    flags = parser.parse_args(arguments)
    rows: list[Row] = []
    for attack in ATTACKS:
        if not flags.only or any(part in attack.name for part in flags.only):
            for page in flags.pages:
                rows += measure(attack, page)
                print(table(rows[-3:]), file=sys.stderr, flush=True)
    if not flags.only or any(part in "config_of_a_million_layers" for part in flags.only):
        rows += layers()
    command = command_of("benchmarks.load.attacks", arguments)
    return report(rows, about_machine(), command, flags.json)


if __name__ == "__main__":
    sys.exit(main())
