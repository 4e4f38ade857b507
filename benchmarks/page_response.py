"""How soon the page shows an answer while somebody draws, beside what the service takes; and the page's pictures.

    python -m benchmarks.page_response [--pictures docs/pictures]

Needs Chromium and the extra dev. An 8 is drawn at 60 moves a second, ten times. For every answer: the time from the
first move that it shows to the change of the page, less the time of its request. A frame is 16.7 ms.
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

_TURNS, _MOVES = 10, 90
_FRAME_MS = 1000 / 60
_SAMPLE = Path(__file__).parents[1] / "samples" / "2-on-a-chalkboard.jpg"
#: Times of the answers, and of the requests that they came by, in the order of both.
_TIMES = """() => {
  const times = (entries) => entries.map((entry) => entry.duration);
  const requests = performance.getEntriesByType("resource").filter((entry) => entry.name.includes("/predict"));
  return [times(performance.getEntriesByName("digits-edge answer")), times(requests)];
}"""


def eight(box: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Points of an 8 on the paper."""
    for move in range(_MOVES + 1):
        turn = 2 * math.pi * move / _MOVES
        yield (
            box["x"] + box["width"] * (0.5 + 0.17 * math.sin(2 * turn)),
            box["y"] + box["height"] * (0.5 - 0.33 * math.cos(turn)),
        )


def draw(page: Page) -> None:
    """Draw it as quickly as a hand does."""
    box = page.locator("#paper").bounding_box()
    assert box
    for number, point in enumerate(eight(box)):
        page.mouse.move(*point)
        if number == 0:
            page.mouse.down()
        page.wait_for_timeout(_FRAME_MS)
    page.mouse.up()


def measure(page: Page) -> dict[str, float]:
    """Median and 95th percentile of what the page adds to the service's time, in frames, and of that time."""
    beside, service_ms = [], []
    for _ in range(_TURNS):
        page.evaluate("performance.clearMeasures(); performance.clearResourceTimings()")
        draw(page)
        page.wait_for_timeout(500)
        answers, requests = page.evaluate(_TIMES)
        assert len(answers) == len(requests) > 10
        beside += [answer - request for answer, request in zip(answers, requests, strict=True)]
        service_ms += requests
        page.locator("#clear").click()
    return {
        "answers": len(beside),
        "service_p50_ms": percentile(service_ms, 50),
        "page_p50_frames": percentile(beside, 50) / _FRAME_MS,
        "page_p95_frames": percentile(beside, 95) / _FRAME_MS,
        "within_two_frames": sum(ms <= 2 * _FRAME_MS for ms in beside) / len(beside),
    }


def take_pictures(page: Page, phone: Page, folder: Path) -> None:
    """The page on a desktop with a drawing, and on a phone with a photograph."""
    draw(page)
    expect(page.locator("#spoken")).to_contain_text("8.")
    page.screenshot(path=folder / "page-desktop.png", full_page=True)
    phone.locator("#file").set_input_files(_SAMPLE)
    expect(phone.locator("#spoken")).to_contain_text("2.")
    phone.screenshot(path=folder / "page-phone.png", full_page=True)


def main() -> None:
    """Measure, and take the pictures that are asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks.page_response", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="folder to write them into")
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
