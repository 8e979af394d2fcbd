"""Pages in a real browser, at a width, light or dark: nothing is cut off, and nothing is forbidden by their policy."""

import math
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.browser import Page, a_page
from tests.integration.console.conftest import Console

PICTURES = os.environ.get("POSTRAY_TEST_PICTURES")
"""A folder in which pictures of the pages are left, for one who wants to look at them."""
WIDTHS = (360, 1200, 2000)


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


async def look(console: Console, tmp_path: Path, width: int, pages: dict[str, str], *, dark: bool = False) -> list[str]:
    """The texts of pages, by the names of their pictures, each with its path."""
    texts = []
    async with a_page(tmp_path / f"profile-{width}-{dark}", width) as page:
        if dark:
            await page.dark()
        await page.go(f"{console.postray.server.console_url}/login")
        await page.write("token", console.token)
        await page.press("Log in")
        for name, path in pages.items():
            await page.go(f"{console.postray.server.console_url}{path}")
            if PICTURES:
                await page.picture(Path(PICTURES) / f"{name}-{width}{'-dark' if dark else ''}.png")
            window, content = await page.width()
            assert content <= window, f"{path} is {content} px wide at {window}"
            texts.append(await page.text())
        assert forbidden(page) == []
    return texts
