"""A real Chromium, headless, spoken to in its own protocol (CDP) over one WebSocket."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns", "--remote-debugging-port=0",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--disable-renderer-backgrounding", "--disable-background-timer-throttling",
    "--disable-dev-shm-usage",
)  # fmt: skip
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37}
PATIENCE = 20.0  # s for anything the browser is asked
LISTENS = re.compile(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/")
UNTIL = """new Promise((done, failed) => {
  const look = () => (%s);
  const clock = setInterval(() => {
    try { const found = look(); if (found) { clearInterval(clock); done(found); } }
    catch (error) { clearInterval(clock); failed(error); }
  }, 10);
})"""


def chromium() -> str:
    """Where Chromium is; skips the test, loudly, where it is not."""
    for name in NAMES:
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("no Chromium here (Debian: apt-get install chromium): the page is not tested")


class Browser:
    """One page in a browser of its own. `errors`: what the page wrote to its console as errors."""

    def __init__(self, folder: Path, *switches: str) -> None:
        self.errors: list[str] = []
        self._folder = folder / "browser"
        self._downloads: list[str] = []  # states: inProgress, completed, canceled
        self._process = subprocess.Popen(
            [chromium(), *SWITCHES, *switches, f"--user-data-dir={self._folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._open = ExitStack()
        try:
            self._socket = self._open.enter_context(connect(self._page(), max_size=None))
        except BaseException:
            self.kill()
            raise
        self._asked = 0
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def _page(self) -> str:
        with urlopen(f"http://127.0.0.1:{self._port()}/json/list") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        return str(pages[0]["webSocketDebuggerUrl"])

    def _port(self) -> str:
        """Where it listens, as it says itself; whatever else it says nobody reads."""
        said = self._process.stderr
        assert said is not None
        found = next(filter(None, map(LISTENS.search, said)), None)
        assert found is not None, "Chromium ended before it listened"
        threading.Thread(target=deque, args=(said, 0), daemon=True).start()
        return found[1]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        answer = self._answer(method, PATIENCE, **parameters)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def _answer(self, method: str, seconds: float, **parameters: Any) -> dict[str, Any]:
        """The answer to a command, be it an error. Raises TimeoutError."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        until = time.monotonic() + seconds
        while True:
            message = self._next(until)
            if message.get("id") == self._asked:
                return message

    def _next(self, until: float) -> dict[str, Any]:
        message = json.loads(self._socket.recv(timeout=max(0.1, until - time.monotonic())))
        self._note(message)
        return dict(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            self.errors.append(text)
        if message.get("method") == "Log.entryAdded":
            entry = message["params"]["entry"]
            if entry["level"] == "error":
                self.errors.append(f"{entry['text']} {entry.get('url', '')}")
        if message.get("method") == "Browser.downloadProgress":
            self._downloads.append(message["params"]["state"])

    def prepare(self, script: str) -> None:
        """Run this before any script of the pages that are opened from now on."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 15.0) -> Any:
        """Wait until an expression is true: the page itself looks, and looks anew when it has
        become another page meanwhile. The expression's value."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                answer = self._answer(
                    "Runtime.evaluate", left, expression=UNTIL % script,
                    awaitPromise=True, returnByValue=True, userGesture=True,
                )  # fmt: skip
            except TimeoutError:
                break
            if "error" in answer:  # its world is gone: the page went elsewhere
                continue
            assert "exceptionDetails" not in answer["result"], answer["result"]
            return answer["result"]["result"].get("value")
        raise AssertionError(f"not within {seconds} s: {script}")

    def keep_downloads(self, folder: Path) -> None:
        """Let the page save files there."""
        self.call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder),
            eventsEnabled=True,
        )  # fmt: skip

    def downloaded(self, seconds: float = 10.0) -> None:
        """Wait until a file is saved."""
        until = time.monotonic() + seconds
        while "completed" not in self._downloads:
            self._next(until)

    def click(self, selector: str) -> None:
        """Press what `selector` finds, as a finger does: a user's gesture."""
        place = self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView("
            "{block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left",
                clickCount=1,
            )  # fmt: skip

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key of the keyboard: one of KEYS, a letter or a digit."""
        code, number = key, KEYS.get(key) or ord(key.upper())
        if len(key) == 1:
            code = f"Digit{key}" if key.isdigit() else f"Key{key.upper()}"
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code,
                windowsVirtualKeyCode=number, modifiers=8 * shift, **text,
            )  # fmt: skip

    def choose(self, selector: str, path: Path) -> None:
        """Give a file to an `<input type=file>`, as if it had been picked."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """The size of the window and the colour scheme that the user likes."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, mobile=phone,
            deviceScaleFactor=2 if phone else 1,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def shoot(self, path: Path, *, transparent: bool = False) -> None:
        """A screenshot as PNG; what the page leaves unpainted is white, or stays transparent."""
        colour = {"color": {"r": 0, "g": 0, "b": 0, "a": 0}} if transparent else {}
        self.call("Emulation.setDefaultBackgroundColorOverride", **colour)
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Die without a word, as a crash does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        with suppress(WebSocketException, OSError):  # it may have died, or hang: then it is killed
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._open.close()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(ready: Callable[[], Any], seconds: float, what: str = "") -> Any:
    """Ask until the answer is true: for what has no event of its own to wait on."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := ready():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")
