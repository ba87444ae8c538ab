"""Firefox and WebKit as a system's packages bring them, behind one small set of commands.

Knows: how each is driven. Does not know: the page.

Playwright drives builds of its own, which no package of a system has. Firefox speaks WebDriver BiDi
by itself (puppeteer-core, in firefox.mjs); WebKit is GTK's, with its own WebDriver (selenium), on a
screen that Xvfb pretends. Neither starts an audio context where there is no loudspeaker: PulseAudio
pretends one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from tests.support.root import ROOT

WIDTH, HEIGHT = 1366, 650  # pixels: a small laptop
WEBKIT = "*/webkit2gtk-4*/MiniBrowser"  # in /usr/lib
# What a page without a console's listener may have said: kept in the page itself.
KEEP_ERRORS = """
  window.seenErrors = [];
  addEventListener("error", (event) => seenErrors.push(event.message));
  addEventListener("unhandledrejection", (event) => seenErrors.push(String(event.reason)));
  const error = console.error;
  console.error = (...said) => { seenErrors.push(said.join(" ")); error(...said); };
"""


class Browser(Protocol):
    """One window with one page."""

    def open(self, address: str) -> None: ...
    def type(self, selector: str, text: str) -> None: ...
    def click(self, selector: str) -> None: ...
    def run(self, code: str) -> Any: ...  # a function's body; what it returns
    def picture(self, path: Path) -> None: ...
    def errors(self) -> list[str]: ...  # what went to the console as an error
    def close(self) -> None: ...


class Loudspeaker:
    """A sound server whose sound goes nowhere, in real time; ``environment`` leads to it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        socket = f"{self._folder.name}/socket"
        modules = ("module-null-sink", f"module-native-protocol-unix socket={socket}")
        self.environment = {"PULSE_SERVER": f"unix:{socket}", "PULSE_COOKIE": "/dev/null"}
        own = {"HOME": self._folder.name, "XDG_RUNTIME_DIR": self._folder.name}
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "--exit-idle-time=-1", *(f"--load={name}" for name in modules)],
            env={**os.environ, **own},
            stderr=subprocess.DEVNULL,
        )
        while not Path(socket).exists() and self._server.poll() is None:
            time.sleep(0.05)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(30)
        self._folder.cleanup()


class Firefox:
    """The system's Firefox."""

    def __init__(self, program: str) -> None:
        command = ["node", "tests/browser/firefox.mjs", program, str(WIDTH), str(HEIGHT)]
        pipe = subprocess.PIPE
        self._loudspeaker = Loudspeaker()
        self._node = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            text=True,
            env={**os.environ, **self._loudspeaker.environment},
        )

    def _do(self, *command: str) -> Any:
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.write(json.dumps(command) + "\n")
        self._node.stdin.flush()
        answer = json.loads(self._node.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def open(self, address: str) -> None:
        self._do("open", address)

    def type(self, selector: str, text: str) -> None:
        self._do("type", selector, text)

    def click(self, selector: str) -> None:
        self._do("click", selector)

    def run(self, code: str) -> Any:
        return self._do("run", code)

    def picture(self, path: Path) -> None:
        self._do("picture", str(path))

    def errors(self) -> list[str]:
        return [str(said) for said in self._do("errors")]

    def close(self) -> None:
        assert self._node.stdin
        self._node.stdin.close()
        self._node.wait(30)
        self._loudspeaker.close()


class WebKit:
    """GTK's WebKit: the engine of Safari, with GStreamer for sound."""

    def __init__(self, program: str, driver: str) -> None:
        from selenium.webdriver import WebKitGTK
        from selenium.webdriver.webkitgtk.options import Options
        from selenium.webdriver.webkitgtk.service import Service

        self._loudspeaker = Loudspeaker()
        self._screen = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "1920x1080x24"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._screen.stdout
        display = f":{self._screen.stdout.readline().strip()}"
        options = Options()
        options.binary_location = program
        for switch in ("--automation", "--enable-mock-capture-devices=true"):
            options.add_argument(switch)
        environment = {**os.environ, **self._loudspeaker.environment, "DISPLAY": display}
        service = Service(driver, env=environment)
        self._driver = WebKitGTK(options=options, service=service)
        self._driver.set_window_size(WIDTH, HEIGHT)

    def _found(self, selector: str) -> Any:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.expected_conditions import element_to_be_clickable
        from selenium.webdriver.support.wait import WebDriverWait

        condition = element_to_be_clickable((By.CSS_SELECTOR, selector))
        return WebDriverWait(self._driver, 30).until(condition)

    def open(self, address: str) -> None:
        self._driver.get(address)
        self.run(KEEP_ERRORS)

    def type(self, selector: str, text: str) -> None:
        self._found(selector).send_keys(text)

    def click(self, selector: str) -> None:
        self._found(selector).click()

    def run(self, code: str) -> Any:
        return self._driver.execute_script(code)

    def picture(self, path: Path) -> None:
        self._driver.save_screenshot(str(path))

    def errors(self) -> list[str]:
        return [str(said) for said in self.run("return seenErrors")]

    def close(self) -> None:
        self._driver.quit()
        self._screen.terminate()
        self._screen.wait(30)
        self._loudspeaker.close()


def launch(name: str) -> Browser | None:
    """The browser of a name, ``firefox`` or ``webkit``; None: this machine has none."""
    if not shutil.which("pulseaudio"):
        return None
    if name == "firefox":
        program = shutil.which("firefox-esr") or shutil.which("firefox")
        driven = shutil.which("node") and (ROOT / "node_modules/puppeteer-core").is_dir()
        return Firefox(program) if program and driven else None
    programs, driver = [*Path("/usr/lib").glob(WEBKIT)], shutil.which("WebKitWebDriver")
    ready = programs and driver and shutil.which("Xvfb")
    return WebKit(str(programs[0]), str(driver)) if ready else None


def until(browser: Browser, condition: str, seconds: float = 60) -> None:
    """Wait for an expression of the page to be true.

    Raises:
        AssertionError: it did not become true.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if browser.run(f"return Boolean({condition});"):
            return
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {condition}")
