"""Signals whose exception is lost in the middle of something else."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.root import ROOT

# What the interpreter does when a signal comes while a __del__ runs: the exception is printed there
# and forgotten.
LOSES_IT = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from omni.loading import ending

class Dying:
    def __del__(self):
        os.kill(os.getpid(), number)
        time.sleep(0.01)  # the handler is called here

def main():
    Dying()
    print("went on", flush=True)
    try:
        while True:
            time.sleep(ending.SIGNAL_S)
            ending.obey(7)
    except KeyboardInterrupt:
        return 130

number = signal.Signals(int(sys.argv[1]))
ending.heed(7)
sys.exit(ending.run_program(main))
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 7)])
def test_a_signal_that_was_lost_in_a_finalizer_is_heard(sent: int, code: int) -> None:
    command = [sys.executable, "-c", LOSES_IT, str(int(sent))]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert ended.returncode == code, ended.stderr
    assert "went on" in ended.stdout  # the exception itself got no further
    assert "Exception ignored in" in ended.stderr


def test_who_was_started_deaf_stays_so() -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "from omni.loading import ending; ending.heed(0);"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=30)
