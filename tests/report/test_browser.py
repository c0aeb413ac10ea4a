"""Pages in a real browser: Debian's headless Chromium, driven by Selenium. Skipped if there is none."""

import json
import shutil
import time
from dataclasses import replace

import pytest

from nlvideo.__main__ import main
from nlvideo.evaluation.predictions import read_predictions, write_predictions

webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no Chromium with its driver (Debian: apt install chromium chromium-driver)", allow_module_level=True)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions")
EVIL = "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script> $$x$$"


NUMBERS = "return [...document.querySelectorAll('#result tbody tr')].map(row => row.cells[arguments[0]].textContent)"
# The middle of a cell (label, prediction) of the confusion matrix, in pixels of the window.
CELL = """
const {frame, el} = views[2], box = el.getBoundingClientRect();
return [box.left + frame.x_scale.compute(arguments[1]), box.top + frame.y_scale.compute(arguments[0])];
"""
# The words of the tooltip, which lies in shadow trees.
TOOLTIP = """
const inner = (its) => its.shadowRoot ? walk(its.shadowRoot) : [];
const walk = (node) => [...node.querySelectorAll("*")].flatMap((its) => [its, ...inner(its)]);
return walk(document.body).find((its) => its.className === "bk-tooltip-content")?.textContent;
"""


class Browser:
    """A browser that opens pages from disk and tells what happened."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for option in OPTIONS:
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))

    def command(self, name, **arguments):
        return self.driver.execute_cdp_cmd(name, arguments)

    def open(self, page, width=1280, height=900):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)  # forgets those of pages before
        self.driver.get(page.as_uri())
        self.wait("return document.documentElement.dataset.charts")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, script, *arguments):
        deadline = time.monotonic() + 60
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < deadline, script
            time.sleep(0.05)
        return value

    def find(self, selector):
        return self.driver.find_elements("css selector", selector)

    def problems(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def requests(self):
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]


@pytest.fixture(scope="module")
def browser():
    opened = Browser()
    yield opened
    opened.driver.quit()


def test_a_page_loads_without_errors_and_requests_sorts_hovers_and_plays(browser, page_of_run, tested):
    browser.open(page_of_run)
    assert browser.run("return document.documentElement.dataset.charts") == "4"  # loss, top-1, confusion, classes
    heights = browser.run("return [...document.querySelectorAll('.chart')].map(each => each.clientHeight)")
    assert min(heights) > 100

    # Sorting, by keyboard.
    heads, buttons = browser.find("#result th"), browser.find("#result th button")
    column = [button.text for button in buttons].index("loss")
    for direction in ("ascending", "descending"):
        buttons[column].send_keys("\n")
        assert heads[column].get_attribute("aria-sort") == direction
        values = [float(value) for value in browser.run(NUMBERS, column)]
        assert len(values) == 3
        assert values == sorted(values, reverse=direction == "descending")

    # Hovering over a cell of the confusion matrix tells its classes and its number of videos.
    predictions = read_predictions(tested / "predictions.parquet")
    label, guess = int(predictions.labels[0]), int(predictions.scores[0].argmax())
    videos = int(((predictions.labels == label) & (predictions.scores.argmax(axis=1) == guess)).sum())
    browser.run(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", browser.find("#confusion .chart")[0]
    )
    x, y = browser.run(CELL, label, guess)
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    words = " ".join(browser.wait(TOOLTIP).split())
    names = predictions.class_names
    assert words.startswith(f"label: {names[label]} prediction: {names[guess]} videos: {videos} of the label:")

    # Videos: shown when they are scrolled to, paused and played.
    image = browser.find("#videos img")[0]
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", image)
    browser.wait("return arguments[0].complete && arguments[0].naturalWidth > 0", image)
    button = browser.find("#videos .pause")[0]
    button.click()
    browser.wait("return document.querySelectorAll('#videos canvas').length === 2")
    assert (button.text, button.get_attribute("aria-pressed"), image.is_displayed()) == ("Play", "true", False)
    button.click()
    assert (browser.find("#videos canvas"), image.is_displayed()) == ([], True)

    assert browser.problems() == []
    assert browser.requests() == [page_of_run.as_uri()]


def test_names_of_strangers_are_text_on_a_phone_and_in_the_dark(browser, tested, tmp_path):
    """Two runs whose files try to run a script: in a class, in a video, in a setting, in a folder."""
    pages = []
    for name, shift in (("plain", 0), ("<b>nl", 1)):
        folder = shutil.copytree(tested, tmp_path / name)
        predictions = read_predictions(folder / "predictions.parquet")
        names = [f"{EVIL} {i}" for i in range(4)]
        ids = [f"{EVIL} {i}" for i in range(len(predictions.ids))]
        scores = predictions.scores[:, [(i + shift) % 4 for i in range(4)]]
        evil = replace(predictions, class_names=names, ids=ids, scores=scores, missing=[EVIL])
        write_predictions(folder / "predictions.parquet", evil)
        with (folder / "config.yaml").open("a") as file:
            file.write(f"evil{shift}: {json.dumps(EVIL)}\n")
        pages.append(str(folder))
    page = tmp_path / "page.html"
    assert main(["report", *pages, "-o", str(page)]) == 0

    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.open(page, width=390, height=844)
    assert browser.driver.title == "<b>nl beside plain"  # no script has changed it
    assert EVIL in browser.run("return document.getElementById('classes').textContent")
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 20, 23)"
    assert browser.problems() == []
    assert browser.requests() == [page.as_uri()]
