"""How soon an answer is heard: from a person's click on Send to sound at the browser's loudspeaker.

    python -m benchmarks.heard
    python -m benchmarks.heard --model FOLDER --turns 9 --json heard.json

Starts `python app.py`, opens the page in Chromium (by Playwright), gives it a recorded question of
3 s, presses Send, and listens to what the page plays. The first turn, and what it waits for, has a
row of its own. ``gradio_player`` is the same with the page's own player kept from its
stream, so that Gradio's takes its place.
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Bound, Row
from benchmarks.speed.page import serving
from benchmarks.speed.question import write_question

if TYPE_CHECKING:
    from playwright.sync_api import Page

FIRST_SOUND = Bound(1.0, at_most=True)  # s, with nano on two free CPU cores
FIRST_TURN = Bound(1.5, at_most=True)  # s, of a server that has just started
GIVEN = '[data-testid="waveform-controls"]'  # a recording that has arrived
QUESTION_S = 3.0
TURN_MS = 120_000
SILENCE_MS = 1500  # after which an answer has been played
SWITCHES = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=user-gesture-required")
# Whatever goes to the loudspeaker, by Web Audio or by a media element, goes to an analyser too.
LISTEN = """
window.sent = window.heard = window.last = null;
const listen = (analyser, clock) => {
  const samples = new Float32Array(analyser.fftSize);
  let before = null;
  setInterval(() => {
    const now = clock();
    if (now === before) return;  // it stands still, and the analyser shows the past
    before = now;
    analyser.getFloatTimeDomainData(samples);
    if (!samples.some((sample) => Math.abs(sample) > 0.003)) return;
    window.last = performance.now();
    if (window.sent) window.heard ??= window.last;
  }, 5);
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  const speaks = this instanceof GainNode || this instanceof AudioBufferSourceNode;
  if (speaks && target instanceof AudioDestinationNode) {
    const { context } = this;
    if (!context.ear)
      listen((context.ear = context.createAnalyser()), () => context.currentTime);
    connect.call(this, context.ear);
  }
  return connect.call(this, target, ...rest);
};
document.addEventListener("playing", (event) => {
  if (!event.target.closest?.(".speech-player") || event.target.tapped === event.target.src) return;
  event.target.tapped = event.target.src;
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  connect.call(context.createMediaStreamSource(event.target.captureStream()), analyser);
  listen(analyser, () => event.target.currentTime);
}, true);
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("#audio-send")) return;
  window.sent = performance.now();
  window.heard = null;
}, true);
"""


@contextmanager
def visited(address: str) -> Iterator[Page]:
    """The page in a browser, with the model loaded."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=[*SWITCHES])
        page = browser.new_page()
        page.add_init_script(LISTEN)
        page.goto(address)
        page.wait_for_function("document.querySelector('#model-status')?.innerText.trim()")
        yield page
        browser.close()


def turn_s(page: Page, question: Path) -> float:
    """One turn: seconds from the click on Send to the first sound. Ends when it is silent again."""
    with page.expect_file_chooser() as chooser:
        page.locator("#audio-attach").click()
    with page.expect_response(re.compile("/upload")):
        chooser.value.set_files(str(question))
    page.locator(f"#audio-recording {GIVEN}").first.wait_for()
    page.locator("#audio-send").click()
    page.wait_for_function("window.heard", timeout=TURN_MS)
    page.wait_for_function("document.querySelector('#audio-stop').disabled", timeout=TURN_MS)
    page.wait_for_function(f"performance.now() - window.last > {SILENCE_MS}", timeout=TURN_MS)
    return float(page.evaluate("window.heard - window.sent")) / 1000


def measure(model: str, turns: int) -> Iterator[Row]:
    """The rows, one after the other."""
    with tempfile.TemporaryDirectory() as folder, serving(model) as address:
        question = write_question(Path(folder) / "question.wav", QUESTION_S)
        with visited(address) as page:
            bound = FIRST_TURN if model == "nano" else None
            note = "of a server that has just started; nano it loads before it is asked"
            yield Row("first_turn_s", turn_s(page, question), bound, note)
            times = [turn_s(page, question) for _ in range(turns)]
            note = f"from Send to the loudspeaker, median of {turns} turns, worst {max(times):.2f}"
            bound = FIRST_SOUND if model == "nano" else None
            yield Row("first_sound_heard_s", statistics.median(times), bound, note)
            page.route("**/voice", lambda route: route.abort())
            times = [turn_s(page, question) for _ in range(turns)]
            note = f"the same with Gradio's player, worst {max(times):.2f}"
            yield Row("gradio_player.first_sound_heard_s", statistics.median(times), None, note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where a bound is missed."""
    parser = flags_parser(__doc__)
    parser.add_argument("--model", default="nano", help="nano, a folder, or a name on the Hub")
    parser.add_argument("--turns", type=int, default=5, help="counted turns for each player")
    flags = parser.parse_args(arguments)
    about = about_machine()
    rows = list(measure(flags.model, flags.turns))
    return report(rows, about, command_of("benchmarks.heard", arguments), flags.json)


if __name__ == "__main__":
    sys.exit(main())
