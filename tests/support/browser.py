"""A page in headless Chromium: what it asks of the network, says on the console, looks like, and axe-core's opinion."""

import base64
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

DESKTOP, PHONE = (1280, 900), (390, 844)


def axe_core() -> Path:
    """The file axe.min.js of axe-core, which the package axe-core-python holds; without it the test is skipped."""
    found = importlib.util.find_spec("axe_core_python")
    if not found or not found.origin:
        pytest.skip("axe-core-python is not installed; it is one of the development dependencies")
    return Path(found.origin).with_name("axe.min.js")


class Page:
    """A page that was opened at some size."""

    def __init__(self, socket: Any) -> None:
        self.requests: list[str] = []
        """Every address asked for, the page's own among them."""
        self.messages: list[str] = []
        """Console messages, errors and warnings of the browser."""
        self._socket = socket
        self._count = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the Chrome DevTools protocol, and its answer."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while (message := self._receive()).get("id") != self._count:
            pass
        assert "error" not in message, message
        return message["result"]

    def open(self, address: str, size: tuple[int, int], **features: str) -> None:
        """Go to an address and wait until it is loaded.

        Args:
            address: of the page.
            size: of the screen, width and height in CSS pixels.
            **features: media features by name, with _ for -.
        """
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=wanted)
        mobile = size[0] < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=mobile
        )
        self.call("Page.navigate", url=address)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def violations(self, axe: Path) -> list[str]:
        """What axe-core holds against the page: impact, rule, and the element.

        Args:
            axe: the file axe.min.js.
        """
        self.run(axe.read_text(encoding="utf-8") + "; 0")
        found = self.run("axe.run().then(found => JSON.stringify(found.violations))")
        return [
            f"{rule['impact']} {rule['id']}: {node['html'][:200]} {node['failureSummary']}"
            for rule in json.loads(found)
            for node in rule["nodes"]
        ]

    def photograph(self, file: Path, top: int = 0, height: int | None = None) -> None:
        """A PNG of the whole page, or of a part of it."""
        box = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": box["width"], "height": height or box["height"] - top, "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv())
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif message.get("method") == "Log.entryAdded":
            self.messages.append(parameters["entry"]["text"])
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.messages.append(str(parameters["args"]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.messages.append(str(parameters["exceptionDetails"]))
        return message


@contextmanager
def browser(profile: Path) -> Generator[Page]:
    """Chromium with an empty page.

    Args:
        profile: an empty folder for its own files.
    """
    assert CHROMIUM
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0",
        "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync", "--disable-component-update",
        f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            found = next(filter(None, (re.search(r"ws://([^/]+)/", line) for line in process.stderr)))
            with _page_socket(found[1]) as socket:
                page = Page(socket)
                for domain in ("Page", "Network", "Log", "Runtime"):
                    page.call(f"{domain}.enable")
                yield page
        finally:
            process.terminate()


@contextmanager
def _page_socket(host: str) -> Generator[Any]:
    with urlopen(f"http://{host}/json/list") as answer:
        target = next(entry for entry in json.load(answer) if entry["type"] == "page")
    socket = websocket.create_connection(target["webSocketDebuggerUrl"], timeout=120, suppress_origin=True)
    try:
        yield socket
    finally:
        socket.close()
