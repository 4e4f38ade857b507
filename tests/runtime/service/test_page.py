"""The page in a browser, with the service and as a static site."""

import base64
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
from digits_edge.export.targets.web import export_web  # noqa: E402
from digits_edge.runtime.checks.occlusion import occlusion_maps  # noqa: E402
from digits_edge.runtime.classifier import Classifier  # noqa: E402
from digits_edge.runtime.datasets.synthetic_digits import SHAPES, draw_image  # noqa: E402
from digits_edge.runtime.errors import InputError, UsageError  # noqa: E402
from digits_edge.runtime.preprocessing.pictures import find_pictures  # noqa: E402
from digits_edge.runtime.session.precision import ANOTHER_MACHINE, find_model  # noqa: E402
from tests.drawn_numbers import Written, number_page, plain  # noqa: E402

from .conftest import RunningService, file_server, wait_until  # noqa: E402

SAMPLES = Path(__file__).parents[3] / "samples"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP = {"viewport": {"width": 1100, "height": 820}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
DEVICES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone", marks=pytest.mark.slow)]
_PASTE = """([text, kind]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  transfer.items.add(new File([bytes], "digit.png", { type: "image/png" }));
  const data = kind === "paste" ? { clipboardData: transfer } : { dataTransfer: transfer };
  const Event = kind === "paste" ? ClipboardEvent : DragEvent;
  document.body.dispatchEvent(new Event(kind, { ...data, bubbles: true, cancelable: true }));
}"""
_READ = """async ([model, text]) => {
  const { openEngine } = await import("/page/engine.js");
  window.engine ??= await openEngine();
  const blob = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
  return (await window.engine.read(blob, { model, withMap: false })).digit;
}"""
_READ_WITH_MAP = """async ([model, text]) => {
  const { openEngine } = await import("/page/engine.js");
  window.engine ??= await openEngine();
  const blob = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
  const reading = await window.engine.read(blob, { model, withMap: true });
  return { ...reading, image: [...reading.image] };
}"""
_PROBABILITIES = """async ([model, text]) => {
  const { openEngine, probabilities } = await import("/page/engine.js");
  window.engine ??= await openEngine();
  return [...await probabilities(model, Uint8Array.from(atob(text), (character) => character.charCodeAt(0)))];
}"""
#: Whether there is exactly one cache, and it has the file of a model.
_IS_CACHED = """async (model) => {
  const names = await caches.keys();
  return names.length === 1 && Boolean(await (await caches.open(names[0])).match(`models/${model}.onnx`));
}"""
#: Counts the calls of createImageBitmap that are not finished.
_COUNT_DECODING = """() => {
  const decode = window.createImageBitmap;
  window.decoding = 0;
  window.createImageBitmap = async (...options) => {
    window.decoding += 1;
    try {
      return await decode.call(window, ...options);
    } finally {
      window.decoding -= 1;
    }
  };
}"""
#: Lets the page process all events and show the result.
_NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def base64_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def browser():
    """Chromium; not session-scoped, because the event loop of Playwright would break asyncio.run in other modules."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["service", "site"])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "service":
        return request.getfixturevalue("running").url
    return request.getfixturevalue("site_url")


@contextmanager
def opened(browser, address: str, **options):
    """Open the page in a new browser context without service workers; yields the page and its console errors."""
    with browser.new_context(service_workers="block", **options) as context:
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        sync_api.expect(page.locator("#model")).to_be_enabled(timeout=30_000)
        yield page, errors


@pytest.fixture(scope="module")
def shared_pages(browser) -> Iterator[Callable]:
    """A function that opens a page, or returns the one that it opened before with the same options."""
    pages = {}
    with ExitStack() as stack:

        def page_of(address: str, options: dict):
            key = (address, repr(options))
            if key not in pages:
                pages[key] = stack.enter_context(opened(browser, address, **options))
            return pages[key]

        yield page_of


@pytest.fixture
def empty_page(shared_pages: Callable) -> Callable[..., AbstractContextManager]:
    """A function that yields a page without a drawing and fails if the page writes errors to the console."""

    @contextmanager
    def empty(address: str, *, color_scheme: str = "light", writes_errors: bool = False, **options):
        page, errors = shared_pages(address, options)
        errors.clear()
        page.emulate_media(color_scheme=color_scheme)
        page.locator("#model").select_option(index=0)
        if page.locator("#clear").is_enabled():
            page.locator("#clear").click()
        shows(page, "")
        yield page
        page.unroute_all()
        assert writes_errors or errors == []

    return empty


def draw(page, digit: int) -> None:
    """Draw a digit with the mouse."""
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
    """Wait until the page shows a digit as its prediction; "" for none."""
    sync_api.expect(page.locator("#digit")).to_have_text(digit, timeout=10_000)


@pytest.mark.parametrize(
    ("device", "digits"),
    [
        pytest.param(DESKTOP, (2, 9), id="desktop"),
        pytest.param(DESKTOP, range(10), id="desktop-every-digit", marks=pytest.mark.slow),
        pytest.param(PHONE, range(10), id="phone-every-digit", marks=pytest.mark.slow),
    ],
)
def test_drawn_digits_are_classified(empty_page, address: str, device: dict, digits: Sequence[int]) -> None:
    with empty_page(address, **device) as page:
        for digit in digits:
            draw(page, digit)
            shows(page, str(digit))
            sync_api.expect(page.locator("#spoken")).to_contain_text(f"{digit}.")
            sync_api.expect(page.locator("tr.best th")).to_have_text(str(digit))
            page.locator("#clear").click()
            shows(page, "")


@pytest.mark.parametrize("device", DEVICES)
def test_pictures_can_be_uploaded_pasted_and_dropped(empty_page, address: str, device: dict) -> None:
    with empty_page(address, **device) as page:
        page.locator("#file").set_input_files(SAMPLES / "2-red-on-yellow.png")
        shows(page, "2")
        for kind, name in (("paste", "5-turned-by-exif.png"), ("drop", "9-on-ruled-paper.png")):
            page.evaluate(_PASTE, [base64_text((SAMPLES / name).read_bytes()), kind])
            shows(page, name[0])
        draw(page, 3)  # on a new sheet
        shows(page, "3")


def test_touch_draws_without_scrolling(empty_page, running: RunningService) -> None:
    with empty_page(running.url, **PHONE) as page:
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


def test_keys_draw_undo_and_clear(empty_page, running: RunningService) -> None:
    with empty_page(running.url, **DESKTOP) as page:
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


def test_undo_during_a_stroke_removes_the_stroke(empty_page, running: RunningService) -> None:
    with empty_page(running.url, **DESKTOP) as page:
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


def test_prediction_for_a_cleared_drawing_is_not_shown(empty_page, running: RunningService) -> None:
    with empty_page(running.url, **DESKTOP) as page:
        held: list = []
        page.route("**/predict*", lambda route: held.append(route))
        with page.expect_request("**/predict*"):
            draw(page, 3)
        page.locator("#clear").click()
        page.route("**/predict*", lambda route: route.continue_())
        with page.expect_response("**/predict*") as response:
            held[0].continue_()
        response.value.finished()
        page.evaluate(_NEXT_FRAME)
        shows(page, "")
        draw(page, 4)
        shows(page, "4")


@pytest.fixture(scope="session")
def large_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of a 2 that takes much longer to decode than the samples."""
    path = tmp_path_factory.mktemp("large") / "2.png"
    Image.open(SAMPLES / "2-red-on-yellow.png").resize((3000, 3000)).save(path, compress_level=1)
    return path


def test_latest_of_two_pictures_is_classified(empty_page, address: str, large_picture: Path) -> None:
    with empty_page(address, **DESKTOP) as page:
        page.evaluate(_COUNT_DECODING)
        for path in (large_picture, SAMPLES / "5-large.png"):
            page.locator("#file").set_input_files(path)
        shows(page, "5")
        page.wait_for_function("() => window.decoding === 0")
        page.evaluate(_NEXT_FRAME)
        shows(page, "5")


def test_page_retries_if_the_service_is_busy(empty_page, running: RunningService) -> None:
    with empty_page(running.url, writes_errors=True, **DESKTOP) as page:
        rejected = []

        def respond(route) -> None:
            if len(rejected) < 2:
                rejected.append(route)
                route.fulfill(status=429, headers={"retry-after": "0.3"}, body="{}")
            else:
                route.continue_()

        page.route("**/predict*", respond)
        page.locator("#file").set_input_files(SAMPLES / "2-red-on-yellow.png")
        sync_api.expect(page.locator("#problem")).to_contain_text("busy")
        shows(page, "2")
        sync_api.expect(page.locator("#problem")).to_be_empty()


def test_blank_and_uncertain_predictions_are_shown(empty_page, address: str, tmp_path: Path) -> None:
    Image.new("L", (60, 60), "white").save(tmp_path / "blank.png")
    with empty_page(address, **DESKTOP) as page:
        page.locator("#file").set_input_files(tmp_path / "blank.png")
        sync_api.expect(page.locator("#status")).to_contain_text("Blank")
        page.keyboard.press("Escape")
        box = page.locator("#paper").bounding_box()
        for row in (0.3, 0.5, 0.7):  # three bars are not a digit
            page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + row * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + row * box["height"], steps=5)
            page.mouse.up()
        sync_api.expect(page.locator("#status")).to_contain_text("Uncertain: possibly")


def test_changing_the_model_updates_the_prediction(empty_page, address: str) -> None:
    with empty_page(address, **DESKTOP) as page:
        draw(page, 7)
        shows(page, "7")
        page.locator("#model").select_option("letters-fp32")
        sync_api.expect(page.locator("#title")).to_have_text("Draw a character")
        sync_api.expect(page.locator("#digit")).to_have_text(re.compile("[A-Z]"))
        page.locator("#model").select_option("fashion-int8")  # does not read drawings
        sync_api.expect(page.locator("#paper")).to_be_hidden()
        sync_api.expect(page.locator("#status")).to_have_text("No picture yet.")
        sync_api.expect(page.locator("#probabilities th", has_text="Sandal")).to_be_visible()
        sync_api.expect(page.locator("#figures")).to_contain_text("fashion-mnist")
        page.locator("#file").set_input_files(SAMPLES / "1-on-white.png")
        sync_api.expect(page.locator("#digit")).to_have_class(re.compile("word"))
        page.locator("#model").select_option("edge-int8")  # reads the same picture
        shows(page, "1")


def test_numbers_of_a_picture_are_read_and_boxed(empty_page, address: str, tmp_path: Path) -> None:
    lines = [Written("7453", 120, 130, 60, even=True), Written("64520", 140, 330, 60, even=True)]
    number_page(plain(), lines).save(tmp_path / "form.png")
    with empty_page(address, **DESKTOP) as page:
        page.locator("#model").select_option("templates-fp32")
        sync_api.expect(page.locator("#title")).to_have_text("Write a number")
        sync_api.expect(page.locator("#status")).to_have_text("Nothing drawn yet.")
        sync_api.expect(page.locator("#views")).to_be_hidden()
        page.locator("#file").set_input_files(tmp_path / "form.png")
        sync_api.expect(page.locator("#probabilities tbody th")).to_have_text(["7453", "64520"], timeout=20_000)
        sync_api.expect(page.locator("#status")).to_have_text("2 numbers")
        sync_api.expect(page.locator("#spoken")).to_contain_text("7453, 64520. 2 numbers")
        inked = page.evaluate(
            """document.getElementById("overlay").getContext("2d").getImageData(0, 0, 840, 420)
              .data.filter((value) => value > 0).length"""
        )
        assert inked > 1000
        page.locator("#clear").click()
        sync_api.expect(page.locator("#probabilities tbody th")).to_have_count(0)
        page.locator("#model").select_option(index=0)
        draw(page, 7)
        shows(page, "7")


def test_a_drawn_number_is_read(empty_page, address: str) -> None:
    seven = [(0.25, 0.3), (0.38, 0.3), (0.29, 0.7)]
    four = [[(0.53, 0.3), (0.48, 0.55), (0.64, 0.55)], [(0.61, 0.4), (0.59, 0.72)]]
    with empty_page(address, **DESKTOP) as page:
        page.locator("#model").select_option("number-int8")
        box = page.locator("#paper").bounding_box()
        for (x, y), *others in (seven, *four):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            page.mouse.down()
            for x, y in others:
                page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
            page.mouse.up()
        sync_api.expect(page.locator("#probabilities tbody th")).to_have_text(["74"], timeout=20_000)


def test_drawing_is_kept_while_a_model_that_does_not_read_it_is_shown(empty_page, running: RunningService) -> None:
    with empty_page(running.url, **DESKTOP) as page:
        draw(page, 7)
        shows(page, "7")
        page.locator("#model").select_option("photographs-fp32")
        shows(page, "")
        page.locator("#model").select_option("edge-int8")
        shows(page, "7")


def test_ten_most_probable_of_many_classes_are_listed(empty_page, running: RunningService) -> None:
    with empty_page(running.url, **DESKTOP) as page:
        page.locator("#model").select_option("letters-fp32")
        sync_api.expect(page.locator("#probabilities tbody tr").first).to_be_hidden()
        draw(page, 3)
        sync_api.expect(page.locator("#spoken")).to_have_text(re.compile(r"[A-Z]\. "))  # after the last stroke
        best = page.locator("#digit").inner_text()
        sync_api.expect(page.locator("#probabilities tbody tr").first.locator("th")).to_have_text(best)
        sync_api.expect(page.locator("#probabilities tbody tr")).to_have_count(10)
        sync_api.expect(page.locator("#seen")).to_have_attribute("width", "32")


@pytest.fixture(scope="session")
def three_colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is green, blue and red from left to right; the three parts are square."""
    path = tmp_path_factory.mktemp("photographs") / "colours.png"
    picture = Image.new("RGB", (900, 300), (20, 90, 230))
    picture.paste((20, 180, 40), (0, 0, 300, 300))
    picture.paste((220, 30, 20), (600, 0, 900, 300))
    picture.save(path)
    return path


def test_picture_is_cropped_with_the_mouse_and_keys(empty_page, address: str, three_colours: Path) -> None:
    with empty_page(address, **DESKTOP) as page:
        page.locator("#model").select_option("photographs-fp32")
        page.locator("#file").set_input_files(three_colours)
        shows(page, "sky")  # the middle, as the model's preprocessing crops it
        box = page.locator("#photo").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        shows(page, "leaf")
        sync_api.expect(page.locator("#spoken")).to_contain_text("leaf.")
        for _ in range(35):
            page.keyboard.press("ArrowRight")
        shows(page, "tomato")
        colour = page.evaluate("[...document.getElementById('seen').getContext('2d').getImageData(16, 16, 1, 1).data]")
        assert colour == [220, 30, 20, 255]
        page.get_by_role("button", name="Reset crop").click()
        shows(page, "sky")
        page.keyboard.press("Escape")
        sync_api.expect(page.locator("#status")).to_have_text("No picture yet.")
        sync_api.expect(page.locator("#invitation")).to_be_visible()


@pytest.mark.slow
def test_crop_frame_is_resized_at_its_corners_and_with_keys(
    empty_page, running: RunningService, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (300, 300), (20, 90, 230))
    picture.paste((220, 30, 20), (0, 0, 100, 100))
    picture.save(tmp_path / "corner.png")
    with empty_page(running.url, **DESKTOP) as page:
        page.locator("#model").select_option("photographs-fp32")
        page.locator("#file").set_input_files(tmp_path / "corner.png")
        shows(page, "sky")
        box = page.locator("#photo").bounding_box()
        right, lower = box["x"] + box["width"], box["y"] + box["height"]
        page.mouse.move(right - 9, lower - 9)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"], steps=4)
        page.mouse.up()
        shows(page, "tomato")
        page.locator("#photo").focus()
        for _ in range(14):
            page.keyboard.press("+")
        shows(page, "sky")
        sync_api.expect(page.locator("#spoken")).to_contain_text("sky")
        for _ in range(11):
            page.get_by_role("button", name="Smaller crop").click()
        page.locator("#photo").focus()
        for key in ["ArrowLeft", "ArrowUp"] * 17:
            page.keyboard.press(key)
        shows(page, "tomato")


def test_touch_moves_the_crop_frame_without_scrolling(empty_page, running: RunningService, three_colours: Path) -> None:
    with empty_page(running.url, **PHONE) as page:
        page.locator("#model").select_option("photographs-fp32")
        page.locator("#file").set_input_files(three_colours)
        shows(page, "sky")
        box = page.locator("#photo").bounding_box()
        touch = page.context.new_cdp_session(page)
        for step in range(6):
            kind = "touchStart" if step == 0 else "touchMove"
            point = {"x": box["x"] + box["width"] * (0.5 + 0.09 * step), "y": box["y"] + box["height"] / 2}
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        shows(page, "tomato")
        assert page.evaluate("window.scrollY") == 0


def test_object_is_marked_and_its_absence_is_shown(empty_page, address: str, tmp_path: Path) -> None:
    page_with_object = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    page_with_object.paste((90, 20, 20, 255), (100, 40, 200, 160))
    page_with_object.save(tmp_path / "object.png")
    Image.new("L", (60, 60), "white").save(tmp_path / "blank.png")
    with empty_page(address, **DESKTOP) as page:
        page.locator("#model").select_option("positions-fp32")
        page.locator("#file").set_input_files(tmp_path / "object.png")
        sync_api.expect(page.locator("tr.best")).to_have_count(1)
        orange = page.evaluate(
            """(() => {
              const { data } = document.getElementById("photo").getContext("2d").getImageData(0, 0, 840, 840);
              let count = 0;
              for (let i = 0; i < data.length; i += 4) count += data[i] === 213 && data[i + 1] === 94;
              return count;
            })()"""
        )
        assert orange > 100
        page.evaluate(
            """(() => {
              const spoken = document.getElementById("spoken");
              window.heard = [];
              const observer = new MutationObserver(() => window.heard.push(spoken.textContent));
              observer.observe(spoken, { childList: true, characterData: true, subtree: true });
            })()"""
        )
        page.get_by_role("button", name="Smaller crop").click()  # of a transparent picture
        page.wait_for_function("window.heard.some((text) => text.includes('Crop'))")  # the prediction replaces it
        sync_api.expect(page.locator("tr.best")).to_have_count(1)
        page.locator("#file").set_input_files(tmp_path / "blank.png")
        sync_api.expect(page.locator("#status")).to_have_text("Blank: no object found.")


def test_invalid_picture_shows_an_error(empty_page, address: str, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_bytes(b"not a picture")
    with empty_page(address, writes_errors=True, **DESKTOP) as page:
        page.locator("#file").set_input_files(tmp_path / "letter.png")
        sync_api.expect(page.locator("#problem")).to_contain_text("picture")
        draw(page, 4)
        shows(page, "4")
        sync_api.expect(page.locator("#problem")).to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", DEVICES)
def test_axe_finds_no_accessibility_violations(empty_page, running: RunningService, scheme: str, device: dict) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    with empty_page(running.url, color_scheme=scheme, **device) as page:
        for digit in (None, 8):
            if digit is not None:
                draw(page, digit)
                shows(page, str(digit))
            result = axe.Axe().run(page)
            assert result.violations_count == 0, result.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.locator("#model").select_option("photographs-fp32")
        page.locator("#file").set_input_files(SAMPLES / "2-red-on-yellow.png")
        sync_api.expect(page.locator("tr.best")).to_have_count(1)
        result = axe.Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_page_asks_for_the_api_key(browser, tmp_path: Path) -> None:
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


def test_api_page_loads_without_errors(browser, running: RunningService) -> None:
    with browser.new_context() as context:
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{running.url}docs")
        sync_api.expect(page.get_by_text("Classify a picture")).to_be_visible()
        assert errors == []


def test_site_predictions_equal_those_of_the_runtime(empty_page, site_url: str) -> None:
    rng = np.random.default_rng(0)
    images = np.stack([draw_image(number % 10, rng) for number in range(100)])
    with empty_page(site_url, **DESKTOP) as page:
        for name in ("edge-int8", "fashion-int8"):
            probabilities = page.evaluate(_PROBABILITIES, [name, base64_text(images.tobytes())])
            expected = Classifier(name, provider="cpu").predict_batch(images)
            assert np.abs(np.reshape(probabilities, (100, 10)) - expected).max() < 1e-3


def test_site_predictions_and_maps_of_photographs_equal_those_of_the_runtime(
    empty_page, site_url: str, photograph_model: Path, three_colours: Path
) -> None:
    with empty_page(site_url, **DESKTOP) as page, Classifier(photograph_model, provider="cpu") as classifier:
        text = base64_text(three_colours.read_bytes())
        reading = page.evaluate(_READ_WITH_MAP, ["photographs-fp32", text])
        prepared = classifier.prepare(three_colours)
        assert np.array_equal(np.reshape(reading["image"], (32, 32, 3)), prepared.image)
        expected = classifier.predict_batch(prepared.image[np.newaxis])[0]
        assert np.abs(reading["probabilities"] - expected).max() < 1e-4
        maps = occlusion_maps(classifier.predict_batch, prepared.image[np.newaxis], level=127)
        assert np.abs(np.reshape(reading["map"], (32, 32)) - maps[0, reading["digit"]]).max() < 1e-4


def count_same_digits(page, classifier: Classifier, pictures: list[Path]) -> int:
    digits = [page.evaluate(_READ, ["edge-int8", base64_text(path.read_bytes())]) for path in pictures]
    return sum(digit == classifier.predict(path).digit for digit, path in zip(digits, pictures, strict=True))


@pytest.mark.slow
def test_site_classifies_pictures_like_the_runtime(empty_page, site_url: str, data_folder: Path) -> None:
    classifier = Classifier("edge-int8", provider="cpu")
    samples, photos = find_pictures([SAMPLES]), find_pictures([data_folder / "photos"])
    with empty_page(site_url, **DESKTOP) as page:
        assert count_same_digits(page, classifier, samples) == len(samples)
        assert count_same_digits(page, classifier, photos) >= 0.99 * len(photos)


@pytest.mark.slow
def test_site_works_offline(browser, site: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with file_server(site) as url:
            page.goto(url)
            page.evaluate("navigator.serviceWorker.ready")
            page.wait_for_function("() => navigator.serviceWorker.controller !== null")
        context.set_offline(True)
        page.reload()
        sync_api.expect(page.locator("#model")).to_be_enabled(timeout=30_000)
        draw(page, 5)
        shows(page, "5")


@pytest.mark.slow
def test_repeated_export_updates_the_site(browser, site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    with file_server(folder) as url, browser.new_context() as context:
        page = context.new_page()
        for model in ("edge-int8", "cnn-small-int8"):
            export_web([find_model(model, ANOTHER_MACHINE)], folder, overwrite=True)
            page.goto(url)  # shows the cached site and downloads the new one
            wait_until(lambda model=model: page.evaluate(_IS_CACHED, model))
            page.goto(url)
            sync_api.expect(page.locator("#model")).to_have_value(model)
        context.set_offline(True)
        page.goto(url)
        sync_api.expect(page.locator("#model")).to_have_value(model)


@pytest.mark.slow
def test_two_sites_of_an_origin_have_separate_caches(browser, site: Path, tmp_path: Path) -> None:
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
                page.wait_for_function("() => navigator.serviceWorker.controller !== null")
        for name, model in (("a", "edge-int8"), ("b", "cnn-small-int8")):
            page.goto(f"{url}{name}/")
            sync_api.expect(page.locator("#model")).to_have_value(model, timeout=20_000)


def test_site_opened_from_a_file_shows_how_to_open_it(browser, site: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        sync_api.expect(page.locator("#status")).to_contain_text("over HTTP")


def test_site_rejects_a_modified_model(browser, site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site/models/edge-int8.onnx").write_bytes(b"another")
    with file_server(tmp_path / "site") as url, browser.new_context(service_workers="block") as context:
        page = context.new_page()
        page.goto(url)
        sync_api.expect(page.locator("#problem")).to_contain_text("edge-int8.onnx could not be loaded")


@pytest.mark.slow
def test_site_is_usable_before_its_other_models_are_loaded(browser, site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "site")
    other = tmp_path / "site/models/fashion-int8.onnx"
    content = other.read_bytes()
    other.write_bytes(b"another")
    with file_server(tmp_path / "site") as url, browser.new_context(service_workers="block") as context:
        page, loaded = context.new_page(), []
        page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
        page.goto(url)
        draw(page, 8)
        shows(page, "8")
        assert "edge-int8.onnx" in loaded and "fashion-int8.onnx" not in loaded

        page.locator("#model").select_option("fashion-int8")
        sync_api.expect(page.locator("#problem")).to_contain_text("fashion-int8.onnx could not be loaded")
        page.locator("#model").select_option("edge-int8")
        sync_api.expect(page.locator("#problem")).to_be_empty()
        shows(page, "8")
        other.write_bytes(content)  # a model that could not be loaded is loaded again when it is selected
        page.locator("#model").select_option("fashion-int8")
        sync_api.expect(page.locator("#figures")).to_contain_text("fashion-mnist test set")
        sync_api.expect(page.locator("#figures")).to_contain_text("per image")


def test_export_replaces_only_sites(site: Path, tmp_path: Path) -> None:
    model = find_model("edge", ANOTHER_MACHINE)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("x")
    with pytest.raises(UsageError, match="is not a digits-edge site"):
        export_web([model], tmp_path / "letters", overwrite=True)
    with pytest.raises(UsageError, match="second model"):
        export_web([model, model], tmp_path / "site")
    with pytest.raises(InputError, match="does not exist"):
        export_web([model], tmp_path / "none/site")
    (tmp_path / "letters/models.json").write_text("{}")
    with pytest.raises(UsageError, match="is not a digits-edge site"):
        export_web([model], tmp_path / "letters", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters"]
    export_web([model], tmp_path / "site")
    (tmp_path / "site/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a digits-edge site"):
        export_web([model], tmp_path / "site", overwrite=True)
    (tmp_path / "site/notes.txt").unlink()
    with pytest.raises(UsageError, match="--overwrite"):
        export_web([model], tmp_path / "site")
    (tmp_path / "site/index.html").write_text("old")
    export_web([model], tmp_path / "site", overwrite=True)
    assert (tmp_path / "site/index.html").read_bytes() == (site / "index.html").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "site")
    with pytest.raises(UsageError, match="is not a digits-edge site"):
        export_web([model], tmp_path / "link", overwrite=True)
    (tmp_path / "link").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters", "site"]


def test_wrong_archive_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime-web.tgz").write_bytes(b"another")
    with pytest.raises(InputError, match="is not onnxruntime-web@"):
        export_web([find_model("edge", ANOTHER_MACHINE)], tmp_path / "site", archive=tmp_path / "onnxruntime-web.tgz")
    assert not (tmp_path / "site").exists()


def test_missing_npm_is_a_usage_error_that_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
