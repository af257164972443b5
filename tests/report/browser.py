"""Headless Chromium, driven by selenium, for the tests that need a browser."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium(width: int, height: int = 900, *, scripts: bool = True) -> Iterator[Any]:
    """A selenium driver whose window has that many CSS pixels. Skips the test where there is no browser to drive."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.common.exceptions import WebDriverException

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not browser or not chromedriver:
        pytest.skip("chromium and chromedriver are not both installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--force-prefers-reduced-motion"):  # where a smooth scroll ends is not known at a click
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    except WebDriverException as error:
        pytest.skip(f"chromium does not start here: {error.msg}")
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        yield driver
    finally:
        driver.quit()


def until(driver: Any, script: str, *arguments: object) -> Any:
    """Wait until a script in the page returns something, for a minute: a hang ends the test."""
    for _ in range(600):
        if found := driver.execute_script(script, *arguments):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{script} never came true; {driver.execute_script('return document.body.innerText')}")
