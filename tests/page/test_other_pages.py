"""Pages of other commands in a browser: findings that are worst where they are high, and labels without predictions."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from steel_defects.page.content import Comparison, Picture, Report, Section, Shown, Words
from steel_defects.page.html import write_page
from steel_defects.page.overlay import class_colour
from steel_defects.page.pictures import labelled_picture, overlay_layer

CLASSES, KINDS = ["pit", "scratch"], ["missing label", "wrong class"]
ODD = "$& {group} {id}.jpg"  # what a name may not be taken for
WORDS = Words(
    facts="What was read",
    gallery="Suspicious labels",
    gallery_note="The higher, the likelier.",
    group="Kind",
    score="Suspicion",
    worst="most suspicious first",
    best="least suspicious first",
    low_is_worst=False,
    clean="",
    truth_layer="Label (dashed outline)",
    overlay_layer="Suggestion (tinted)",
    truth="Label",
    classes="Labelled: ",
    alt="{id}, labelled, and a {group}",
)


def labelled(image_id: str, shape: tuple[int, int], shown=(), caption: str = "") -> Picture:
    """Grey 120, with a pit of the whole height in the first quarter."""
    mask = np.zeros(shape, np.uint8)
    mask[:, : shape[1] // 4] = 1
    return labelled_picture(image_id, np.full(shape, 120, np.uint8), mask, CLASSES, shown, caption=caption)


def finding(kind: str, score: float | None, note: str = "") -> Shown:
    """A scratch in the last quarter of a square image."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 48:] = 2
    verdict = "not scored" if score is None else f"suspicion {score:.2f}"
    return Shown(kind, overlay_layer(mask), score, {} if score is None else {"scratch": score}, note, verdict)


AUDITED = [
    labelled("a.jpg", (64, 64), [finding(KINDS[0], 0.9, "Three nets see it."), finding(KINDS[0], 0.4)], "camera 2"),
    labelled(ODD, (64, 64), [finding(KINDS[1], 0.0625), finding(KINDS[0], None)]),
    *(labelled(f"b{k:03}.jpg", (64, 64), [finding(KINDS[1], 0.5)]) for k in range(40)),
]
SQUARES = [labelled(f"square{k}.jpg", (200, 200), caption=f"{k} pits") for k in range(5)]
STRIPS = [labelled(f"strip{k}.jpg", (64, 400)) for k in range(3)]


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "audit.html"
    sheets = [
        Comparison("squares", "Squares", "By lot.", SQUARES),
        Comparison("strips", "Strips", "By lot.", STRIPS),
        Comparison("mixed", "Mixed", "By lot.", [*SQUARES[:2], STRIPS[0]]),
    ]
    section = Section("labels", "Labels", comparisons=sheets)
    write_page(Report("An audit", [], {"Data": "made up"}, [section], AUDITED, KINDS, CLASSES, words=WORDS), path)
    return path.as_uri()


@pytest.fixture
def page(visit, address) -> webdriver.Chrome:
    return visit(address)


def cards(page) -> list[list[str]]:
    """Lines of the cards that are there, in their order."""
    return [card.text.split("\n") for card in page.find_elements(By.CLASS_NAME, "card")]


def choose(page, **values: str) -> None:
    for name, value in values.items():
        control = page.find_element(By.ID, f"page-{name}")
        options = [option.text for option in Select(control).options]
        control.send_keys(Keys.HOME, *[Keys.ARROW_DOWN] * options.index(value))


def test_the_highest_are_the_worst_and_what_is_not_scored_comes_last(page):
    assert cards(page)[0] == [
        "a.jpg",
        "suspicion 0.90",
        "missing label",
        "Three nets see it.",
        "scratch 0.900",
        "Labelled: pit · camera 2",
    ]
    page.find_element(By.ID, "page-text").send_keys(".jpg")
    choose(page, sort="least suspicious first")
    assert [card[:3] for card in cards(page)[:2]] == [
        [ODD, "suspicion 0.06", "wrong class"],
        ["a.jpg", "suspicion 0.40", "missing label"],
    ]
    choose(page, group="missing label")
    assert [card[1] for card in cards(page)] == ["suspicion 0.40", "suspicion 0.90", "not scored"]
    choose(page, sort="most suspicious first")
    assert [card[1] for card in cards(page)] == ["suspicion 0.90", "suspicion 0.40", "not scored"]


def test_findings_of_one_kind_in_one_image_are_cards_in_their_order(page):
    choose(page, sort="by name", group="missing label")
    assert [card[:2] for card in cards(page)] == [
        [ODD, "not scored"],
        ["a.jpg", "suspicion 0.90"],
        ["a.jpg", "suspicion 0.40"],
    ]
    assert cards(page)[2] == ["a.jpg", "suspicion 0.40", "missing label", "scratch 0.400", "Labelled: pit · camera 2"]
    assert cards(page)[0] == [ODD, "not scored", "missing label", "Labelled: pit"]


def test_words_for_a_picture_take_names_as_they_are(page):
    choose(page, sort="by name")
    alts = [image.get_attribute("alt") for image in page.find_elements(By.CSS_SELECTOR, ".card .base")]
    expected = [(ODD, "missing label"), (ODD, "wrong class"), ("a.jpg", "missing label")]
    assert alts[:3] == [f"{image_id}, labelled, and a {kind}" for image_id, kind in expected]


def test_a_class_is_chosen_by_its_scores(page):
    choose(page, **{"class": "scratch"}, group="missing label")
    assert [card[:2] for card in cards(page)] == [["a.jpg", "suspicion 0.90"], ["a.jpg", "suspicion 0.40"]]


def test_the_choice_has_the_page_s_words(page):
    controls = {name: Select(page.find_element(By.ID, f"page-{name}")) for name in ("sort", "class", "group")}
    assert {name: [option.text for option in control.options] for name, control in controls.items()} == {
        "sort": ["most suspicious first", "least suspicious first", "by name"],
        "class": ["all", *CLASSES],
        "group": ["all", *KINDS],
    }
    assert page.find_element(By.CSS_SELECTOR, "label[for=page-group]").text == "Kind"
    assert page.find_element(By.TAG_NAME, "legend").text == "Suspicion"
    assert [heading.text for heading in page.find_elements(By.TAG_NAME, "h2")] == [
        "What was read",
        "Contents",
        "Labels",
        "Suspicious labels",
    ]


def boxes(page, name: str) -> list[dict[str, float]]:
    return [image.rect for image in page.find_elements(By.CSS_SELECTOR, f"#labels-{name} .labelled .layers")]


def test_square_images_stand_side_by_side_and_keep_their_form(page):
    found = boxes(page, "squares")
    assert len(found) == 5
    assert len({box["y"] for box in found[:4]}) == 1
    assert len({box["x"] for box in found[:4]}) == 4
    assert (found[4]["x"], found[4]["y"] > found[0]["y"] + found[0]["height"]) == (found[0]["x"], True)
    assert all(box["width"] == pytest.approx(box["height"], abs=1) for box in found)
    assert all(150 < box["width"] < 300 for box in found), "about their own size"


def test_strips_are_stacked_over_the_width_of_the_page(page):
    strips = boxes(page, "strips")
    wide = page.find_element(By.ID, "labels-strips").rect["width"]
    assert [box["width"] for box in strips] == [pytest.approx(wide, abs=1)] * 3
    assert [box["height"] for box in strips] == [pytest.approx(wide * 64 / 400, abs=1)] * 3
    assert sorted({box["y"] for box in strips}) == [box["y"] for box in strips]
    *squares, strip = boxes(page, "mixed")
    assert squares[0]["y"] == squares[1]["y"] < strip["y"]
    assert strip["width"] == pytest.approx(wide, abs=1)
    assert all(box["width"] < 300 for box in squares), "a strip beside them does not make them larger"


def test_labels_say_what_they_are(page):
    captions = [element.text for element in page.find_elements(By.CSS_SELECTOR, "#labels-squares .labelled figcaption")]
    assert captions == [f"square{k}.jpg pit {k} pits" for k in range(5)]
    image = page.find_element(By.CSS_SELECTOR, "#labels-squares .base")
    assert image.get_attribute("alt") == "square0.jpg: Label"


def grey_left(page, element) -> bool:
    """Whether nothing but grey is at the rim of an element's first quarter."""
    picture = np.array(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))
    rim = picture[picture.shape[0] // 3 : picture.shape[0] // 2, : picture.shape[1] // 32].astype(int)
    return bool((np.ptp(rim, axis=2) < 12).all())


def test_labels_lie_over_the_image_and_have_a_switch_alone(page):
    page.execute_script("document.querySelectorAll('.layer-bar').forEach((bar) => { bar.style.position = 'static'; })")
    bar = page.find_element(By.CSS_SELECTOR, "#labels-squares .layer-bar")
    assert [label.text for label in bar.find_elements(By.TAG_NAME, "label")] == ["Label (dashed outline)"]
    assert [item.text for item in bar.find_elements(By.TAG_NAME, "li")] == CLASSES
    square = page.find_element(By.CSS_SELECTOR, "#labels-squares .labelled .layers")
    outline = np.array(Image.open(io.BytesIO(square.screenshot_as_png)).convert("RGB")).reshape(-1, 3).astype(int)
    first = [*bytes.fromhex(class_colour(1)[1:])]
    assert (np.abs(outline - first).max(axis=1) < 40).sum() > 100
    assert not grey_left(page, square)
    bar.find_element(By.TAG_NAME, "input").click()
    assert grey_left(page, square)
    others = page.find_elements(By.CSS_SELECTOR, "[data-layer=truth]")
    assert [box.is_selected() for box in others] == [False] * 4
    assert page.find_element(By.CSS_SELECTOR, ".card .prediction").is_displayed()


def test_nothing_leaves_the_page_sideways(page):
    root = page.find_element(By.TAG_NAME, "html")
    for width in (360, 768, 1280):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert root.get_property("scrollWidth") <= root.get_property("clientWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_image_has_words_or_lies_over_one_that_has(page):
    script = """return [...document.images].map((image) => [image.alt,
        image.matches(".layer") && Boolean(image.parentElement.querySelector("img.base")?.alt)])"""
    images = page.execute_script(script)
    assert len(images) >= 3 * 24 + 2 * 11
    assert all(alt or over for alt, over in images)
