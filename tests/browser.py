"""A real browser for tests, where Chromium is installed: pages are loaded, looked at and pressed on.

It is driven over pipes by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol): JSON, each
message ended by a NUL.
"""

import asyncio
import base64
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")

ANSWER_S = 30.0
LONGEST_MESSAGE = 1 << 24
NARROW = 600
"""Pixels: narrower windows are those of phones, which are touched."""
BUTTONS = """
JSON.stringify([...document.querySelectorAll("button")].map((button) => {
  button.scrollIntoView({block: "center", behavior: "instant"})
  const box = button.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2
  return {name: button.ariaLabel ?? button.textContent, width: box.width, height: box.height,
    in_front: button.contains(document.elementFromPoint(x, y))}
}))
"""
PLACE = """
(() => {
  const button = [...document.querySelectorAll("button")].find((one) => (one.ariaLabel ?? one.textContent) === NAME)
  button.scrollIntoView({block: "center", behavior: "instant"})
  const box = button.getBoundingClientRect()
  return JSON.stringify([box.x + box.width / 2, box.y + box.height / 2])
})()
"""


class Button(Struct, frozen=True):
    """A button of a page. ``name``: as a screen reader says it. In pixels."""

    name: str
    width: float
    height: float
    in_front: bool
    """Nothing covers its middle."""


class Page:
    """The one page of a browser."""

    def __init__(self, reader: asyncio.StreamReader, write_to: int, width: int) -> None:
        self._reader = reader
        self._write_to = write_to
        self._width = width
        self._session: str | None = None
        self._numbers = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        """What the browser has logged: what a policy forbids, what could not be loaded, errors of scripts."""

    async def open(self) -> None:
        """Make the page."""
        target = await self._call("Target.createTarget", url="about:blank")
        attached = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        is_phone = self._width < NARROW
        await self._call("Page.enable")
        await self._call("Log.enable")
        await self._call("Runtime.enable")
        await self._call(
            "Emulation.setDeviceMetricsOverride", width=self._width, height=740, deviceScaleFactor=1, mobile=is_phone
        )
        await self._call("Emulation.setTouchEmulationEnabled", enabled=is_phone)

    async def go(self, url: str) -> None:
        """Load a page."""
        self._loaded.clear()
        await self._call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def picture(self, file: Path) -> None:
        """Keep the whole page as a PNG."""
        answer = await self._call("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["data"]))

    async def dark(self, scheme: str = "dark") -> None:
        """Show pages as to a reader who prefers dark ones; or light ones, with ``scheme`` "light"."""
        await self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def tab(self) -> None:
        """Press the key that leads to the next field, link or button."""
        for kind in ("keyDown", "keyUp"):
            await self._call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    async def json(self, expression: str) -> Any:
        """What an expression gives."""
        return json.loads(await self._value(f"JSON.stringify({expression})"))

    async def write(self, field: str, text: str) -> None:
        """Write into a field, by its name, as with a keyboard."""
        await self._value(f"document.getElementsByName({json.dumps(field)})[0].focus()")
        await self._call("Input.insertText", text=text)

    async def run(self, statement: str) -> None:
        """Run a statement in the page."""
        await self._value(f"void ({statement})")

    async def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(ANSWER_S):
            while not await self._value(f"Boolean({condition})"):
                await asyncio.sleep(0.05)

    async def text(self) -> str:
        """What the page says."""
        return str(await self._value("document.body.innerText"))

    async def buttons(self) -> list[Button]:
        """Its buttons, in their order."""
        return [Button(**one) for one in json.loads(await self._value(BUTTONS))]

    async def width(self) -> tuple[int, int]:
        """Of the window, and of what is in it, in pixels."""
        sizes = await self._value("JSON.stringify([innerWidth, document.documentElement.scrollWidth])")
        window, content = json.loads(sizes)
        return window, content

    async def press(self, name: str) -> None:
        """Press a button by finger or by mouse, as the window's width suggests, and wait for the page that follows."""
        x, y = json.loads(await self._value(PLACE.replace("NAME", json.dumps(name))))
        self._loaded.clear()
        if self._width < NARROW:
            await self._call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            await self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            for kind in ("mousePressed", "mouseReleased"):
                await self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def _value(self, expression: str) -> Any:
        answer = await self._call("Runtime.evaluate", expression=expression)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")  # what has none is undefined

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._numbers += 1
        told: dict[str, Any] = {"id": self._numbers, "method": method, "params": parameters}
        if self._session is not None:
            told["sessionId"] = self._session
        answer = self._answers[self._numbers] = asyncio.get_running_loop().create_future()
        os.write(self._write_to, json.dumps(told).encode() + b"\0")
        return await asyncio.wait_for(answer, ANSWER_S)

    async def listen(self) -> None:
        """Take what the browser says, until it ends."""
        while True:
            try:
                told = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                return
            if told.get("method") == "Page.loadEventFired":
                self._loaded.set()
            if told.get("method") == "Log.entryAdded":
                self.complaints.append(told["params"]["entry"]["text"])
            if told.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(told["params"]["exceptionDetails"]["text"])
            if told.get("method") == "Runtime.consoleAPICalled" and told["params"]["type"] == "error":
                self.complaints.append(str(told["params"]["args"]))
            if (waiting := self._answers.pop(told.get("id"), None)) is None:
                continue
            if "error" in told:
                waiting.set_exception(AssertionError(told["error"]))
            else:
                waiting.set_result(told["result"])


@contextlib.asynccontextmanager
async def a_page(profile: Path, width: int) -> AsyncIterator[Page]:
    """A page in a browser of its own, whose window has this width in pixels. ``profile``: a folder for the browser."""
    assert CHROMIUM is not None
    its_in, our_out = os.pipe()
    our_in, its_out = os.pipe()
    arguments = [*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "--no-first-run", "--lang=en-US"]
    browser = await asyncio.create_subprocess_exec(
        *("bash", "-c", f'exec "$@" 3<&{its_in} 4>&{its_out}', "bash", CHROMIUM, *arguments),
        pass_fds=(its_in, its_out),
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(its_in)
    os.close(its_out)
    reader = asyncio.StreamReader(LONGEST_MESSAGE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_in, "rb")
    )
    page = Page(reader, our_out, width)
    listening = asyncio.create_task(page.listen())
    try:
        await page.open()
        yield page
    finally:
        os.close(our_out)  # the browser ends with its pipe
        try:
            await asyncio.wait_for(browser.wait(), ANSWER_S)
        except TimeoutError:
            browser.kill()
            await browser.wait()
        await listening
        transport.close()
