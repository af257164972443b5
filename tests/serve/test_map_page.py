"""The page's second tab: by keyboard, on a phone, with a photo that is chosen, dropped or damaged."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from report.browser import chromium, until
from serve.served import photo_of
from serve.test_serving_page import GIVE, running

pytestmark = pytest.mark.slow

SHOWN = "return document.querySelectorAll('#maps .map').length && document.querySelector('#maps').innerText"


@pytest.fixture(scope="module")
def address(small_run):
    with running(small_run) as place:
        yield place


def test_a_photo_is_mapped_by_keyboard_on_a_phone(address, tmp_path):
    from selenium.webdriver.common.keys import Keys

    (tmp_path / "red.png").write_bytes(photo_of("red"))
    (tmp_path / "notes.png").write_bytes(b"no photo")
    with chromium(390) as driver:
        driver.get(address)
        driver.find_element("id", "tab-answers").send_keys(Keys.ARROW_RIGHT)
        assert driver.execute_script("return document.activeElement.id") == "tab-map"
        assert driver.find_element("id", "panel-map").is_displayed()
        assert not driver.find_element("id", "panel-answers").is_displayed()
        driver.find_element("id", "map-file").send_keys(str(tmp_path / "red.png"))
        assert "red" in until(driver, SHOWN)
        assert driver.execute_script("return document.querySelectorAll('.layers img').length") == 4, "of two models"
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        driver.execute_script(GIVE, "drop", "drop.png", base64.b64encode(photo_of("green")).decode())
        until(driver, "return document.querySelector('#map-status').textContent.includes('map of drop.png')")
        assert driver.execute_script("return document.querySelector('#results > li')") is None, "one tab takes it"
        driver.find_element("id", "map-file").send_keys(str(tmp_path / "notes.png"))
        until(driver, "return document.querySelector('#map-status').textContent.includes('not an image')")
        driver.find_element("id", "tab-map").send_keys(Keys.HOME)
        assert driver.find_element("id", "panel-answers").is_displayed()
        assert [entry for entry in driver.get_log("browser") if "422" not in entry["message"]] == []


@pytest.mark.skipif("AXE_CORE" not in os.environ, reason="AXE_CORE does not name axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_in_the_map(address, tmp_path, width, scheme):
    (tmp_path / "red.png").write_bytes(photo_of("red"))
    with chromium(width) as driver:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                               {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        driver.get(address)
        driver.find_element("id", "tab-map").click()
        driver.find_element("id", "map-file").send_keys(str(tmp_path / "red.png"))
        until(driver, SHOWN)
        driver.execute_script(Path(os.environ["AXE_CORE"]).read_text("utf-8"))
        assert driver.execute_async_script("""
            const done = arguments[0];
            axe.run().then(found => done(found.violations.map(each => [each.id, each.nodes[0].html])))""") == []
