"""Prefect's UI in a real browser, as a person uses it: headless Chromium, driven by Selenium.

Selenium is imported when a browser is wanted: every worker imports this module to collect the tests.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PIL import Image

from tests.support.tools import CHROMEDRIVER, CHROMIUM
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement
    from selenium.webdriver.support.wait import WebDriverWait

_SETTLED_SECONDS = 1.5
_DRAWN_SECONDS = 4.0
_COLOURS = 128
_FLAGS = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@dataclass
class Browser:
    """A browser on the UI at an address."""

    url: str
    driver: WebDriver

    def log_in(self, password: str) -> None:
        """Answer the question for the password."""
        self.open("/", "Login")
        self._waited("//input").send_keys(password)
        self._waited("//button[.='Login']").click()
        self.wait_for("Dashboard")

    def open(self, path: str, told: str) -> None:
        """Open a page, and wait until it says something."""
        self.driver.get(self.url + path)
        self.wait_for(told)

    def wait_for(self, told: str) -> WebElement:
        """Wait until the page says something."""
        wanted = f"//*[not(self::script)][text()[normalize-space()='{told}']]"
        return self._waited(wanted)

    def click(self, told: str) -> None:
        """Click what says something."""
        element = self.wait_for(told)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        time.sleep(_SETTLED_SECONDS)
        element.click()

    def fill(self, label: str, value: str) -> None:
        """Write into the field under a label."""
        found = f"//label[.//*[text()='{label}']]/following::*[self::textarea or self::input][1]"

        def written(_: WebDriver) -> bool:
            # The form may be drawn anew while one writes, and lose letters; a person would see it.
            field = self._waited(found)
            field.clear()
            field.send_keys(value)
            time.sleep(_SETTLED_SECONDS)
            return field.get_attribute("value") == value

        self._wait().until(written)

    def picture(self, path: Path, height: int) -> None:
        """A picture of the page as it is, so many pixels high, in few colours so that it is small."""
        time.sleep(_DRAWN_SECONDS)  # what is drawn moves into its place after what is written
        image = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        image = image.crop((0, 0, image.width, min(height, image.height)))
        image.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)

    def _waited(self, xpath: str) -> WebElement:
        element: WebElement = self._wait().until(lambda driver: driver.find_element("xpath", xpath))
        return element

    def _wait(self) -> WebDriverWait[WebDriver]:
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, PATIENCE)


@contextmanager
def browser(
    url: str, width: int = 1200, height: int = 1300, *, flags: tuple[str, ...] = (), offline: bool = False
) -> Iterator[Browser]:
    """A browser of its own, with more flags of Chromium's; offline it knows no host but this machine.

    There must be Chromium and its driver.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM.command
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium does not start as root with it
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            *_FLAGS,
            *flags,
            *((_OFFLINE,) if offline else ()),
            f"--window-size={width},{height}",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER.command))
        try:
            yield Browser(url, driver)
        finally:
            driver.quit()
