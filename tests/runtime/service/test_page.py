"""The page in a browser, asking the service, and as a static site that reads for itself."""

import base64
import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
from digits_edge.export.targets.web import export_web  # noqa: E402
from digits_edge.runtime.classifier import Classifier  # noqa: E402
from digits_edge.runtime.datasets.synthetic_digits import SHAPES, draw_image  # noqa: E402
from digits_edge.runtime.errors import InputError, UsageError  # noqa: E402
from digits_edge.runtime.preprocessing.pictures import find_pictures  # noqa: E402
from digits_edge.runtime.session.precision import ANOTHER_MACHINE, find_model  # noqa: E402

from .conftest import RunningService  # noqa: E402

SAMPLES = Path(__file__).parents[3] / "samples"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP = {"viewport": {"width": 1100, "height": 820}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
DEVICES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone", marks=pytest.mark.slow)]
_PASTE = """([text, kind]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  transfer.items.add(new File([bytes], "digit.png", { type: "image/png" }));
  const given = kind === "paste" ? { clipboardData: transfer } : { dataTransfer: transfer };
  const Event = kind === "paste" ? ClipboardEvent : DragEvent;
  document.body.dispatchEvent(new Event(kind, { ...given, bubbles: true, cancelable: true }));
}"""
_READ = """async ([model, text]) => {
  const { openEngine } = await import("/page/engine.js");
  window.engine ??= await openEngine();
  const blob = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
  return (await window.engine.read(blob, { model, withMap: false })).digit;
}"""
_PROBABILITIES = """async ([model, text]) => {
  const { openEngine, probabilities } = await import("/page/engine.js");
  window.engine ??= await openEngine();
  return [...await probabilities(model, Uint8Array.from(atob(text), (character) => character.charCodeAt(0)))];
}"""

#: Whether one store is left, with this model's file in it.
_KEEPS = """async (model) => {
  const names = await caches.keys();
  return names.length === 1 && Boolean(await (await caches.open(names[0])).match(`models/${model}.onnx`));
}"""


def base64_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "site"
    try:
        export_web([find_model(name, ANOTHER_MACHINE) for name in ("edge", "fashion")], folder)
    except UsageError as error:
        pytest.skip(f"ONNX Runtime Web is not to be had: {error}")
    return folder


@pytest.fixture(scope="module", params=["service", "site"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "service":
        yield request.getfixturevalue("running").url
        return
    with file_server(request.getfixturevalue("site")) as url:
        yield url


@contextmanager
def opened(browser, address: str, **context):
    """A page that has its models; what it complains of to the console is a fault."""
    with browser.new_context(**context) as inside:
        page, complaints = inside.new_page(), []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        sync_api.expect(page.locator("#model")).to_be_enabled(timeout=30_000)
        yield page
        assert complaints == []


def draw(page, digit: int) -> None:
    """Draw the strokes of a digit with the mouse."""
    box = page.locator("#paper").bounding_box()
    unit = 0.7 * box["width"] / 100
    for stroke in SHAPES[digit][0].split("|"):
        points = [tuple(map(float, point.split(","))) for point in stroke.split()]
        path = [
            (box["x"] + 0.5 * box["width"] + (x - 33) * unit, box["y"] + 0.15 * box["height"] + y * unit)
            for x, y in points
        ]
        page.mouse.move(*path[0])
        page.mouse.down()
        for point in path[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def shows(page, digit: str) -> None:
    sync_api.expect(page.locator("#digit")).to_have_text(digit, timeout=10_000)


@pytest.mark.parametrize("device", DEVICES)
def test_every_digit_that_is_drawn_is_read(browser, address: str, device: dict) -> None:
    with opened(browser, address, **device) as page:
        for digit in range(10):
            draw(page, digit)
            shows(page, str(digit))
            sync_api.expect(page.locator("#spoken")).to_contain_text(f"{digit}.")
            sync_api.expect(page.locator("tr.best th")).to_have_text(str(digit))
            page.locator("#clear").click()
            shows(page, "")


@pytest.mark.parametrize("device", DEVICES)
def test_pictures_are_uploaded_pasted_and_dropped(browser, address: str, device: dict) -> None:
    with opened(browser, address, **device) as page:
        page.locator("#file").set_input_files(SAMPLES / "2-red-on-yellow.png")
        shows(page, "2")
        for kind, name in (("paste", "5-turned-by-exif.png"), ("drop", "9-on-ruled-paper.png")):
            page.evaluate(_PASTE, [base64_text((SAMPLES / name).read_bytes()), kind])
            shows(page, name[0])
        draw(page, 3)  # on a new sheet
        shows(page, "3")


def test_a_finger_draws(browser, address: str) -> None:
    with opened(browser, address, **PHONE) as page:
        box = page.locator("#paper").bounding_box()
        touch = page.context.new_cdp_session(page)
        x, top, height = box["x"] + box["width"] / 2, box["y"] + 0.2 * box["height"], 0.6 * box["height"]
        for step in range(9):
            kind = "touchStart" if step == 0 else "touchMove"
            point = {"x": x, "y": top + height * step / 8}
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        shows(page, "1")
        assert page.evaluate("window.scrollY") == 0


def test_keys_draw_undo_and_clear(browser, address: str) -> None:
    with opened(browser, address, **DESKTOP) as page:
        page.locator("#paper").focus()
        for key in ["ArrowUp"] * 8 + [" "] + ["ArrowDown"] * 16 + [" "]:
            page.keyboard.press(key)
        shows(page, "1")
        page.keyboard.press("Control+z")
        shows(page, "")
        draw(page, 1)
        shows(page, "1")
        page.keyboard.press("Escape")
        shows(page, "")
        sync_api.expect(page.locator("#status")).to_have_text("Nothing drawn yet.")


def test_what_is_undone_while_it_is_drawn_leaves_nothing(browser, address: str) -> None:
    with opened(browser, address, **DESKTOP) as page:
        box = page.locator("#paper").bounding_box()
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 50, box["y"] + 150)
        page.keyboard.press("Control+z")
        page.mouse.move(box["x"] + 50, box["y"] + 250)
        page.mouse.up()
        shows(page, "")
        dark = page.evaluate(
            """document.getElementById("paper").getContext("2d").getImageData(0, 0, 280, 280)
              .data.filter((value) => value < 128).length"""
        )
        assert dark == 0


def test_an_answer_to_what_was_cleared_is_not_shown(browser, running: RunningService) -> None:
    with opened(browser, running.url, **DESKTOP) as page:
        held: list = []
        page.route("**/predict*", lambda route: held.append(route))
        draw(page, 3)
        page.wait_for_timeout(100)
        page.locator("#clear").click()
        page.route("**/predict*", lambda route: route.continue_())
        held[0].continue_()
        page.wait_for_timeout(500)
        shows(page, "")
        draw(page, 4)
        shows(page, "4")


def test_the_newer_of_two_pictures_is_read(browser, address: str, tmp_path: Path) -> None:
    from PIL import Image

    large = tmp_path / "2.png"
    Image.open(SAMPLES / "2-red-on-yellow.png").resize((5000, 5000)).save(large, compress_level=1)
    with opened(browser, address, **DESKTOP) as page:
        for path in (large, SAMPLES / "5-large.png"):
            page.locator("#file").set_input_files(path)
        shows(page, "5")
        page.wait_for_timeout(1500)
        shows(page, "5")


def test_a_busy_service_is_asked_again(browser, running: RunningService) -> None:
    with browser.new_context() as context:
        page, turned_away = context.new_page(), []

        def busy(route) -> None:
            if len(turned_away) < 2:
                turned_away.append(route)
                route.fulfill(status=429, headers={"retry-after": "0.3"}, body="{}")
            else:
                route.continue_()

        page.goto(running.url)
        sync_api.expect(page.locator("#model")).to_be_enabled()
        page.route("**/predict*", busy)
        page.locator("#file").set_input_files(SAMPLES / "2-red-on-yellow.png")
        sync_api.expect(page.locator("#problem")).to_contain_text("busy")
        shows(page, "2")
        sync_api.expect(page.locator("#problem")).to_be_empty()


def test_blank_and_uncertain_are_shown_as_such(browser, address: str, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (60, 60), "white").save(tmp_path / "blank.png")
    with opened(browser, address, **DESKTOP) as page:
        page.locator("#file").set_input_files(tmp_path / "blank.png")
        sync_api.expect(page.locator("#status")).to_contain_text("Blank")
        page.keyboard.press("Escape")
        box = page.locator("#paper").bounding_box()
        for row in (0.3, 0.5, 0.7):  # three bars are no digit
            page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + row * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + row * box["height"], steps=5)
            page.mouse.up()
        sync_api.expect(page.locator("#status")).to_contain_text("Uncertain: perhaps")


def test_another_model_reads_the_same_picture(browser, address: str) -> None:
    with opened(browser, address, **DESKTOP) as page:
        draw(page, 7)
        shows(page, "7")
        page.locator("#model").select_option("fashion-int8")
        sync_api.expect(page.locator("#probabilities th", has_text="Sandal")).to_be_visible()
        sync_api.expect(page.locator("#figures")).to_contain_text("fashion-mnist")
        sync_api.expect(page.locator("#digit")).to_have_class(re.compile("word"))


def test_what_is_no_picture_is_said(browser, address: str, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_bytes(b"no picture")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        sync_api.expect(page.locator("#model")).to_be_enabled(timeout=30_000)
        page.locator("#file").set_input_files(tmp_path / "letter.png")
        sync_api.expect(page.locator("#problem")).to_contain_text("picture")
        draw(page, 4)
        shows(page, "4")
        sync_api.expect(page.locator("#problem")).to_be_empty()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("device", DEVICES)
def test_axe_finds_nothing(browser, running: RunningService, colours: str, device: dict) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    with opened(browser, running.url, color_scheme=colours, **device) as page:
        for digit in (None, 8):
            if digit is not None:
                draw(page, digit)
                shows(page, str(digit))
            found = axe.Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_page_asks_for_the_services_key(browser, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sesame")
    service = RunningService("--model", "edge-int8", "--key-file", str(tmp_path / "key"))
    try:
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(service.url)
            for key in ("wrong", "sesame"):
                page.locator("#key").fill(key)
                page.keyboard.press("Enter")
                sync_api.expect(page.locator("#key-form")).to_be_hidden() if key == "sesame" else None
            draw(page, 6)
            shows(page, "6")
    finally:
        service.end()


def test_the_api_is_shown(browser, running: RunningService) -> None:
    with browser.new_context() as context:
        page, complaints = context.new_page(), []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{running.url}docs")
        sync_api.expect(page.get_by_text("Read the digit in a picture")).to_be_visible()
        assert complaints == []


def test_the_site_answers_images_as_the_runtime_does(browser, site: Path) -> None:
    rng = np.random.default_rng(0)
    images = np.stack([draw_image(number % 10, rng) for number in range(100)])
    with file_server(site) as url, opened(browser, url) as page:
        for name in ("edge-int8", "fashion-int8"):
            found = np.array(page.evaluate(_PROBABILITIES, [name, base64_text(images.tobytes())])).reshape(100, 10)
            expected = Classifier(name, provider="cpu").predict_batch(images)
            assert np.abs(found - expected).max() < 1e-3


def read_alike(page, classifier: Classifier, pictures: list[Path]) -> int:
    found = [page.evaluate(_READ, ["edge-int8", base64_text(path.read_bytes())]) for path in pictures]
    return sum(digit == classifier.predict(path).digit for digit, path in zip(found, pictures, strict=True))


@pytest.mark.slow
def test_the_site_reads_pictures_as_the_runtime_does(browser, site: Path, data_folder: Path) -> None:
    classifier = Classifier("edge-int8", provider="cpu")
    samples, photos = find_pictures([SAMPLES]), find_pictures([data_folder / "photos"])
    with file_server(site) as url, opened(browser, url) as page:
        assert read_alike(page, classifier, samples) == len(samples)
        assert read_alike(page, classifier, photos) >= 0.99 * len(photos)


def test_the_site_works_without_a_network(browser, site: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with file_server(site) as url:
            page.goto(url)
            page.evaluate("navigator.serviceWorker.ready")
            page.wait_for_function("navigator.serviceWorker.controller")
        context.set_offline(True)
        page.reload()
        sync_api.expect(page.locator("#model")).to_be_enabled(timeout=30_000)
        draw(page, 5)
        shows(page, "5")


@pytest.mark.slow
def test_a_site_that_was_exported_again_is_shown_anew(browser, site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    with file_server(folder) as url, browser.new_context() as context:
        page = context.new_page()
        for model in ("edge-int8", "cnn-small-int8"):
            export_web([find_model(model, ANOTHER_MACHINE)], folder, overwrite=True)
            page.goto(url)  # this visit still shows what was kept, and fetches the new
            for _ in range(100):
                if page.evaluate(_KEEPS, model):
                    break
                page.wait_for_timeout(200)
            page.goto(url)
            sync_api.expect(page.locator("#model")).to_have_value(model)
        context.set_offline(True)
        page.goto(url)
        sync_api.expect(page.locator("#model")).to_have_value(model)


@pytest.mark.slow
def test_two_sites_of_one_origin_keep_each_its_own(browser, site: Path, tmp_path: Path) -> None:
    for name in "ab":
        shutil.copytree(site, tmp_path / name)
    (tmp_path / "b/page/style.css").write_text("")
    export_web([find_model("cnn-small", ANOTHER_MACHINE)], tmp_path / "b", overwrite=True)
    with browser.new_context() as context:
        page = context.new_page()
        with file_server(tmp_path) as url:
            for name in "abab":
                page.goto(f"{url}{name}/")
                page.evaluate("navigator.serviceWorker.ready")
                page.wait_for_function("navigator.serviceWorker.controller")
        for name, model in (("a", "edge-int8"), ("b", "cnn-small-int8")):
            page.goto(f"{url}{name}/")
            sync_api.expect(page.locator("#model")).to_have_value(model, timeout=20_000)


def test_from_the_disk_the_page_says_what_it_needs(browser, site: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        sync_api.expect(page.locator("#status")).to_contain_text("by http")


def test_the_site_refuses_a_model_that_was_changed(browser, site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site/models/edge-int8.onnx").write_bytes(b"another")
    with file_server(tmp_path / "site") as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        sync_api.expect(page.locator("#problem")).to_contain_text("edge-int8.onnx could not be had")


def test_a_site_replaces_nothing_but_a_site(site: Path, tmp_path: Path) -> None:
    model = find_model("edge", ANOTHER_MACHINE)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("x")
    with pytest.raises(UsageError, match="is no such site"):
        export_web([model], tmp_path / "letters", overwrite=True)
    with pytest.raises(UsageError, match="second model"):
        export_web([model, model], tmp_path / "site")
    with pytest.raises(InputError, match="no folder"):
        export_web([model], tmp_path / "none/site")
    (tmp_path / "letters/models.json").write_text("{}")
    with pytest.raises(UsageError, match="is no such site"):
        export_web([model], tmp_path / "letters", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters"]
    export_web([model], tmp_path / "site")
    (tmp_path / "site/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no such site"):
        export_web([model], tmp_path / "site", overwrite=True)
    (tmp_path / "site/notes.txt").unlink()
    with pytest.raises(UsageError, match="--overwrite"):
        export_web([model], tmp_path / "site")
    (tmp_path / "site/index.html").write_text("old")
    export_web([model], tmp_path / "site", overwrite=True)
    assert (tmp_path / "site/index.html").read_bytes() == (site / "index.html").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "site")
    with pytest.raises(UsageError, match="is no such site"):
        export_web([model], tmp_path / "link", overwrite=True)
    (tmp_path / "link").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters", "site"]


def test_another_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime-web.tgz").write_bytes(b"another")
    with pytest.raises(InputError, match="is not onnxruntime-web@"):
        export_web([find_model("edge", ANOTHER_MACHINE)], tmp_path / "site", archive=tmp_path / "onnxruntime-web.tgz")
    assert not (tmp_path / "site").exists()


def test_without_npm_the_package_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"npm is not installed.*--onnxruntime-web"):
        export_web([find_model("edge", ANOTHER_MACHINE)], tmp_path / "site")
    (tmp_path / "npm").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    with pytest.raises(UsageError, match="no network"):
        export_web([find_model("edge", ANOTHER_MACHINE)], tmp_path / "site")
    with pytest.raises(InputError, match="cannot be read"):
        export_web([find_model("edge", ANOTHER_MACHINE)], tmp_path / "site", archive=tmp_path / "none.tgz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["npm"]
