"""The page in a browser: photos given in every way, answers as they come, by keyboard, on a phone, with a token."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from matlens.serving.app import make_app
from matlens.serving.engine import AnsweringEngine
from matlens.serving.limits import ServerLimits
from matlens.serving.metrics import Metrics
from matlens.serving.models import open_models
from report.browser import chromium, until
from serve.live import live
from serve.served import STRANGER, novelty_of, novelty_with_names, photo_of, zip_of

pytestmark = pytest.mark.slow
TOKEN = "0123456789abcdef"


@contextlib.contextmanager
def running(run: Path, token: str | None = None) -> Iterator[str]:
    """The address of a server in a thread; its first model tells unknown photos and knows its training photos."""
    models = open_models([run], print)
    training = novelty_with_names(models[0], run).training
    object.__setattr__(models[0].artifact, "novelty", replace(novelty_of(models[0]), training=training))
    with live(make_app(AnsweringEngine(models, ServerLimits(), Metrics()), token)) as place:
        yield place


@pytest.fixture(scope="module")
def address(small_run, tmp_path_factory) -> Iterator[str]:
    run = Path(shutil.copytree(small_run, tmp_path_factory.mktemp("served") / "run"))
    (run / "material_groups.toml").write_text('[groups]\nwarm = ["red", "green"]\n')
    with running(run) as place:
        yield place


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    contents = {"red.png": photo_of("red"), "yellow.png": STRANGER, "notes.png": b"no photo",
                "two.zip": zip_of({"in/blue.png": photo_of("blue"), "green.png": photo_of("green"), "a.txt": b"a"})}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def cards(driver, n: int) -> list[str]:
    """The text of the answers' cards, once so many are there and all are answered."""
    return until(driver, """
        const all = [...document.querySelectorAll('#results > li')];
        return document.querySelector('#status').textContent.startsWith('All') && all.length === arguments[0]
            && all.map(each => each.innerText)""", n)


GIVE = """
    const [how, name, content] = arguments, data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(content), each => each.charCodeAt(0))], name));
    document.dispatchEvent(how === 'paste' ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true})
        : new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));"""


NEAREST = """
    const all = [...document.querySelectorAll('#results > li:first-child .nearest li')];
    return all.length === 5 && [all[0].innerText.split(',')[0].trim(),
        all.every(each => each.querySelector('img').naturalWidth > 0
            && each.querySelector('img').alt.startsWith('train/'))];"""


def test_photos_are_answered_however_they_are_given(address, files):
    with chromium(1280) as driver:
        driver.get(address)
        driver.find_element("id", "files").send_keys("\n".join(map(str, files.values())))
        red, yellow, notes, blue, green = cards(driver, 5)
        for card, name in ((red, "red"), (blue, "blue"), (green, "green")):
            assert f"{name}, " in card
            assert "Probably none" not in card
        assert yellow.count("Probably none of these materials") == 1, "of the model that tells it"
        assert "not an image" in notes
        heat = until(driver, "return document.querySelectorAll('.stack img + img').length")
        assert heat >= 2
        assert until(driver, NEAREST) == ["red", True], "with pictures that are drawn"
        assert red.count("groups of materials: warm ") == 2, "of each model"
        assert "warm 97.3 %, blue 2.7 %" in red, "94.6 % red and 2.7 % green"
        assert "Answered in" in red
        assert "matlens evaluate" in red, "of the model that does not know its training photos"
        noted = "return results.find(each => each.name === 'red.png').answers[0].nearest.length"
        assert driver.execute_script(noted) == 5, "JSON has them, too"
        for how in ("paste", "drop"):
            driver.execute_script(GIVE, how, f"{how}.png", base64.b64encode(photo_of("green")).decode())
        assert [text.split("\n")[0] for text in cards(driver, 7)[5:]] == ["paste.png", "drop.png"]
        assert driver.execute_script("return table().split('\\r\\n').length") == 1 + 2 * 6 + 1, "a row for each answer"
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert driver.get_log("browser") == []


def test_all_is_done_by_keyboard(address, files):
    from selenium.webdriver.common.keys import Keys

    with chromium(390) as driver:
        driver.get(address)
        driver.execute_script("document.getElementById('files').click = () => { window.asked = true; }")
        seen = []
        for _ in range(3):
            driver.switch_to.active_element.send_keys(Keys.TAB)
            seen.append(driver.execute_script("return document.activeElement.id"))
        assert "choose" in seen
        driver.find_element("id", "choose").send_keys(Keys.ENTER)
        assert driver.execute_script("return window.asked")
        driver.find_element("id", "files").send_keys(str(files["red.png"]))
        cards(driver, 1)
        until(driver, "return document.querySelector('.stack img + img')")
        driver.find_element("id", "heat").send_keys(Keys.HOME)
        assert until(driver, "return getComputedStyle(document.querySelector('.stack img + img')).opacity === '0'")
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), "it fits a phone"
        driver.find_element("id", "clear").send_keys(Keys.SPACE)
        assert driver.execute_script("return document.activeElement.id") == "choose"
        assert not driver.find_element("id", "answers").is_displayed()
        assert driver.get_log("browser") == []


def test_a_token_is_asked_for_and_a_wrong_one_is_named(small_run, files):
    from selenium.webdriver.common.keys import Keys

    with running(small_run, TOKEN) as place, chromium(390) as driver:
        driver.get(place)
        until(driver, "return document.activeElement.id === 'token'")
        driver.find_element("id", "token").send_keys("wrong-token", Keys.ENTER)
        until(driver, "return document.querySelector('#door-why').textContent.includes('wrong')"
                      " && !document.querySelector('#door').hidden")
        driver.execute_script("document.getElementById('token').value = ''")
        driver.find_element("id", "token").send_keys(TOKEN, Keys.ENTER)
        until(driver, "return document.querySelector('#models').textContent.includes('Materials')")
        driver.find_element("id", "files").send_keys(str(files["red.png"]))
        assert "red, " in cards(driver, 1)[0]


@pytest.mark.skipif("AXE_CORE" not in os.environ, reason="AXE_CORE does not name axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(address, files, width, scheme):
    with chromium(width) as driver:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                               {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        driver.get(address)
        driver.find_element("id", "files").send_keys("\n".join(map(str, files.values())))
        cards(driver, 5)
        driver.execute_script("document.querySelector('#door').hidden = false")
        for path in ("", "/docs"):
            if path:
                driver.get(address + path)
            driver.execute_script(Path(os.environ["AXE_CORE"]).read_text("utf-8"))
            assert driver.execute_async_script("""
                const done = arguments[0];
                axe.run().then(found => done(found.violations.map(each => [each.id, each.nodes[0].html])))""") == []
