"""How long a piece of sound takes from a page to the server and back over a WebSocket of ours.

Usage: python -m benchmarks.live_transport [--pieces 60]

A page in Chromium sends pieces of 32 ms at their own pace to a route beside Gradio's, which sends
each back at once. Prints the round trip; what devices and the players add is not in it.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Sequence

import gradio as gr
from playwright.sync_api import sync_playwright
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row

SWITCHES = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
RUN = """
async (pieces) => {
  const times = [], sent = [];
  const socket = new WebSocket(`ws://${location.host}/echo`);
  socket.binaryType = "arraybuffer";
  await new Promise((resolve) => (socket.onopen = resolve));
  socket.onmessage = ({data}) => {
    times.push(performance.now() - sent[new DataView(data).getUint32(0, true)]);
  };
  for (let id = 0; id < pieces; id++) {
    const piece = new Uint8Array(1028);
    new DataView(piece.buffer).setUint32(0, id, true);
    sent.push(performance.now());
    socket.send(piece);
    await new Promise((resolve) => setTimeout(resolve, 32));
  }
  const until = performance.now() + 10000;
  while (times.length < pieces && performance.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 20));
  return times;
}
"""


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_bytes(await socket.receive_bytes())
    except WebSocketDisconnect:
        return


def measure(pieces: int) -> list[Row]:
    """The round trip's rows, in milliseconds."""
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown("echo")
    _, address, _ = page.launch(
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        app_kwargs={"routes": [WebSocketRoute("/echo", _echo)]},
    )
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        tab = browser.new_page()
        tab.goto(address)
        tab.evaluate(RUN, 5)  # warms up
        times = sorted(tab.evaluate(RUN, pieces))
        browser.close()
    page.close()
    note = f"{len(times)} of {pieces} pieces came back"
    return [
        Row("websocket_median_ms", statistics.median(times)),
        Row("websocket_95_percent_ms", times[int(0.95 * len(times))], None, note),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = flags_parser(__doc__)
    parser.add_argument("--pieces", type=int, default=60)
    flags = parser.parse_args(arguments)
    rows = measure(flags.pieces)
    command = command_of("benchmarks.live_transport", arguments)
    return report(rows, about_machine(), command, flags.json)


if __name__ == "__main__":
    sys.exit(main())
