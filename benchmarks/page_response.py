"""Benchmark of the latency that the page adds to the service while a digit is drawn; can take screenshots.

    python -m benchmarks.page_response [--pictures docs/pictures]

Requires Chromium and the extra dev. The benchmark draws an 8 ten times, at 60 mouse moves per second. The added latency
of a prediction is the time from the first move that it includes to the change of the page, minus the duration of its
request. A frame is 16.7 ms.
"""

import argparse
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.service_load import service
from digits_edge.runtime.checks.latency import percentile

_REPEATS, _MOVES = 10, 90
_FRAME_MS = 1000 / 60
_SAMPLE = Path(__file__).parents[1] / "samples" / "2-on-a-chalkboard.jpg"
#: Durations of the predictions and of their requests, in ms, both in the order of time.
_DURATIONS = """() => {
  const durations = (entries) => entries.map((entry) => entry.duration);
  const requests = performance.getEntriesByType("resource").filter((entry) => entry.name.includes("/predict"));
  return [durations(performance.getEntriesByName("digits-edge prediction")), durations(requests)];
}"""


def eight(box: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Yield the points of an 8 on the drawing area."""
    for move in range(_MOVES + 1):
        turn = 2 * math.pi * move / _MOVES
        yield (
            box["x"] + box["width"] * (0.5 + 0.17 * math.sin(2 * turn)),
            box["y"] + box["height"] * (0.5 - 0.33 * math.cos(turn)),
        )


def draw(page: Page) -> None:
    """Draw an 8 at the speed of a hand."""
    box = page.locator("#paper").bounding_box()
    assert box
    for number, point in enumerate(eight(box)):
        page.mouse.move(*point)
        if number == 0:
            page.mouse.down()
        page.wait_for_timeout(_FRAME_MS)
    page.mouse.up()


def measure(page: Page) -> dict[str, float]:
    """Measure the latency that the page adds, in frames, and the latency of the service, in ms."""
    added_ms, service_ms = [], []
    for _ in range(_REPEATS):
        page.evaluate("performance.clearMeasures(); performance.clearResourceTimings()")
        draw(page)
        page.wait_for_timeout(500)
        predictions, requests = page.evaluate(_DURATIONS)
        assert len(predictions) == len(requests) > 10
        added_ms += [prediction - request for prediction, request in zip(predictions, requests, strict=True)]
        service_ms += requests
        page.locator("#clear").click()
    return {
        "answers": len(added_ms),
        "service_p50_ms": percentile(service_ms, 50),
        "page_p50_frames": percentile(added_ms, 50) / _FRAME_MS,
        "page_p95_frames": percentile(added_ms, 95) / _FRAME_MS,
        "within_two_frames": sum(ms <= 2 * _FRAME_MS for ms in added_ms) / len(added_ms),
    }


def take_pictures(page: Page, phone: Page, folder: Path) -> None:
    """Take screenshots of the page on a desktop, with a drawing, and on a phone, with a photo."""
    draw(page)
    expect(page.locator("#spoken")).to_contain_text("8.")
    page.screenshot(path=folder / "page-desktop.png", full_page=True)
    phone.locator("#file").set_input_files(_SAMPLE)
    expect(phone.locator("#spoken")).to_contain_text("2.")
    phone.screenshot(path=folder / "page-phone.png", full_page=True)


def main() -> None:
    """Run the benchmark, and take screenshots if `--pictures` is given."""
    parser = argparse.ArgumentParser("python -m benchmarks.page_response", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="folder for screenshots of the page")
    folder = parser.parse_args().pictures
    with service() as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        desktop = browser.new_page(viewport={"width": 1040, "height": 780})
        phone = browser.new_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
        for page in (desktop, phone):
            page.goto(f"http://{address}/")
            expect(page.locator("#model")).to_be_enabled()
        print(json.dumps(measure(desktop)))
        if folder is not None:
            take_pictures(desktop, phone, folder)


if __name__ == "__main__":
    main()
