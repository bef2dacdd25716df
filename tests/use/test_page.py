"""The page in a real Chromium: all test images through its own canvas, hands, keys, phones, and no request."""

import base64
import dataclasses
import io
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium
from PIL import Image

from mnist_cnn.data.photo import prepare_photo
from mnist_cnn.export.web import page
from mnist_cnn.models.reading import Scale

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "photos"))
from photographs import ALONE, LEVELS, photograph

pytestmark = pytest.mark.use
pytest_plugins = ["use_fixtures"]
SIDE = 560  # of the paper
AT_ONCE = 100
ON_PAPER = 1000  # pictures: each takes a fiftieth of a second to prepare, twice
# Strokes of each digit on a paper from 0 to 1.
STROKES = {
    0: [[(0.5, 0.2), (0.35, 0.3), (0.3, 0.5), (0.35, 0.7), (0.5, 0.8), (0.65, 0.7), (0.7, 0.5), (0.65, 0.3),
         (0.5, 0.2)]],
    1: [[(0.5, 0.2), (0.5, 0.5), (0.49, 0.8)]],
    2: [[(0.32, 0.33), (0.38, 0.22), (0.52, 0.19), (0.65, 0.28), (0.63, 0.43), (0.47, 0.6), (0.32, 0.78), (0.5, 0.77),
         (0.7, 0.78)]],
    3: [[(0.33, 0.24), (0.5, 0.19), (0.64, 0.28), (0.6, 0.42), (0.46, 0.48), (0.62, 0.54), (0.66, 0.68), (0.54, 0.8),
         (0.34, 0.77)]],
    4: [[(0.36, 0.2), (0.32, 0.4), (0.33, 0.52), (0.5, 0.53), (0.66, 0.5)], [(0.62, 0.22), (0.6, 0.5), (0.58, 0.8)]],
    5: [[(0.66, 0.2), (0.4, 0.21), (0.37, 0.45), (0.55, 0.45), (0.66, 0.57), (0.6, 0.75), (0.45, 0.81), (0.32, 0.76)]],
    6: [[(0.6, 0.18), (0.45, 0.33), (0.36, 0.55), (0.4, 0.75), (0.53, 0.8), (0.64, 0.7), (0.6, 0.57), (0.48, 0.56),
         (0.38, 0.65)]],
    7: [[(0.3, 0.23), (0.5, 0.22), (0.7, 0.22), (0.62, 0.45), (0.52, 0.62), (0.46, 0.82)]],
    8: [[(0.62, 0.28), (0.5, 0.19), (0.38, 0.28), (0.43, 0.42), (0.58, 0.55), (0.64, 0.7), (0.5, 0.81), (0.36, 0.7),
         (0.42, 0.55), (0.57, 0.42), (0.62, 0.28)]],
    9: [[(0.63, 0.3), (0.5, 0.2), (0.37, 0.3), (0.4, 0.45), (0.53, 0.48), (0.64, 0.36), (0.63, 0.3), (0.62, 0.55),
         (0.58, 0.8)]],
}  # fmt: skip
# Opens pictures of bytes as files; what is read of each, whether it was prepared, and the same from the paper, where it
# lies 20 times as large.
OPENED = """(async (text, onPaper) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)), found = [];
  for (let at = 0; at < bytes.length; at += 784) {
    const small = new OffscreenCanvas(28, 28), picture = new ImageData(28, 28);
    for (let i = 0; i < 784; i++) picture.data.set([bytes[at + i], bytes[at + i], bytes[at + i], 255], 4 * i);
    small.getContext("2d").putImageData(picture, 0, 0);
    await open(await small.convertToBlob());
    const made = read(pixelsOf(onPaper ? paper : photo));
    found.push([made.answer, btoa(String.fromCharCode(...made.prepared.image))]);
  }
  return found;
})"""


@pytest.fixture(scope="module")
def file(source, tmp_path_factory):
    found = tmp_path_factory.mktemp("page") / "index.html"
    found.write_bytes(page(source).encode())
    return found


@pytest.fixture
def browser(file):
    with Chromium() as found:
        found.window(1100, 900)
        found.open(file)
        yield found
        assert not found.errors
        assert {url for url in found.requests if not url.startswith(("data:", "blob:"))} == {file.resolve().as_uri()}


def shown(browser) -> str:
    browser.settle()
    return browser.run("byId('digit').textContent")


def place(browser, point):
    left, top, width = browser.run("(({ left, top, width }) => [left, top, width])(paper.getBoundingClientRect())")
    return {"x": left + point[0] * width, "y": top + point[1] * width}


def draw(browser, digit: int, hand: str) -> None:
    browser.run("clear()")
    for points in STROKES[digit]:
        between = [
            (a[0] + (b[0] - a[0]) * t / 4, a[1] + (b[1] - a[1]) * t / 4)
            for a, b in itertools.pairwise(points)
            for t in range(4)
        ]
        places = [place(browser, point) for point in [*between, points[-1]]]
        if hand == "touch":
            browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[places[0]])
            for each in places[1:]:
                browser.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[each])
            browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            continue
        more = {"button": "left", "buttons": 1, "pointerType": hand}
        browser.call("Input.dispatchMouseEvent", type="mousePressed", clickCount=1, **places[0], **more)
        for each in places[1:]:
            browser.call("Input.dispatchMouseEvent", type="mouseMoved", **each, **more)
        browser.call("Input.dispatchMouseEvent", type="mouseReleased", clickCount=1, **places[-1], **more)


def opened(browser, pixels, on_paper: bool) -> tuple[np.ndarray, np.ndarray]:
    """Answers (N,) and prepared pictures (N, 28, 28)."""
    rows = []
    for start in range(0, len(pixels), AT_ONCE):
        text = base64.b64encode(pixels[start : start + AT_ONCE].tobytes()).decode()
        rows += browser.run(f"{OPENED}({json.dumps(text)}, {json.dumps(on_paper)})")
    images = [np.frombuffer(base64.b64decode(image), np.uint8).reshape(28, 28) for _, image in rows]
    return np.array([answer for answer, _ in rows]), np.stack(images)


def test_all_test_images_are_read_as_in_python(browser, pixels, answers, say):
    said, images = opened(browser, pixels, on_paper=False)
    differ, changed = int((said != answers).sum()), int((images != pixels).any((1, 2)).sum())
    say(f"10,000 test images opened as files, through canvas, preparation and net of the page: {differ} answers differ "
        f"from Python's, {changed} pictures were changed by the preparation")  # fmt: skip
    assert (differ, changed) == (0, sum(not np.array_equal(prepare_photo(image).image, image) for image in pixels))


def test_what_is_drawn_is_prepared_as_in_python(browser, source, pixels, say):
    shown = pixels[:ON_PAPER]
    said, images = opened(browser, shown, on_paper=True)
    expected = np.stack([prepare_photo(image.repeat(20, 0).repeat(20, 1)).image for image in shown])
    differ, changed = (
        int((said != source.logits(expected).argmax(1)).sum()),
        int((images != expected).any((1, 2)).sum()),
    )
    say(f"{ON_PAPER:,} test images drawn on the paper of {SIDE} x {SIDE} pixels: {changed} prepared pictures and "
        f"{differ} answers differ from Python's of the same enlargement")  # fmt: skip
    assert (differ, changed) == (0, 0)


def test_photos_are_prepared_as_python_prepares_them(browser, pixels, say):
    chance = np.random.default_rng(7)
    kinds = [*LEVELS.values(), *ALONE.values()]
    differ, count = 0, 170
    for i in range(count):
        picture = photograph(pixels[chance.integers(len(pixels))], kinds[i % len(kinds)], chance).pixels
        packed = io.BytesIO()
        Image.fromarray(picture).save(packed, "PNG")
        text = base64.b64encode(packed.getvalue()).decode()
        prepared = browser.run(f"""(async () => {{
          const bytes = Uint8Array.from(atob("{text}"), (sign) => sign.charCodeAt(0));
          await open(new Blob([bytes], {{ type: "image/png" }}));
          return Array.from(read(pixelsOf(photo)).prepared.image);
        }})()""")
        differ += not np.array_equal(np.reshape(prepared, (28, 28)), prepare_photo(picture).image)
    say(f"{count} photo-like pictures of 64 to 2,000 pixels (PNG): {differ} prepared otherwise than in Python")
    assert differ == 0


@pytest.mark.parametrize("hand", ["mouse", "pen", "touch"])
def test_strokes_are_read(browser, hand, say):
    browser.window(390, 844, phone=True) if hand == "touch" else None
    found = {}
    for digit in STROKES:
        draw(browser, digit, hand)
        found[digit] = shown(browser)
    say(f"strokes by {hand}: {', '.join(f'{digit} read as {answer}' for digit, answer in found.items())}")
    assert found == {digit: str(digit) for digit in STROKES}
    browser.run("byId('undo').click()")
    browser.run("byId('clear').click()")
    assert shown(browser) == "?"


def test_keys_draw_and_a_screen_reader_is_told(browser, say):
    reached = []
    for _ in range(5):
        browser.key("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.tagName"))
    assert reached == ["paper", "clear", "photo", "SUMMARY", "BODY"]  # nothing to undo yet
    browser.run("paper.focus()")
    browser.key(" ")
    for _ in range(10):
        browser.key("ArrowDown")
    browser.key(" ")
    assert shown(browser) == "1"
    browser.run("new Promise((done) => setTimeout(done, 800))")
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value", "").lower()) for n in tree if not n.get("ignored")}
    roles = {"application": "drawing area", "button": "clear", "heading": "what it reads"}
    assert set(roles.items()) <= named
    assert ("button", "undo") in named
    assert ("button", "photo …") in named
    assert any(name.startswith("the picture as the network gets it") for _, name in named)
    assert any(name.startswith("what the first layer finds") for _, name in named)
    spoken = browser.run("byId('spoken').textContent")
    assert "Read as 1, " in spoken
    assert browser.run("byId('spoken').getAttribute('aria-live')") == "polite"
    assert browser.run("Array.from(byId('bars').children).every((row) => row.textContent.includes('%'))")
    browser.key("Delete")
    assert shown(browser) == "?"
    say(f"by keys alone: Tab reaches {', '.join(reached[:-1])}; a line drawn by arrow keys is read; announced: "
        f"\"{spoken}\"")  # fmt: skip


def test_the_pen_of_the_keyboard_is_lifted_by_what_ends_its_stroke(browser, say):
    ways = ("byId('clear').click()", "byId('undo').click()")
    for way in (*ways, "mouse"):
        browser.run("clear(); paper.focus()")
        browser.key(" ")
        assert browser.run("hand.down && byId('cursor').classList.contains('down')")
        draw(browser, 1, way) if way == "mouse" else browser.run(way)
        assert not browser.run("hand.down || live !== null || byId('cursor').classList.contains('down')")
        before = browser.run("strokes.flat().length")
        browser.key("ArrowDown")
        assert browser.run("strokes.flat().length") == before
    say("Clear, Undo and a stroke by mouse lift the pen of the keyboard")


def test_a_browser_that_cannot_unpack_the_net_says_so(file, say):
    assert "<noscript>" in file.read_text()
    with Chromium() as browser:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.DecompressionStream")
        browser.call("Page.navigate", url=file.resolve().as_uri())
        browser.run(
            "new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))"
        )
        browser.run("ready.catch(() => 0)")
        draw(browser, 1, "mouse")
        browser.settle()
        said = browser.run("byId('sure').textContent")
        assert not browser.errors
    assert "Firefox 113, Safari 16.4 or Chrome 103" in said
    say(f'without DecompressionStream: "{said}"')


def test_phones_show_it_whole(browser, file, say):
    for width, height in ((320, 568), (390, 844)):
        browser.window(width, height, phone=True)
        draw(browser, 7, "touch")
        assert shown(browser) == "7"
        assert browser.run("document.documentElement.scrollWidth") == width
        sizes = browser.run("Array.from(document.querySelectorAll('button'), (b) => b.getBoundingClientRect().height)")
        assert min(sizes) >= 44
        below = browser.run("byId('digit').getBoundingClientRect().bottom + scrollY")
        say(f"window of {width} x {height}: nothing wider than it, the answer ends at {below:.0f} pixels, buttons are "
            f"{min(sizes):.0f} high; the page has {file.stat().st_size:,} bytes")  # fmt: skip


def test_a_net_of_pictures_on_a_light_ground_has_a_white_paper(source, tmp_path, say):
    light = dataclasses.replace(source, scale=Scale(mean=200, preparation="resize"))
    (tmp_path / "light.html").write_bytes(page(light).encode())
    seen = "Array.from(read(pixelsOf(paper)).prepared.image)"
    with Chromium() as browser:
        browser.window(1100, 900)
        browser.open(tmp_path / "light.html")
        assert set(browser.run(seen)) == {255}
        draw(browser, 1, "mouse")
        drawn = browser.run(seen)
        browser.picture(tmp_path / "light.png")
    assert min(drawn) < 60
    assert max(drawn) == 255
    assert np.mean(drawn) > 200
    say(f"a net of pictures on a light ground: a one drawn in black on white, {np.mean(drawn):.0f} of 255 on average")


def test_a_photo_is_turned_as_its_exif_says(browser, say):
    image = Image.fromarray(photograph(np.zeros((28, 28), np.uint8) + _seven(), LEVELS["mild"], _chance()).pixels)
    packed = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(packed, "JPEG", quality=92, exif=exif)
    text = base64.b64encode(packed.getvalue()).decode()
    browser.run(f"""(async () => {{
      const bytes = Uint8Array.from(atob("{text}"), (sign) => sign.charCodeAt(0)), data = new DataTransfer();
      data.items.add(new File([bytes], "seven.jpg", {{ type: "image/jpeg" }}));
      byId("drop").dispatchEvent(new DragEvent("drop", {{ dataTransfer: data, bubbles: true, cancelable: true }}));
      await new Promise((done) => setTimeout(done, 500));
    }})()""")
    assert shown(browser) == "7"
    browser.run("open(new Blob(['no picture'], { type: 'image/png' }))")
    browser.settle()
    assert "no picture that the browser can open" in browser.run("byId('sure').textContent")
    say("a dropped JPEG is turned as its EXIF says and read; a file that is no picture is said to be none")


def _seven() -> np.ndarray:
    image = np.zeros((28, 28), np.uint8)
    image[5:8, 7:20] = 255
    for i in range(14):
        image[7 + i, 18 - i // 2 : 21 - i // 2] = 255
    return image


def _chance() -> np.random.Generator:
    return np.random.default_rng(3)
