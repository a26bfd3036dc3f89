"""A real Chromium, driven through chromedriver by the W3C WebDriver protocol (https://www.w3.org/TR/webdriver2/).

No library between: a session is a dozen plain HTTP calls. JavaScript is off unless asked for.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key the standard gives references to elements
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
START_SECONDS = 60.0
FIND_SECONDS = 30.0


def unavailable() -> str:
    """Why there is no browser; empty when there is."""
    return "" if CHROMIUM and DRIVER else "chromium and chromedriver are not installed (Debian: chromium-driver)"


class Browser:
    """One window. `dark` is the user's preferred colour scheme; `phone` a narrow screen."""

    def __init__(self, *, javascript: bool = False, dark: bool = False, phone: bool = False) -> None:
        self._profile = tempfile.mkdtemp(prefix="wherry-browser-")
        if CHROMIUM is None or DRIVER is None:
            raise RuntimeError(unavailable())
        self._driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self._profile
        )
        try:
            self._server = f"http://127.0.0.1:{self._port()}"
            options = {
                "binary": CHROMIUM,
                "args": [*FLAGS, f"--user-data-dir={self._profile}/profile"],
                "prefs": {} if javascript else {"profile.managed_default_content_settings.javascript": 2},
            }
            wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
            self._session = ""
            self._session = "/session/" + self._call("POST", "/session", {"capabilities": wanted})["sessionId"]
            media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            self._cdp("Emulation.setEmulatedMedia", features=media)
            width, height = (390, 844) if phone else (1200, 900)
            self._cdp(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
            )
        except BaseException:
            self.close()
            raise

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    @property
    def url(self) -> str:
        return str(self._call("GET", "/url"))

    @property
    def title(self) -> str:
        return str(self._call("GET", "/title"))

    def texts(self, css: str) -> list[str]:
        """What can be read in every element that matches now."""

        def read() -> list[str]:
            found = self._call("POST", "/elements", {"using": "css selector", "value": css})
            return [str(self._call("GET", f"/element/{each[ELEMENT]}/text")) for each in found]

        texts: list[str] = self._again(read)  # the page may load again in between
        return texts

    def text(self, css: str) -> str:
        return str(self._again(lambda: self._call("GET", f"/element/{self._find(css)}/text")))

    def click(self, css: str) -> None:
        """Waits for the page this leads to."""
        self._again(lambda: self._call("POST", f"/element/{self._find(css)}/click", {}))

    def fill(self, css: str, text: str) -> None:
        element = self._find(css)
        self._call("POST", f"/element/{element}/clear", {})
        self._call("POST", f"/element/{element}/value", {"text": text})

    def press(self, keys: str) -> None:
        """To whatever has the focus."""
        focused = self._call("GET", "/element/active")[ELEMENT]
        self._call("POST", f"/element/{focused}/value", {"text": keys})

    def focused(self) -> str:
        """What can be read in what has the focus."""
        element = self._call("GET", "/element/active")[ELEMENT]
        return str(self._call("GET", f"/element/{element}/text"))

    def width(self) -> float:
        """Of the whole page, in CSS pixels."""
        return float(self._cdp("Page.getLayoutMetrics")["cssContentSize"]["width"])

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """For a page that a click led to: without JavaScript chromedriver does not always wait for it."""

        def holds() -> None:
            if not condition():
                raise LookupError(f"{what}: {self.url} shows {self.texts('main')}")

        self._again(holds)

    def screenshot(self, file: Path) -> None:
        """The whole page, not only what fits the window."""
        content = self._cdp("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": content["width"], "height": content["height"], "scale": 1}
        image = self._cdp("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        file.write_bytes(base64.b64decode(image))

    def _find(self, css: str) -> str:
        """The first match; waits for it, since pages that follow an order load again by themselves."""
        return str(
            self._again(lambda: self._call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT])
        )

    def _again(self, action: Any) -> Any:
        end = time.monotonic() + FIND_SECONDS
        while True:
            try:
                return action()
            except LookupError:  # not there yet, or gone with the page it was on
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _cdp(self, command: str, **parameters: Any) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _call(self, method: str, path: str, body: object = None) -> Any:
        """The value. Raises LookupError for an element that is not there, AssertionError for anything else."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + self._session + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            problem = json.load(error)["value"]
            # `gone` is how chromedriver puts it when the page goes in the middle of the question.
            gone = "does not belong to the document" in problem["message"]
            if problem["error"] in ("no such element", "stale element reference") or gone:
                raise LookupError(f"{path} {body}: {problem['message']}") from None
            raise AssertionError(f"{method} {path}: {problem['error']}: {problem['message']}") from None

    def _port(self) -> int:
        assert self._driver.stdout is not None
        end = time.monotonic() + START_SECONDS
        for line in self._driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                return int(found[1])
            assert time.monotonic() < end
        raise AssertionError("chromedriver ended at once")

    def close(self) -> None:
        try:
            if getattr(self, "_session", ""):
                self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait()
            if self._driver.stdout is not None:
                self._driver.stdout.close()
            shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
