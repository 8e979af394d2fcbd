"""Pages in a real browser, at a width, light and dark: nothing is cut off, all can be read, a keyboard reaches all, and
nothing is forbidden by their policy."""

import math
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.browser import Page, a_page
from tests.integration.console.conftest import Console

PICTURES = os.environ.get("POSTRAY_TEST_PICTURES")
"""A folder in which pictures of the pages are left, for one who wants to look at them."""
WIDTHS = (360, 1200, 2000)
MOST_STOPS = 400
"""Of the key Tab on one page."""
NOTHING: Mapping[str, str] = MappingProxyType({})

HARD_TO_READ = """
(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const found = channels(getComputedStyle(element).backgroundColor)
      if (found.length < 4 || found[3] > 0) return found
    }
    return [255, 255, 255]
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = []
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim()
    if (!text || !element.checkVisibility({visibilityProperty: true}) || !element.getClientRects().length) continue
    if (element.closest("title, option, script")) continue
    const style = getComputedStyle(element), ink = element.namespaceURI.endsWith("svg") ? style.fill : style.color
    const [one, other] = [light(channels(ink)), light(behind(element))]
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700)
    if (contrast < (isLarge ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`)
  }
  return found
})()
"""
"""The texts whose contrast is less than WCAG's AA."""
CUT_OFF = """
[...document.querySelectorAll("main *, header *")].filter((one) => {
  const style = getComputedStyle(one), box = one.getBoundingClientRect()
  if (!box.width || one.closest("svg, thead, .skip, .hidden")) return false
  if (box.right > document.documentElement.clientWidth + 0.5 && !one.closest(".numbers")) return true
  return style.overflowX !== "visible" && style.overflowX !== "auto" && one.scrollWidth > one.clientWidth + 1
    && !["INPUT", "SELECT", "TEXTAREA"].includes(one.tagName)
}).map((one) => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 40)}`)
"""
"""What is wider than its place, or than the window."""
IN_ONE_ROW = """
[...document.querySelectorAll("nav a")].every(
  (one) => document.querySelector("header").offsetHeight < 2 * one.offsetHeight
)
"""
"""Whether the header with its menu has one row."""
SQUEEZED = """
[...document.querySelectorAll("table.stack td > span")].filter((one) => {
  const box = one.getBoundingClientRect()
  return box.width > 0 && box.width < 70 && box.height > 5 * parseFloat(getComputedStyle(one).lineHeight)
}).map((one) => one.textContent.trim().slice(0, 40))
"""
"""What is in a column so narrow that it has a few letters in each line."""
REACHABLE = """
[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, [tabindex='0']")]
  .filter((one) => one.checkVisibility() && !one.disabled).length
"""
FOCUSED = """
(() => {
  const one = document.activeElement
  if (!one || one === document.body) return null
  window.stops ??= new Map()
  if (!stops.has(one)) stops.set(one, stops.size)
  const style = getComputedStyle(one), box = one.getBoundingClientRect()
  const isShown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
  return {number: stops.get(one), isShown: isShown && box.width > 0 && box.left >= 0,
    what: `${one.tagName} ${one.name ?? ""} ${one.textContent.trim().slice(0, 40)}`}
})()
"""


def forbidden(page: Page) -> list[str]:
    """What the pages' own policy has forbidden them: a script or a style that is not a file of the console."""
    return [said for said in page.complaints if "Content Security Policy" in said]


def past_hour(make: Callable[..., Any]) -> list[Any]:
    """Samples of the past hour with a gap, as the flight recorder has them by the minute."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    return [
        make(minute - timedelta(minutes=i), accepted_per_s=40 + 30 * math.sin(i / 5))
        for i in range(55)
        if not 20 < i < 26
    ]


async def look(
    console: Console, tmp_path: Path, width: int, pages: dict[str, str], presses: Mapping[str, str] = NOTHING
) -> list[str]:
    """The texts of pages, by the names of their pictures, each with its path. ``presses``: the button that leads from
    one of them to another page, which is looked at too and has the text. The login is looked at with each."""
    texts = []
    async with a_page(tmp_path / f"profile-{width}", width) as page:
        await page.go(f"{console.postray.server.console_url}/login")
        await inspect(page, "login", width)
        await page.write("token", console.token)
        await page.press("Log in")
        for name, path in pages.items():
            await page.go(f"{console.postray.server.console_url}{path}")
            await inspect(page, name, width)
            if width == WIDTHS[0]:
                await walk(page, path)
            if (button := presses.get(name)) is not None:
                await page.press(button)
                await inspect(page, f"{name}-pressed", width)
            texts.append(await page.text())
        expected = [said for said in page.complaints if "failure" in pages and "status of 4" in said]
        assert [said for said in page.complaints if said not in expected] == []
    return texts


async def inspect(page: Page, name: str, width: int) -> None:
    """What is shown is whole and can be read, light and dark."""
    for scheme in ("light", "dark"):
        await page.dark(scheme)
        if PICTURES:
            await page.picture(Path(PICTURES) / f"{name}-{width}-{scheme}.png")
        assert await page.json(HARD_TO_READ) == [], (name, scheme)
    _, content = await page.width()
    assert content <= width, f"{name} is {content} px wide at {width}"  # a phone's window grows with what is in it
    assert await page.json(CUT_OFF) == [], name
    assert await page.json(SQUEEZED) == [], name
    assert width < WIDTHS[1] or await page.json(IN_ONE_ROW), name


async def walk(page: Page, path: str) -> None:
    """The key Tab leads to everything that can be pressed or filled in, and shows where one is."""
    reachable = await page.json(REACHABLE)
    assert 0 < reachable < MOST_STOPS
    for seen in range(reachable):
        await page.tab()
        stop = await page.json(FOCUSED)
        assert stop is not None, f"{path}: of {reachable} places only {seen} are reached"
        assert stop["isShown"], f"{path}: {stop['what']} does not show that it has the focus"
        assert stop["number"] == seen, f"{path}: {stop['what']} twice"
