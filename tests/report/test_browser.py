"""The page in a browser: tabs by mouse and keyboard, galleries, pictures in full size, phones, paper, no errors."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from matlens.evaluation.judge import evaluate
from matlens.explanation.galleries import make_gallery
from matlens.jobs.run import summarise
from matlens.runs.run import Run
from report.browser import chromium, until
from small_run import NAMES

pytestmark = pytest.mark.slow

RIGHT, LEFT, HOME, END, ESCAPE = "\ue014", "\ue012", "\ue011", "\ue010", "\ue00c"
"""Keys as WebDriver names them (W3C WebDriver, 17.4.2)."""

PANELS = [f"model-{name}" for name in sorted(NAMES)]
"""Both models are equally good, so they stand in the order of their names."""


@pytest.fixture(scope="module")
def address(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the small run, with all that needs no framework."""
    folder = Run.open(shutil.copytree(small_run, tmp_path_factory.mktemp("page") / "run"))
    for name in NAMES:
        evaluate(folder, name, every_picture=True)
        make_gallery(folder, name)
    summarise(folder)
    return (folder.path / "report.html").as_uri()


@pytest.fixture
def desktop(address: str) -> Iterator[Any]:
    with chromium(1200) as driver:
        driver.get(address)
        yield driver
        assert driver.get_log("browser") == []


def chosen(driver: Any) -> str:
    """The chosen tab's panel, which must be the only one that shows, and in the address (or none is there yet)."""
    (tab,) = driver.find_elements("css selector", "[role=tab][aria-selected=true]")
    (panel,) = [each for each in driver.find_elements("css selector", ".panel") if each.is_displayed()]
    assert tab.get_attribute("aria-controls") == panel.get_attribute("id")
    assert (panel.aria_role, tab.get_attribute("tabindex")) == ("tabpanel", "0")
    return str(panel.get_attribute("id"))


def test_tabs_by_keyboard_and_mouse(desktop: Any) -> None:
    """Right and left go round, Home and End to the ends; focus goes along, and the address remembers."""
    first, second = PANELS
    assert chosen(desktop) == first
    desktop.find_element("css selector", "[role=tab]").click()
    for key, expected in ((RIGHT, second), (RIGHT, first), (LEFT, second), (HOME, first), (END, second)):
        desktop.switch_to.active_element.send_keys(key)
        assert chosen(desktop) == expected
        assert desktop.switch_to.active_element.get_attribute("aria-controls") == expected
        assert desktop.execute_script("return location.hash") == f"#{expected}"
    desktop.find_elements("css selector", "[role=tab]")[0].click()
    assert chosen(desktop) == first


def test_a_link_to_a_tab_opens_it(desktop: Any, address: str) -> None:
    """From outside, and from the page's own list of contents, twice."""
    first, second = PANELS
    desktop.get("about:blank")
    desktop.get(f"{address}#{second}")
    assert chosen(desktop) == second
    link = desktop.find_element("css selector", f"nav a[href='#{first}']")
    link.click()
    assert chosen(desktop) == first
    until(desktop, "return location.hash === arguments[0]", f"#{first}")  # the browser changes it after the click
    assert chosen(desktop) == first
    desktop.find_elements("css selector", "[role=tab]")[1].click()
    desktop.find_element("css selector", f"nav a[href='#{second}']").click()
    assert chosen(desktop) == second


def test_galleries_open_and_their_photos_show(desktop: Any) -> None:
    """A photo is drawn from the pool, and its heat map over it: the pixels of the two differ, and neither is empty."""
    assert desktop.find_element("css selector", "details.gallery[open] .shelf").is_displayed()  # the first: mistakes
    gallery = desktop.find_element("css selector", "details.gallery:not([open])")
    assert not gallery.find_element("css selector", ".shelf").is_displayed()
    gallery.find_element("css selector", "summary").click()
    photo, heat = gallery.find_elements("css selector", ".both svg")[:2]
    assert photo.is_displayed() and photo.size["width"] > 50
    assert photo.accessible_name.startswith("Photo of ")
    plain, hot = (each.screenshot_as_png for each in (photo, heat))
    assert plain != hot
    assert np.asarray(Image.open(io.BytesIO(plain)).convert("RGB")).std() > 1


@pytest.fixture
def low(address: str) -> Iterator[Any]:
    """A window that is lower than the pictures."""
    with chromium(1200, 500) as driver:
        driver.get(address)
        yield driver
        assert driver.get_log("browser") == []


def test_a_picture_opens_as_large_as_the_window_and_closes_by_escape(low: Any) -> None:
    """All of it is seen, also where it is larger than the window; in its own size on request. Focus comes back."""
    low.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    buttons = [each for each in low.find_elements("css selector", "button.enlarge") if each.is_displayed()]
    heights = [int(each.find_element("xpath", "ancestor::figure//img").get_dom_attribute("height")) for each in buttons]
    button, height = buttons[heights.index(max(heights))], max(heights)
    assert height > 500, "or the window holds it anyway"
    low.execute_script("arguments[0].click()", button)
    picture = low.find_element("css selector", "dialog[open] img")
    place = picture.rect
    assert place["x"] >= 0 and place["x"] + place["width"] <= 1200
    assert place["y"] >= 0 and place["y"] + place["height"] <= 500 and place["height"] > 250
    low.find_element("css selector", "dialog[open] .size").click()
    assert picture.size["height"] == height
    low.switch_to.active_element.send_keys(ESCAPE)
    assert not low.find_elements("css selector", "dialog[open]")


def test_tables_sort_by_a_column_and_say_so(desktop: Any) -> None:
    desktop.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    table = desktop.find_element("css selector", ".panel:not([hidden]) table.sortable")
    head = table.find_elements("css selector", "thead th")

    def order() -> list[str]:
        return [each.text for each in table.find_elements("css selector", "tbody th")]

    head[0].find_element("css selector", "button").click()
    assert head[0].get_attribute("aria-sort") == "ascending" and order() == sorted(order())
    head[0].find_element("css selector", "button").click()
    assert head[0].get_attribute("aria-sort") == "descending" and order() == sorted(order(), reverse=True)
    head[3].find_element("css selector", "button").click()
    values = [float(each.get_attribute("data-value")) for each in table.find_elements(
        "css selector", "tbody td:nth-of-type(3)")]
    assert values == sorted(values, reverse=True)
    assert head[0].get_attribute("aria-sort") is None


CLIPPED = """return [...document.querySelectorAll('body *')].filter((each) => each.clientWidth > 0
  && each.scrollWidth > each.clientWidth + 1 && !each.classList.contains('unseen')
  && getComputedStyle(each).display !== 'inline').map((each) => `${each.tagName}.${each.className}`)"""


@pytest.mark.parametrize("width", [360, 390, 1280, 1440, 1920])
def test_nothing_is_clipped_and_no_page_scrolls_sideways(address: str, width: int) -> None:
    """Neither do tables: on a phone their rows stand below one another. All is open, and each tab is looked at."""
    with chromium(width) as driver:
        driver.get(address)
        driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
        for tab in driver.find_elements("css selector", "[role=tab]"):
            driver.execute_script("arguments[0].click()", tab)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width
            assert driver.execute_script(CLIPPED) == []
        assert driver.get_log("browser") == []


@pytest.mark.skipif("AXE_CORE" not in os.environ, reason="AXE_CORE does not name axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(address: str, width: int, scheme: str) -> None:
    with chromium(width) as driver:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
        driver.get(address)
        driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
        driver.execute_script(Path(os.environ["AXE_CORE"]).read_text("utf-8"))
        assert driver.execute_async_script("""const done = arguments[0];
            axe.run().then((found) => done(found.violations.map((each) => [each.id, each.nodes[0].html])))""") == []


def test_without_scripts_every_panel_shows_and_no_button(address: str) -> None:
    with chromium(1200, scripts=False) as driver:
        driver.get(address)
        assert all(each.is_displayed() for each in driver.find_elements("css selector", ".panel"))
        assert not any(each.is_displayed() for each in driver.find_elements("css selector", "button"))


def test_on_paper_every_panel_and_gallery_shows_and_no_button(desktop: Any) -> None:
    opened = len(desktop.find_elements("css selector", "details[open]"))
    desktop.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    desktop.execute_script("dispatchEvent(new Event('beforeprint'))")
    for selector in (".panel", ".shelf svg"):
        assert all(each.size["height"] > 20 for each in desktop.find_elements("css selector", selector)), selector
    assert not any(each.is_displayed() for each in desktop.find_elements("css selector", "button.enlarge, [role=tab]"))
    desktop.execute_script("dispatchEvent(new Event('afterprint'))")
    assert len(desktop.find_elements("css selector", "details[open]")) == opened
    desktop.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    pdf = base64.b64decode(desktop.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page\n") > 2
