"""The page in a browser: what it does, by mouse and by keyboard, and that it asks nothing of the network."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from steel_defects.page.content import Chart, Comparison, Omission, Picture, Report, Section, Shown
from steel_defects.page.html import write_page
from steel_defects.page.overlay import class_colour
from steel_defects.page.sheet import Sheet

HOSTILE = """</script><img src=x onerror="document.title='broken'">'&amp; .jpg"""
CLASSES, SYSTEMS = ["pit", "scratch", "patch"], ["alpha", "beta <b>", "gamma"]
STEP = 24  # cards that come at a time
SIZE = (40, 160)


def uri(pixels: np.ndarray, kind: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def layer(columns: slice, colour: str) -> str:
    """Opaque in some columns, transparent in the others."""
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[:, columns] = [*bytes.fromhex(colour[1:]), 255]
    return uri(pixels, "PNG")


# Grey 60 to the left, 200 to the right; the truth in the first quarter, the prediction in the last.
IMAGE = uri(np.repeat(np.repeat([[60, 200]], SIZE[1] // 2, axis=1), SIZE[0], axis=0).astype(np.uint8), "JPEG")
TRUTH, PREDICTION = layer(slice(0, 40), class_colour(1)), layer(slice(120, 160), class_colour(2))


def a_picture(k: int, rng: np.random.Generator) -> Picture:
    """Every fourth one is clean; what is predicted is drawn by lot."""
    true = [name for name in CLASSES if k % 4 and rng.random() < 0.5] or ([CLASSES[k % 3]] if k % 4 else [])
    shown = []
    for system in SYSTEMS[: 2 if k == 5 else 3]:  # one picture lacks a system
        ious = {name: float(rng.choice([0, 1, rng.random()])) for name in true}
        ious |= {name: 0.0 for name in CLASSES if name not in true and rng.random() < 0.2}
        shown.append(Shown(system, PREDICTION, float(np.mean(list(ious.values()))) if ious else None, ious))
    return Picture(HOSTILE if k == 6 else f"{(k * 37) % 100:02d}_strip.jpg", SIZE, IMAGE, TRUTH, true, shown)


@pytest.fixture(scope="module")
def report() -> Report:
    rng = np.random.default_rng(0)
    gallery = [a_picture(k, rng) for k in range(24)]
    figure = Figure(figsize=(4, 2))
    figure.subplots().plot([0, 1])
    wide = Sheet("Scores", [f"heading{k}" for k in range(30)], [["0.123456"] * 30])
    sections = [
        Section("scores", "Scores", ["A note."], [wide], [Chart("c", "Curves", "It rises", figure)], details=[wide]),
        Section("same", "The same images", comparisons=[Comparison("typical", "Typical", "By a rule.", gallery[5:7])]),
    ]
    left = [Omission("runs/3", "failed")]
    return Report("A study", ["alpha wins."], {"Data": "made up"}, sections, gallery, SYSTEMS, CLASSES, left)


def expected(report: Report, sort="worst first", of="all", system="all", least=0.0, most=1.0, text="") -> list:
    """(image, system) of the cards that should be there, in their order."""
    cards = []
    for picture in report.gallery:
        for shown in picture.shown:
            rank, name = SYSTEMS.index(shown.group), shown.group
            if system not in ("all", name) or text.lower() not in picture.image_id.lower():
                continue
            iou = shown.class_scores.get(of) if of in CLASSES else shown.score
            if of in CLASSES and of not in {*picture.classes, *shown.class_scores}:
                continue
            if "clean" in of and picture.classes:
                continue
            if not (least <= iou <= most if iou is not None else (least, most) == (0, 1)):
                continue
            by_iou = 2 if iou is None else iou if sort == "worst first" else -iou
            cards.append((0 if sort == "by name" else by_iou, picture.image_id, rank, name))
    return [(image, name) for _, image, _, name in sorted(cards)]


@pytest.fixture(scope="module")
def address(report, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(report, path)
    return path.as_uri()


@pytest.fixture
def page(visit, address) -> webdriver.Chrome:
    """The page, just opened."""
    return visit(address)


def cards(page) -> list[tuple[str, str]]:
    """(image, system) of the cards that are there, in their order."""
    script = """return [...document.querySelectorAll(".card")].map(
        (card) => [".image-id", ".group"].map((part) => card.querySelector(part).textContent))"""
    return [tuple(card) for card in page.execute_script(script)]


def all_cards(page) -> list[tuple[str, str]]:
    button = page.find_element(By.ID, "page-more")
    while button.is_displayed():
        button.click()
    return cards(page)


def count(page) -> str:
    return page.find_element(By.ID, "page-count").text


def choose(page, **values: str) -> None:
    for name, value in values.items():
        control = page.find_element(By.ID, f"page-{name}")
        if control.tag_name == "select":
            options = [option.text for option in Select(control).options]
            control.send_keys(Keys.HOME, *[Keys.ARROW_DOWN] * options.index(value))
        else:
            control.clear()
            control.send_keys(value)


@pytest.mark.smoke
def test_the_worst_come_first(page, report):
    assert cards(page) == expected(report)[:STEP]
    assert count(page) == f"71 of 71 match, {STEP} shown"


@pytest.mark.parametrize("sort", ["worst first", "best first", "by name"])
@pytest.mark.parametrize("of", ["all", "scratch"])
def test_cards_are_sorted(page, report, sort, of):
    choose(page, **{"class": of}, sort="best first" if sort == "by name" else "by name")
    choose(page, sort=sort)
    assert all_cards(page) == expected(report, sort, of)


@pytest.mark.parametrize(
    "by",
    [
        {"of": "pit"},
        {"of": "clean images (false alarms)"},
        {"system": "beta <b>"},
        {"least": 0.25, "most": 0.75},
        {"of": "patch", "most": 0.5},
        {"most": 0.0},
        {"text": "7_STRIP"},
        {"text": "</script>"},
        {"text": "no such image"},
        {"of": "patch", "system": "gamma", "least": 0.1, "text": "strip"},
        {},
    ],
    ids=str,
)
def test_filters_leave_exactly_what_was_asked_for(page, report, by):
    names = {"of": "class", "system": "group"}
    choose(page, **{names.get(key, key): str(value) for key, value in by.items()})
    wanted = expected(report, **by)
    assert (len(wanted) < 71, bool(wanted)) == (bool(by), by != {"text": "no such image"})
    if len(wanted) > STEP:
        assert count(page) == f"{len(wanted)} of 71 match, {STEP} shown"
    assert all_cards(page) == wanted
    assert count(page) == f"{len(wanted)} of 71 shown"


def test_a_card_says_whose_it_is_and_how_good(page, report):
    choose(page, text=report.gallery[1].image_id, group="alpha")
    picture = report.gallery[1]
    shown = picture.shown[0]
    card = page.find_element(By.CLASS_NAME, "card")
    lines = [picture.image_id, f"IoU {shown.score:.3f}", "alpha"]
    lines += [f"{name} {shown.class_scores[name]:.3f}" for name in CLASSES if name in shown.class_scores]
    assert card.text.split("\n") == [*lines, f"Truth: {', '.join(picture.classes)}"]


def test_more_are_shown_on_request(page, report):
    button = page.find_element(By.ID, "page-more")
    button.click()
    assert cards(page) == expected(report)[: 2 * STEP]
    assert count(page) == f"71 of 71 match, {2 * STEP} shown"
    assert page.switch_to.active_element.find_element(By.CLASS_NAME, "image-id").text == cards(page)[STEP][0]
    button.click()
    assert cards(page) == expected(report)
    assert count(page) == "71 of 71 shown"
    assert not button.is_displayed()


def shown_layers(page) -> dict[str, set[bool]]:
    """Whether the layers of each kind are displayed, by where they are."""
    script = """return [...document.querySelectorAll(".layers img")].map((image) => [
        image.closest(".card") ? "gallery" : "comparison",
        ["truth", "prediction"].find((kind) => image.classList.contains(kind)) || "base",
        image.checkVisibility() && image.getBoundingClientRect().width > 0])"""
    found: dict[str, set[bool]] = {}
    for place, kind, visible in page.execute_script(script):
        found.setdefault(f"{place} {kind}", set()).add(visible)
    return found


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("off", [["truth"], ["prediction"], ["truth", "prediction"]], ids=str)
def test_layers_are_switched_on_the_whole_page(page, off, place):
    kinds = ["gallery base", "gallery truth", "gallery prediction", "comparison truth", "comparison prediction"]
    assert shown_layers(page) == {kind: {True} for kind in kinds}
    for layer in off:
        page.find_elements(By.CSS_SELECTOR, f"[data-layer={layer}]")[place].click()
    assert shown_layers(page) == {kind: {kind.split()[1] not in off} for kind in kinds}
    for layer in ("truth", "prediction"):
        boxes = page.find_elements(By.CSS_SELECTOR, f"[data-layer={layer}]")
        assert [box.is_selected() for box in boxes] == [layer not in off] * 2
    choose(page, sort="by name")  # cards that come later obey, too
    assert shown_layers(page) == {kind: {kind.split()[1] not in off} for kind in kinds}
    for layer in off:
        page.find_elements(By.CSS_SELECTOR, f"[data-layer={layer}]")[1 - place].click()
    assert shown_layers(page) == {kind: {True} for kind in kinds}


def colours(element) -> list[list[int]]:
    """RGB in the middle of each quarter of an element, from left to right."""
    picture = Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")
    return [list(picture.getpixel((picture.width * k // 8, picture.height // 2))) for k in (1, 3, 5, 7)]


def test_layers_lie_over_the_image(page):
    first, second = (list(bytes.fromhex(class_colour(c)[1:])) for c in (1, 2))
    dark, bright = [60] * 3, [200] * 3
    page.execute_script("document.querySelectorAll('.layer-bar').forEach((bar) => { bar.style.position = 'static'; })")
    panels = page.find_elements(By.CSS_SELECTOR, ".picture:first-of-type .panel .layers")
    plain, truth, *predicted = [colours(panel) for panel in panels]
    np.testing.assert_allclose(plain, [dark, dark, bright, bright], atol=3)
    np.testing.assert_allclose(truth, [first, dark, bright, bright], atol=3)
    assert len(predicted) == 2  # one system was not tested on it
    for panel in predicted:
        np.testing.assert_allclose(panel, [dark, dark, bright, second], atol=3)
    card = page.find_element(By.CSS_SELECTOR, ".card .layers")
    np.testing.assert_allclose(colours(card), [first, dark, bright, second], atol=3)
    page.find_element(By.CSS_SELECTOR, "[data-layer=truth]").click()
    np.testing.assert_allclose(colours(card), [dark, dark, bright, second], atol=3)


def test_markup_in_a_name_is_text(page):
    choose(page, text="onerror")
    titles = page.find_elements(By.CSS_SELECTOR, ".card .image-id")
    assert [title.text for title in titles] == [HOSTILE] * 3
    assert HOSTILE in [title.text for title in page.find_elements(By.CSS_SELECTOR, ".picture strong")]
    assert page.title == "A study"
    assert not page.find_elements(By.CSS_SELECTOR, "[onerror], [src=x]")


def press(page, *keys: str) -> None:
    webdriver.ActionChains(page).send_keys(*keys).perform()


def tab_to(page, selector: str) -> None:
    """Go on with the tabulator key; every stop must be visible as such."""
    for _ in range(40):
        press(page, Keys.TAB)
        focused = page.switch_to.active_element
        outline = page.execute_script("return getComputedStyle(arguments[0]).outlineStyle", focused)
        assert outline != "none", focused.get_attribute("outerHTML")
        if page.execute_script("return arguments[0].matches(arguments[1])", focused, selector):
            return
    pytest.fail(f"{selector} is not reached")


def test_all_works_by_keyboard(page, report):
    tab_to(page, ".skip")
    press(page, Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "page-main"
    tab_to(page, "nav a[href='#page-gallery']")
    tab_to(page, ".scroll")
    press(page, Keys.ARROW_RIGHT)
    scroll = page.find_element(By.CLASS_NAME, "scroll")
    WebDriverWait(page, 5).until(lambda page: scroll.get_property("scrollLeft") > 0)
    tab_to(page, "summary")
    press(page, Keys.ENTER)
    assert page.find_element(By.CSS_SELECTOR, "details table").is_displayed()
    tab_to(page, "[data-layer=truth]")
    press(page, Keys.SPACE)
    assert shown_layers(page)["gallery truth"] == {False}
    tab_to(page, "#page-sort")
    press(page, Keys.ARROW_DOWN)
    assert cards(page) == expected(report, "best first")[:STEP]
    tab_to(page, "#page-class")
    press(page, Keys.ARROW_DOWN)
    tab_to(page, "#page-group")
    press(page, Keys.ARROW_DOWN)
    tab_to(page, "#page-least")
    press(page, "0.1")
    tab_to(page, "#page-text")
    press(page, "strip", Keys.ENTER)
    wanted = expected(report, "best first", "pit", "alpha", least=0.1, text="strip")
    assert wanted
    assert cards(page) == wanted
    choose(page, text="", least="0", group="all", **{"class": "all"})
    tab_to(page, "#page-more")
    press(page, Keys.ENTER)
    assert cards(page) == expected(report, "best first")[: 2 * STEP]
    tab_to(page, "#page-more")
    press(page, Keys.SPACE)
    assert cards(page) == expected(report, "best first")


def test_every_image_is_one_and_has_words_or_is_a_layer_of_one_that_has(page):
    script = """return [...document.images].map((image) => [image.getAttribute("alt"),
        image.classList.contains("layer"), image.closest(".layers")?.matches("[role=img][aria-label]") ?? false,
        Boolean(image.closest(".layers")?.querySelector("img:first-child")?.alt)])"""
    images = page.execute_script(script)
    assert len(images) > 3 * STEP
    assert all(alt if not is_layer else alt == "" and (named or based) for alt, is_layer, named, based in images)
    page.execute_script("for (const image of document.images) image.loading = 'eager'")
    broken = "return [...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
    WebDriverWait(page, 10).until(lambda page: page.execute_script(broken) == 0)


def test_headings_do_not_skip_a_level_ids_are_unique_and_every_control_has_a_label(page):
    levels = [int(element.tag_name[1]) for element in page.find_elements(By.CSS_SELECTOR, "h1, h2, h3, h4, h5, h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(lower - upper <= 1 for upper, lower in itertools.pairwise(levels))
    ids = page.execute_script("return [...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids)) > 10
    script = (
        "return [...document.querySelectorAll('input, select')].map((element) => element.labels[0]?.innerText ?? '')"
    )
    labels = page.execute_script(script)
    assert len(labels) == 10
    assert all(label.strip() for label in labels)


def test_a_form_that_is_sent_goes_nowhere(page, address):
    """Enter sends a form in some browsers and not in others."""
    page.execute_script("for (const form of document.forms) form.requestSubmit()")
    assert page.current_url == address


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    assert colour.startswith("rgb("), f"{colour} is translucent"
    share = np.array([float(value) for value in colour[4:-1].split(",")]) / 255
    return float(np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    dark, bright = sorted([luminance(first), luminance(second)])
    return (bright + 0.05) / (dark + 0.05)


def test_text_stands_out_from_its_background(page):
    page.execute_script("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
    script = """
        const clear = "rgba(0, 0, 0, 0)";
        const found = {};
        for (const element of document.querySelectorAll("body, body *")) {
          const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
          if (!(own || element.matches("select, input")) || !element.checkVisibility()) continue;
          let behind = element;
          while (behind && getComputedStyle(behind).backgroundColor === clear) behind = behind.parentElement;
          const background = behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)";
          found[`${element.tagName.toLowerCase()} ${element.className}`.trim()] = [
            getComputedStyle(element).color, background];
        }
        return found;"""
    found = page.execute_script(script)
    assert {"h1", "li", "p note", "figcaption", "a", "button", "td number", "caption", "dt", "select"} <= set(found)
    assert {name: contrast(*pair) for name, pair in found.items() if contrast(*pair) < 4.5} == {}
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.005)  # known


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_only_tables_and_charts_scroll_sideways(page, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    root = page.find_element(By.TAG_NAME, "html")
    assert root.get_property("scrollWidth") <= root.get_property("clientWidth") <= width
    scroll = page.find_element(By.CLASS_NAME, "scroll")
    assert scroll.get_property("scrollWidth") > scroll.get_property("clientWidth")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_policy_stops_what_should_ever_get_in(driver, address):
    driver.get(address)
    script = """
        const done = arguments[arguments.length - 1], stopped = [];
        document.addEventListener("securitypolicyviolation", (event) => {
          stopped.push(event.effectiveDirective);
          if (stopped.length === 3) done(stopped.sort());
        });
        document.body.insertAdjacentHTML("beforeend",
          "<img src='http://127.0.0.1:9/x.png'><p id='trap' onclick='document.title=\\"broken\\"'>x</p>");
        document.getElementById("trap").click();
        fetch("http://127.0.0.1:9/").catch(() => {});"""
    assert driver.execute_async_script(script) == ["connect-src", "img-src", "script-src-attr"]
    assert driver.title == "A study"


def test_a_report_without_pictures_and_charts_is_a_page_too(driver, tmp_path):
    path = tmp_path / "bare.html"
    section = Section("scores", "Scores", sheets=[Sheet("Scores", ["System", "mIoU"], [["alpha", "0.5"]])])
    write_page(Report("Bare", ["alpha wins."], {}, [section], [], SYSTEMS, CLASSES), path)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(path.as_uri())
    assert driver.get_log("browser") == []
    assert [heading.text for heading in driver.find_elements(By.TAG_NAME, "h2")] == ["Findings", "Contents", "Scores"]
    assert all(section.text.strip() for section in driver.find_elements(By.TAG_NAME, "section"))
    assert not driver.find_elements(By.CSS_SELECTOR, "figure, form, img, button, .layer-bar, details")
