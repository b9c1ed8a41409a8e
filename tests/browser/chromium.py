"""A Chromium that is told what to do through a pipe, with host names that lead here."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.browser.programs import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.browser.certificates import Certificate

PAGE_HOST: Final = "page.example"
MEDIA_HOST: Final = "media.test"  # another site, not only another host of the same
_PATIENCE: Final = 40  # seconds
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    # Two real names, and nothing else leads anywhere.
    f"--host-resolver-rules=MAP {PAGE_HOST} 127.0.0.1, MAP {MEDIA_HOST} 127.0.0.1, MAP * ~NOTFOUND",
)
# Chromium reads commands from descriptor 3 and writes answers to 4: ours are moved there first.
_LAUNCH: Final = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(ours[0], 3)
os.dup2(ours[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One tab of a running Chromium, through the DevTools protocol."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._unread, self._last_id = b"", 0
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []

    def open(self, url: str) -> None:
        """Open `url` in a tab of its own, and watch what it asks for."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self.send("Network.enable")
        # Or a play would be served from what an earlier one has left in the browser's cache.
        self.send("Network.setCacheDisabled", cacheDisabled=True)
        self.send("Page.enable")
        went = self.send("Page.navigate", url=url)
        assert "errorText" not in went, went
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read(time.monotonic() + _PATIENCE))

    def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression comes to; a promise is waited for."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the page."""
        return self.evaluate(f"{function}({', '.join(map(json.dumps, arguments))})")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its answer; keep the events that come in between."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params, **self._session}
        _write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while (answer := self._read(deadline)).get("id") != self._last_id:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], deadline - time.monotonic())
            assert ready, "Chromium does not answer"
            piece = os.read(self._answers, 1 << 16)
            assert piece, "Chromium has ended"
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def run_chromium(folder: Path, certificate: Certificate) -> Iterator[Browser]:
    """Run a Chromium that keeps its things in `folder` and takes `certificate` for a good one."""
    program, environ = chromium()
    its_commands, commands = os.pipe()
    answers, its_answers = os.pipe()
    pin = f"--ignore-certificate-errors-spki-list={certificate.pin}"
    place = f"--user-data-dir={folder}/profile"
    pipes = (str(its_commands), str(its_answers))
    launch = [sys.executable, "-c", _LAUNCH, *pipes, str(program)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [*launch, "--remote-debugging-pipe", *_FLAGS, pin, place, "about:blank"],
            env=environ | {"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(its_commands, its_answers),
        ) as process,
    ):
        try:
            os.close(its_commands)
            os.close(its_answers)
            yield Browser(commands, answers)
        finally:
            os.close(commands)  # which ends it
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            os.close(answers)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
