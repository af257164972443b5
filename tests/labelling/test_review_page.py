"""The page of a review in a browser: decided by keyboard, read out, undone, on a phone, and after others decided."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelling.desks import copied, desk_of
from matlens.serving.review.app import make_review_app
from matlens.settings.corrections.setting import read_corrections
from report.browser import chromium, until
from serve.live import live

pytestmark = pytest.mark.slow
TOKEN = "0123456789abcdef"


@contextlib.contextmanager
def running(run: Path, token: str | None = None) -> Iterator[str]:
    """The address of a review in a thread."""
    with live(make_review_app(desk_of(run), token)) as place:
        yield place


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    return copied(small_run, tmp_path / "run")


def press(driver: Any, key: str, decided: int) -> None:
    """Press a key, and wait until so many photos are decided."""
    driver.switch_to.active_element.send_keys(key)
    until(driver, f"return document.querySelector('#place').textContent.includes('({decided} of')")


SHOWN = "return !document.querySelector('#picture').hidden && document.querySelector('#picture').naturalWidth"


@pytest.mark.parametrize("width", [1280, 390])
def test_all_is_decided_by_keyboard_and_undone(run, width):
    with running(run) as address, chromium(width) as driver:
        driver.get(address)
        assert until(driver, SHOWN) == 48
        total = driver.execute_script("return review.cards.length")
        first = driver.execute_script("return photo(current().number).path")
        body = driver.find_element("tag name", "body")
        body.send_keys("3")
        until(driver, "return document.querySelector('#place').textContent.includes('(1 of')")
        assert f"{first}: " in driver.find_element("id", "status").text
        assert driver.execute_script("return document.activeElement.id") == "path", "the next photo is read out"
        assert driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle") != "none"
        press(driver, "x", 2)
        press(driver, "k", 3)
        corrections = read_corrections(str(run / "corrections.csv"))
        assert len(corrections) >= 1
        assert any(to == "" for _, _, to in corrections.values())
        press(driver, "u", 2)
        press(driver, "u", 1)
        press(driver, "u", 0)
        assert read_corrections(str(run / "corrections.csv")) == {}
        assert driver.find_element("id", "path").text == first
        driver.switch_to.active_element.send_keys("\ue014")  # right
        until(driver, f"return document.querySelector('#place').textContent.startsWith('2 of {total}')")
        driver.switch_to.active_element.send_keys("\ue012")
        until(driver, "return document.querySelector('#place').textContent.startsWith('1 of')")
        driver.find_element("id", "shortcuts").click()
        driver.find_element("tag name", "body").send_keys("x")
        assert driver.execute_script("return busy || Object.keys(review.decided).length") == 0, "keys can be turned off"
        driver.find_element("id", "leave_out").click()
        until(driver, "return document.querySelector('#place').textContent.includes('(1 of')")
        assert "--corrections" in driver.find_element("id", "command").text
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert driver.get_log("browser") == []


def test_two_tabs_lose_nothing_and_see_each_other(run):
    with running(run) as address, chromium(1280) as driver:
        driver.get(address)
        until(driver, SHOWN)
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        driver.get(address)
        until(driver, SHOWN)
        press(driver, "x", 1)
        driver.switch_to.window(first)
        driver.execute_script("window.dispatchEvent(new Event('focus'))")
        until(driver, "return document.querySelector('#place').textContent.includes('(1 of')")
        driver.execute_script("go(1)")
        press(driver, "x", 2)
        assert sum(to == "" for _, _, to in read_corrections(str(run / "corrections.csv")).values()) == 2


def test_a_server_that_ended_and_a_damaged_file_are_said_and_the_photo_stays(run):
    with chromium(1280) as driver:
        with running(run) as address:
            driver.get(address)
            until(driver, SHOWN)
            (run / "corrections.csv").write_text("mine\n")
            driver.find_element("tag name", "body").send_keys("x")
            assert "corrections.csv" in until(driver, "return !document.querySelector('#problem').hidden"
                                                      " && document.querySelector('#problem').textContent")
        driver.find_element("tag name", "body").send_keys("k")
        until(driver, "return document.querySelector('#problem').textContent.includes('cannot be reached')")
        assert driver.execute_script("return Object.keys(review.decided).length") == 0


def test_a_token_is_asked_for_once_and_photos_are_shown_with_it(run):
    from selenium.webdriver.common.keys import Keys

    with running(run, TOKEN) as address, chromium(390) as driver:
        driver.get(address)
        until(driver, "return document.activeElement.id === 'token'")
        driver.find_element("id", "token").send_keys(TOKEN, Keys.ENTER)
        assert until(driver, SHOWN) == 48


@pytest.mark.skipif("AXE_CORE" not in os.environ, reason="AXE_CORE does not name axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_on_the_page_of_a_review(run, width, scheme):
    with running(run) as address, chromium(width) as driver:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                               {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        driver.get(address)
        until(driver, SHOWN)
        driver.find_element("tag name", "body").send_keys("x")
        until(driver, "return document.querySelector('#place').textContent.includes('(1 of')")
        driver.execute_script("document.querySelectorAll('main [hidden]:not(input, img)').forEach("
                              "each => { each.hidden = false; })")
        driver.execute_script(Path(os.environ["AXE_CORE"]).read_text("utf-8"))
        assert driver.execute_async_script("""
            const done = arguments[0];
            axe.run().then(found => done(found.violations.map(each => [each.id, each.nodes[0].html])))""") == []
