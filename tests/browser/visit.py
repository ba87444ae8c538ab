"""A visitor of the page in a real browser: what they do, see and hear.

Sound is heard, not assumed: the stream of the playing element goes through an analyser.
"""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import BrowserContext, Locator, Page, TimeoutError, expect

from omni.events import SPEECH_RATE

HELD = '[data-testid="waveform-controls"], .thumbnail-item, .preview'  # as in scripts/gradio.js
OPEN = re.compile(r"\bopen\b")
UNTIL_S = 20.0  # for what a page does by itself
TURN_MS = 120_000  # an answer of the real model on a slow machine
LISTEN = """
window.heard = {};  // by player: peak, clock readings, when it first sounded, when it last did
window.growth = [];  // lengths of the last answer's text
window.pieces = [];  // of the last answer's voice: {start (s, of the audio clock), samples}
const Context = window.AudioContext;
const listen = (analyser, id, clock) => {
  const samples = new Float32Array(analyser.fftSize);
  setInterval(() => {
    if (!id()) return;
    const log = (window.heard[id()] ??= {peak: 0, clock: [], first: null, last: null});
    const now = clock();
    if (log.clock.at(-1) === now) return;  // it stands still, and the analyser shows the past
    log.clock.push(now);
    analyser.getFloatTimeDomainData(samples);
    const peak = Math.max(...samples.map(Math.abs));
    log.peak = Math.max(log.peak, peak);
    if (peak > 0.005) {
      log.first ??= performance.now();
      log.last = performance.now();
    }
  }, 25);
};
// Gradio's player
document.addEventListener("playing", (event) => {
  const player = event.target.closest?.(".speech-player");
  if (!player || event.target.tapped === event.target.src) return;
  event.target.tapped = event.target.src;  // every answer is a source of its own
  const context = new Context();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(event.target.captureStream()).connect(analyser);
  listen(analyser, () => player.id, () => event.target.currentTime);
}, true);
// The page's own player: what goes to the loudspeaker goes here too.
const connect = AudioNode.prototype.connect;
const start = AudioBufferSourceNode.prototype.start;
AudioNode.prototype.connect = function (target, ...rest) {
  const speaks = this instanceof GainNode || this instanceof AudioBufferSourceNode;
  if (speaks && target instanceof AudioDestinationNode) {
    const { context } = this;
    if (!context.ear) {
      context.ear = context.createAnalyser();
      let id = null;
      const tab = () => {
        const line = document.querySelector('.voice-line[data-state="playing"]');
        return (id = line?.id.replace("-voice", "-player") ?? id);
      };
      const first = () => window.pieces[0]?.start ?? context.currentTime;
      listen(context.ear, tab, () => context.currentTime - first());
    }
    connect.call(this, context.ear);
  }
  return connect.call(this, target, ...rest);
};
AudioBufferSourceNode.prototype.start = function (when, ...rest) {
  window.pieces.push({ start: when, samples: Array.from(this.buffer.getChannelData(0)) });
  return start.call(this, when, ...rest);
};
document.addEventListener("click", (event) => {
  if (event.target.closest?.('[id$="-send"]')) window.sent = performance.now();
  if (event.target.closest?.('[id$="-stop"]')) window.stopped = performance.now();
}, true);
new MutationObserver(() => {
  const answers = document.querySelectorAll('[data-testid="bot"] .message-content');
  const length = answers.length ? answers[answers.length - 1].innerText.length : 0;
  if (length && window.growth.at(-1) !== length) window.growth.push(length);
}).observe(document, {subtree: true, childList: true, characterData: true});
"""

# Some player of a bubble has played (also a short sound).
PLAYED = """() => [...document.querySelectorAll('*')].flatMap(
    (e) => [e, ...(e.shadowRoot?.querySelectorAll('audio') ?? [])])
    .some((e) => e.tagName === 'AUDIO' && !e.closest('.speech-player') && e.currentTime > 0.2)"""
PLAY_TRIES = 15

# Answers of the server that come late, each by its own time; the last time goes for all others.
LATE = """(times) => {
  const fetched = window.fetch;
  window.fetch = async (...request) => {
    const answer = await fetched(...request);
    if (/run\\/predict|queue\\/join/.test(String(request[0]?.url ?? request[0]))) {
      const late = times.length > 1 ? times.shift() : times[0];
      await new Promise((done) => setTimeout(done, late));
    }
    return answer;
  };
}"""


def until(page: Page, code: str, value: object) -> None:
    """Wait until ``code`` has a value; what waits for a function takes a promise for true."""
    deadline = time.monotonic() + UNTIL_S
    while (found := page.evaluate(code)) != value:
        assert time.monotonic() < deadline, f"{found} is not {value}: {code}"
        page.wait_for_timeout(100)


@dataclass(frozen=True)
class Heard:
    """What came out of a tab's player. Times in seconds from the click on Send."""

    peak: float  # of full scale
    clock: list[float]  # readings of the element's clock
    first_s: float | None
    last_s: float | None


@dataclass
class Visit:
    """One page of one browser context, on one tab."""

    page: Page
    address: str
    tab: str = "audio"
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @classmethod
    def begin(
        cls, context: BrowserContext, address: str, tab: str = "audio", script: str = ""
    ) -> Visit:
        """Open the page and wait until it can be used. ``script`` runs before the page's own."""
        page = context.new_page()
        visit = cls(page, address)
        page.add_init_script(LISTEN + script)
        page.on("console", visit._console)
        page.on("pageerror", visit._page_error)
        page.on("request", visit._request)
        page.goto(address)
        expect(page.locator("#audio-send")).to_be_enabled(timeout=60_000)
        page.wait_for_function("document.querySelector('#model-status').innerText.trim() != ''")
        visit.go(tab)
        return visit

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location}")

    def _page_error(self, error: Any) -> None:
        self.complaints.append(f"page error: {error}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(request.url)

    def part(self, name: str) -> Locator:
        """An element of the current tab by the end of its id."""
        return self.page.locator(f"#{self.tab}-{name}")

    def go(self, tab: str) -> None:
        """Turn to a tab."""
        self.tab = tab
        self.page.locator(f"#{tab}-tab-button").click()
        expect(self.part("text")).to_be_visible()

    def conversations(self) -> Locator:
        """The sidebar of the conversations, opened."""
        bar = self.side("conversations")
        expect(bar.locator("#conversations-list")).to_be_visible()
        return bar

    def settings(self) -> Locator:
        """The sidebar of voice and parameters, opened."""
        return self.side("settings")

    def side(self, name: str) -> Locator:
        """One of the sidebars, opened."""
        bar = self.page.locator(f"#{name}")
        if "open" not in (bar.get_attribute("class") or "").split():
            bar.locator(".toggle-button").click()
        expect(bar).to_have_class(OPEN)
        return bar

    def menu(self) -> Locator:
        """The composer's menu of tasks and examples, opened."""
        menu = self.part("menu")
        if not menu.is_visible():
            self.part("more").click()
        expect(menu).to_be_visible()
        return menu

    def choose(self, name: str) -> None:
        """Click a task or an example of the composer's menu."""
        self.menu()
        self.part(name).click()

    def model(self) -> Locator:
        """The model card, opened by its chip if it is not."""
        card = self.page.locator("#model-card")
        if not card.is_visible():
            self.page.locator("#model-open").click()
            expect(card).to_be_visible()
        return card

    def give(self, name: str, *files: Path) -> None:
        """Add files with the composer's button; they arrive in the input of that name."""
        with self.page.expect_file_chooser() as chooser:
            self.part("attach").click()
        with self.page.expect_response(re.compile("/upload")) as answer:
            chooser.value.set_files([str(file) for file in files])
        assert answer.value.ok
        expect(self.part(name).locator(HELD)).not_to_have_count(0)

    def ask(self, text: str = "") -> None:
        """Type and send."""
        if text:
            self.part("text").locator("textarea").fill(text)
        self.page.evaluate("window.growth.length = window.pieces.length = 0")
        self.part("send").click()

    def late(self, *times: int) -> None:
        """Let the server's next answers come late, each by its milliseconds; the last repeats."""
        self.page.evaluate(LATE, list(times))

    def finish(self) -> None:
        """Wait for the end of the running turn."""
        expect(self.part("stop")).to_be_disabled(timeout=TURN_MS)
        expect(self.part("send")).to_be_enabled(timeout=TURN_MS)

    def answered(self, count: int) -> None:
        """Wait until the chat has ``count`` answers and nothing runs."""
        # A row that waits for its first words stands there before the turn has begun.
        begun = self.bubbles("bot").filter(has=self.page.get_by_test_id("bot"))
        expect(begun).to_have_count(count, timeout=TURN_MS)
        self.finish()

    def bubbles(self, who: str) -> Locator:
        """The bubbles of "user" or "bot"."""
        return self.part("chat").locator(f".{who}-row")

    def text(self) -> str:
        """Everything that the chat says."""
        return self.part("chat").inner_text()

    def growth(self) -> list[int]:
        """Lengths that the last answer's text had on its way."""
        return self.page.evaluate("window.growth")

    def heard(self) -> Heard | None:
        """What the tab's player played; None: nothing."""
        log = self.page.evaluate(f"window.heard['{self.tab}-player'] ?? null")
        if log is None:
            return None
        sent = self.page.evaluate("window.sent ?? 0")
        times = [None if log[at] is None else (log[at] - sent) / 1000 for at in ("first", "last")]
        return Heard(log["peak"], log["clock"], *times)

    def wait_for_sound(self, seconds: float = 60) -> Heard:
        """Until something was really heard."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            heard = self.heard()
            if heard is not None and heard.first_s is not None:
                return heard
            self.page.wait_for_timeout(50)
        raise AssertionError(f"no sound within {seconds} s: {self.heard()}")

    def wait_for_silence(self, seconds: float = 60, pause: float = 1.0) -> Heard:
        """Until something was heard, and then nothing for ``pause`` seconds."""
        self.wait_for_sound(seconds)
        self.page.wait_for_function(
            f"performance.now() - window.heard['{self.tab}-player'].last > {1000 * pause}",
            timeout=1000 * seconds,
        )
        heard = self.heard()
        assert heard is not None
        return heard

    def sounded_after_stop(self) -> float:
        """Seconds from the click on Stop to the last sound."""
        return self.page.evaluate(
            f"((window.heard['{self.tab}-player']?.last ?? 0) - window.stopped) / 1000"
        )

    def voice(self) -> np.ndarray:
        """The last answer as it went to the loudspeaker: float32 (samples,), holes as zeros."""
        pieces = self.page.evaluate("window.pieces")
        zero = pieces[0]["start"]
        places = [round((piece["start"] - zero) * SPEECH_RATE) for piece in pieces]
        whole = np.zeros(places[-1] + len(pieces[-1]["samples"]), np.float32)
        for place, piece in zip(places, pieces, strict=True):
            whole[place : place + len(piece["samples"])] += piece["samples"]
        return whole

    def gradio_stream(self) -> np.ndarray:
        """The same, as Gradio's player got it."""
        playlists = self.page.evaluate(
            """() => performance.getEntriesByType('resource').map((entry) => entry.name)
                .filter((name) => name.endsWith('playlist.m3u8'))"""
        )
        playlist = ""
        for _ in range(100):  # the stream ends right after the last words
            playlist = self.page.request.get(playlists[-1]).text()
            if "#EXT-X-ENDLIST" in playlist:
                break
            self.page.wait_for_timeout(100)
        assert "#EXT-X-ENDLIST" in playlist
        pieces = [line for line in playlist.splitlines() if line and not line.startswith("#")]
        place = playlists[-1].rsplit("/", 1)[0]
        data = b"".join(self.page.request.get(f"{place}/{piece}").body() for piece in pieces)
        with av.open(io.BytesIO(data), format="aac") as container:
            frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        return np.concatenate(frames).astype(np.float32)

    def play_answer(self) -> None:
        """Press play in the last answer's bubble, until its clock goes on."""
        play = self.bubbles("bot").last.get_by_role("button", name=re.compile("Play|播放"))
        for _ in range(PLAY_TRIES):  # a player that has not read its sound yet does nothing
            play.click()
            try:
                self.page.wait_for_function(PLAYED, timeout=2000)
                return
            except TimeoutError:
                continue
        raise AssertionError("the player of the answer does not play")

    def nothing_wrong(self) -> None:
        """No complaint in the console, no request to another host."""
        assert not self.complaints, "\n".join(self.complaints)
        assert not self.foreign, "\n".join(self.foreign)
