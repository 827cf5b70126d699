"""The page of `dshgan demo` in Debian's chromium, used as a person does."""

import re
import shutil
import urllib.parse

import pytest
from demo_index import bomb, digits_images, make, png_of, serving
from playwright.sync_api import expect, sync_playwright


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    assert path, "no chromium; make test-browser installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        yield browser
        browser.close()


@pytest.fixture
def index(made, tmp_path):
    shutil.copytree(made / "my.index", tmp_path / "my.index")
    return tmp_path / "my.index"


@pytest.fixture
def page(browser):
    """A window. At its end: nothing was asked of another machine, and no script failed."""
    page, hosts, failed = browser.new_page(viewport={"width": 1280, "height": 900}), set(), []
    page.on("request", lambda request: hosts.add(urllib.parse.urlparse(request.url).hostname))
    page.on("pageerror", lambda error: failed.append(error))
    page.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    yield page
    page.close()
    assert hosts - {None} == {"127.0.0.1"} and not failed  # None: pictures within the page itself


def upload(page, name, contents):
    page.set_input_files("#upload input[type=file]", {"name": name, "mimeType": "image/png", "buffer": contents})


def set_slider(page, label, value):
    box = page.get_by_role("spinbutton", name=re.compile(label)).locator("visible=true")
    box.fill(str(value))
    box.press("Enter")


def captions(page):
    return page.locator(".neighbours .caption-label").locator("visible=true").all_inner_texts()


def test_search_sliders_and_adding(page, index):
    with serving(index) as (url, _):
        page.goto(url)
        # It opens with a search by one of its own images.
        expect(page.locator("#code")).to_contain_text("Code of ")
        expect(page.locator(".choices img")).to_have_count(12)
        # An upload.
        mine = 255 - digits_images()[50]
        upload(page, "mine.png", png_of(mine))
        expect(page.locator("#code")).to_contain_text("Code of mine.png: dark squares are ones")
        assert page.locator("#code svg rect").count() == 12
        assert "mine.png" not in " ".join(captions(page))
        # The sliders, and what to expect.
        set_slider(page, "Radius", 12)
        expect(page.locator(".count").first).to_have_text("40 images lie within 12 bits; the 12 nearest are shown")
        expect(page.locator(".expected").first).to_contain_text(re.compile(r"expected precision 0\.\d\d \[0\.\d\d, "))
        set_slider(page, "Images to show", 3)
        expect(page.locator(".neighbours .caption-label")).to_have_count(3)
        distances = [int(caption.split()[0]) for caption in captions(page)]
        assert distances == sorted(distances)
        # A neighbour's code beside the query's.
        page.locator(".neighbours button.thumbnail-item").nth(2).click()
        expect(page.locator(".detail").first).to_contain_text(f"{distances[2]} of 12 bits differ")
        assert page.locator(".detail svg rect[stroke]").count() == distances[2]
        # Added, it is found, and so it is by who comes later.
        page.get_by_role("button", name="Add to the index").click()
        expect(page.locator("#message")).to_contain_text("added as mine.png; 41 images")
        set_slider(page, "Images to show", 60)
        expect(page.locator(".neighbours .caption-label")).to_have_count(41)
        assert "0 bits\nmine.png" in captions(page)
        expect(page.get_by_role("button", name="Add to the index")).to_be_disabled()
        expect(page.get_by_text("41 images, codes of 12 bits, 10 classes")).to_be_visible()
        page.reload()
        expect(page.get_by_text("41 images, codes of 12 bits, 10 classes")).to_be_visible()
        # One of the index: by a click on it.
        page.locator(".choices button.thumbnail-item").nth(5).click()
        page.locator(".neighbours button.thumbnail-item").first.click()
        expect(page.locator(".detail").first).to_contain_text("0 of 12 bits differ")
        chosen = captions(page)[0].split("\n")[1]
        page.get_by_role("button", name="Search with the image clicked").click()
        expect(page.locator("#code")).to_contain_text(f"Code of {chosen}")


def test_labels(page, index):
    with serving(index) as (url, _):
        page.goto(url)
        page.get_by_role("tab", name="Search by label").click()
        expect(page.locator(".drawn img")).to_have_count(24)
        expect(page.get_by_text("Code of 0: the majority of the drawn images' bits")).to_be_visible()
        before = page.locator(".drawn img").first.get_attribute("src")
        page.get_by_role("button", name="Draw again").click()
        expect(page.locator(".drawn img").first).not_to_have_attribute("src", before)
        page.locator("#labels input").click()
        page.get_by_role("option", name="7").click()
        expect(page.get_by_text("Code of 7: the majority of the drawn images' bits")).to_be_visible()
        set_slider(page, "Images to show", 5)
        expect(page.locator(".neighbours .caption-label").locator("visible=true")).to_have_count(5)


def test_labels_without_a_generator(page, index):
    (index / "generator.tflite").unlink()
    with serving(index) as (url, _):
        page.goto(url)
        page.get_by_role("tab", name="Search by label").click()
        expect(page.get_by_text("This index has no generator")).to_be_visible()
        expect(page.locator(".neighbours .caption-label").locator("visible=true").first).to_contain_text("probability")


def test_run(page, made, index):
    with serving(index, "--run", str(made / "run")) as (url, _):
        page.goto(url)
        page.get_by_role("tab", name="Training run").click()
        expect(page.get_by_role("cell", name="with GAN")).to_be_visible()
        for name in ("learning_curves", "retrieval", "code_map", "calibration"):
            expect(page.locator(f"#{name} img")).to_be_visible()
    with serving(index) as (url, _):
        page.goto(url)
        page.get_by_role("tab", name="Training run").click()
        expect(page.get_by_text("Start the page with --run")).to_be_visible()
        expect(page.locator("#calibration img")).to_be_visible()
        assert not page.locator("#retrieval img").count()


def test_hostile_uploads_get_a_line_and_the_page_goes_on(page, index, tmp_path):
    script = "<img src=x onerror=document.title='taken'>.png"
    with serving(index) as (url, _):
        page.goto(url)
        expect(page.locator("#code")).to_contain_text("Code of ")
        title = page.title()
        upload(page, "bomb.png", bomb())
        expect(page.locator("#message .wrong")).to_contain_text("cannot read bomb.png as an image")
        upload(page, "page.png", b"<html><script>document.title='taken'</script></html>")
        expect(page.locator("#message .wrong")).to_contain_text("cannot read page.png as an image")
        upload(page, script, png_of(digits_images()[0]))
        expect(page.locator("#code")).to_contain_text("onerror")
        expect(page.locator("#message .wrong")).to_have_count(0)
        page.get_by_role("button", name="Add to the index").click()
        expect(page.locator("#message .done")).to_contain_text("41 images")
        set_slider(page, "Images to show", 60)
        set_slider(page, "Radius", 12)
        expect(page.locator(".neighbours .caption-label")).to_have_count(41)
        # A file that is too large is refused by the server, and the page goes on.
        (tmp_path / "large.png").write_bytes(bytes(21 << 20))
        page.set_input_files("#upload input[type=file]", tmp_path / "large.png")
        expect(page.get_by_text(re.compile("maximum allowed size|exceeds", re.I)).first).to_be_visible()
        page.locator(".choices button.thumbnail-item").nth(1).click()
        expect(page.locator("#code")).not_to_contain_text("onerror")
        assert page.title() == title and not page.locator("img[src=x]").count()
