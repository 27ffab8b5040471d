"""The page of an audit: what it says, what it shows, and how it filters in a browser."""

from __future__ import annotations

import base64
import io
import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from steel_defects.audit.assemble import assemble
from steel_defects.audit.finding import KINDS, Finding, ranked, table
from steel_defects.audit.sheets import show
from steel_defects.audit.spoil import measure
from steel_defects.data.catalog import Sample
from steel_defects.data.rle import encode
from steel_defects.page.content import Omission, Picture, Report, Section
from steel_defects.page.html import write_page
from steel_defects.page.markdown import markdown
from steel_defects.page.overlay import class_colour

HOSTILE = "<img src=x onerror=\"document.title='broken'\">'&amp; $5 .png"  # no slash: it is a file's name
CLASSES = ["pit", "<b>scratch</b> [red]", "patch"]
SIZE = (64, 96)


def box(top: int, left: int, height: int = 16, width: int = 16) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


OLD, NEW, ELSEWHERE = box(8, 8), box(8, 20), box(40, 60)  # four columns of NEW are in OLD


def make_finding(image_id: str, kind: str, score: float, marked=None, suggested=None) -> Finding:
    """`marked` and `suggested` are (class, bool [H, W]); None for nothing."""
    (c, own), (other, instead) = (one or (0, np.zeros(SIZE, bool)) for one in (marked, suggested))
    reason = f"because of {image_id[:1]}"
    codes = encode(own), encode(instead)
    return Finding(image_id, SIZE, kind, score, reason, c, other, 0.75, *codes, int(own.sum()), int(instead.sum()), 2)


FOUND = ranked(
    [
        make_finding("a.png", "missing", 0.9, None, (2, ELSEWHERE)),
        make_finding("a.png", "class", 0.3, (1, OLD), (3, OLD)),
        make_finding("b.png", "unseen", 0.6, (1, OLD)),
        make_finding(HOSTILE, "moved", 0.7, (1, OLD), (1, NEW)),
        make_finding("clean.png", "missing", 0.2, None, (3, NEW)),
    ]
)
RANKS = {"a.png": 1, HOSTILE: 2, "b.png": 3, "clean.png": 4}


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> dict[str, Sample]:
    """Grey images; all but one are labelled with a pit at OLD, and b.png with a patch, too."""
    folder = tmp_path_factory.mktemp("images")
    made = {}
    for k, image_id in enumerate(RANKS):
        Image.fromarray(np.full(SIZE, 80 + 20 * k, np.uint8)).save(folder / image_id)
        rles = {} if image_id == "clean.png" else {1: encode(OLD)}
        if image_id == "b.png":
            rles[3] = encode(ELSEWHERE)
        made[image_id] = Sample(image_id, folder / image_id, *SIZE, rles)
    return made


def page(samples, findings=FOUND, shown: int = 200, judged: int = 50, measured=None) -> Report:
    return assemble(findings, samples, CLASSES, {"Data": "made up"}, "An audit", shown, judged, measured)


def section(report: Report, name: str) -> Section:
    return {section.name: section for section in report.sections}[name]


def picture(report: Report, image_id: str) -> Picture:
    return {picture.image_id: picture for picture in report.gallery}[image_id]


def pixels(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGBA"))


def spoiled():
    ids = [*RANKS, *(f"x{k}.png" for k in range(46))]
    return measure(FOUND, ids, {"a.png": "removed", "b.png": "shifted", "x0.png": "swapped"})


def test_what_came_out_is_said_first(samples):
    assert page(samples).findings == [
        "50 images judged; 4 have a finding, 3 of them with a score of 0.5 or more.",
        "Most frequent: a defect that is not marked (2 images).",
    ]
    measured = spoiled()
    assert page(samples, measured=measured).findings[-1] == (
        f"Of 3 labels spoiled on purpose, 2 are among the first 3 ranked (precision 0.67, AUROC {measured.auroc:.3f})."
    )


def test_sections_and_tables(samples):
    report = page(samples, measured=spoiled())
    assert [one.name for one in report.sections] == ["review", "trust", "kinds"]
    charts = [chart.name for one in report.sections for chart in one.charts]
    assert charts == ["precision", "scores"]
    (kinds,) = section(report, "kinds").sheets
    assert kinds.headings == ["kind", "findings", "score 0.5 or more", "images", *CLASSES]
    rows = {line[0]: list(map(int, line[1:])) for line in kinds.lines}
    assert rows == {
        KINDS["missing"]: [2, 1, 2, 0, 1, 1],
        KINDS["unseen"]: [1, 1, 1, 1, 0, 0],
        KINDS["class"]: [1, 0, 1, 1, 0, 0],
        KINDS["moved"]: [1, 1, 1, 1, 0, 0],
        KINDS["outline"]: [0] * 6,
        KINDS["tiny"]: [0] * 6,
        "all": [5, 3, 4, 3, 1, 1],
    }
    (called,) = section(report, "trust").sheets
    found = [KINDS["missing"], KINDS["unseen"], "no finding"]
    assert called.headings == ["spoiled", "labels", "among the first 3", *found]
    assert called.lines == [
        ["label removed", "1", "1", "1", "0", "0"],
        ["label given to another class", "1", "0", "0", "0", "1"],
        ["label moved by 20 px", "1", "1", "0", "1", "0"],
    ]


def test_the_first_findings_are_listed_as_in_the_table_of_the_audit(samples):
    (listed,) = section(page(samples), "kinds").details
    csv = table(FOUND, CLASSES)
    assert [(int(line[0]), line[1]) for line in listed.lines] == list(zip(csv["rank"], csv["ImageId"], strict=True))
    assert [line[3] for line in listed.lines] == [
        f"nothing -> {CLASSES[1]}",
        "pit -> patch",
        "pit",
        "pit -> no defect",
        "nothing -> patch",
    ]
    assert listed.lines[0] == [
        *("1", "a.png", KINDS["missing"], f"nothing -> {CLASSES[1]}", "0.90", "0.75", "0 -> 256", "because of a")
    ]
    many = [make_finding(f"{k:04}.png", "missing", 0.5, None, (1, NEW)) for k in range(1001)]
    (listed,) = section(page(samples, many, shown=0), "kinds").details
    assert (len(listed.lines), listed.title) == (50, "The first 50 of 1,001 findings")


def test_a_card_for_each_finding(samples):
    report = page(samples)
    assert [(one.image_id, one.caption) for one in report.gallery] == [(i, f"rank {k}") for i, k in RANKS.items()]
    missing, other = picture(report, "a.png").shown
    assert (missing.group, missing.score, missing.verdict) == (KINDS["missing"], 0.9, "score 0.90")
    assert missing.note == f"{CLASSES[1]} suggested: because of a"
    assert missing.class_scores == {CLASSES[1]: 0.9}
    assert other.note == "pit marked, patch suggested: because of a"
    assert other.class_scores == {"pit": 0.3, "patch": 0.3}
    assert picture(report, "b.png").shown[0].note == "pit marked, no defect suggested: because of b"
    assert picture(report, HOSTILE).shown[0].note == f"pit redrawn: because of {HOSTILE[0]}"
    assert [list(one.classes) for one in report.gallery] == [["pit"], ["pit"], ["pit", "patch"], []]
    assert report.groups == [KINDS[kind] for kind in ("missing", "unseen", "class", "moved")]


def test_the_overlay_tells_suggested_from_taken_away(samples):
    def colours(image_id: str, k: int, inside: np.ndarray) -> set:
        layer = pixels(picture(report, image_id).shown[k].overlay)
        inside = cv2.erode(inside.view(np.uint8), np.ones((3, 3))).view(bool)
        return {(tuple(p[:3]) if p[3] else None, bool(0 < p[3] < 255)) for p in layer[inside].tolist()}

    def rgb(c: int) -> tuple:
        return tuple(bytes.fromhex(class_colour(c)[1:]))

    report = page(samples)
    hatched, tinted = ({(None, False), (rgb(1), False)}, lambda c: {(rgb(c), True)})
    assert colours("a.png", 0, ELSEWHERE) == tinted(2)
    assert colours("a.png", 0, OLD) == {(None, False)}, "a label that the finding is not about"
    assert colours("a.png", 1, OLD) == tinted(3)
    assert colours("b.png", 0, OLD) == hatched
    assert colours("b.png", 0, ELSEWHERE) == {(None, False)}
    assert colours(HOSTILE, 0, NEW) == tinted(1)
    assert colours(HOSTILE, 0, OLD & ~NEW) == hatched


@pytest.mark.parametrize("shown", [0, 1, 3, 5, 200])
def test_pictures_are_of_the_first_findings_alone(samples, shown):
    report = page(samples, shown=shown)
    assert [one.image_id for one in report.gallery for _ in one.shown] == [one.image_id for one in FOUND[:shown]]
    partly = f" The first {shown} of 5 findings have pictures; audit.csv has all."
    assert report.words.gallery_note.endswith(partly) == (shown < 5)


def test_images_that_cannot_be_shown_are_named_and_the_others_keep_their_rank(samples, tmp_path):
    gone = Sample("a.png", tmp_path / "a.png", *SIZE, {})
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "other.png")
    changed = Sample("b.png", tmp_path / "other.png", *SIZE, {1: encode(OLD)})
    report = page({**samples, "a.png": gone, "b.png": changed})
    assert [str(one) for one in report.omissions] == [
        "a.png: does not exist; not shown",
        "b.png: has 32x32 pixels now, and had 64x96; not shown",
    ]
    assert [(one.image_id, one.caption) for one in report.gallery] == [(HOSTILE, "rank 2"), ("clean.png", "rank 4")]
    assert KINDS["unseen"] not in report.groups
    assert len(section(report, "kinds").details[0].lines) == 5

    many = [make_finding(f"{k}.png", "missing", 0.5, None, (1, NEW)) for k in range(1234)]
    lost = {one.image_id: Sample(one.image_id, tmp_path / one.image_id, *SIZE, {}) for one in many}
    omissions = page(lost, many, shown=9999).omissions
    assert [str(one) for one in omissions[-2:]] == [
        "4.png: does not exist; not shown",
        "Pictures: 1,229 more images cannot be shown",
    ]
    assert len(omissions) == 6


def test_without_findings_the_page_says_so(tmp_path):
    report = page({}, [], judged=1)
    assert report.findings == ["1 image judged; none has a finding."]
    assert (report.gallery, [one.name for one in report.sections]) == ([], ["review"])
    assert "nothing to review" in section(report, "review").notes[0]
    write_page(report, tmp_path / "audit.html")
    text = (tmp_path / "audit.html").read_text()
    assert "none has a finding" in text
    assert "nothing to review" in text

    measured = measure([], ["a.png", "b.png"], {"a.png": "removed"})
    report = page({}, [], judged=2, measured=measured)
    assert report.findings[-1].startswith("Of 1 label spoiled on purpose, 0 are among the first 1 ranked")
    assert [one.name for one in report.sections] == ["review", "trust"]
    write_page(report, tmp_path / "measured.html")


def test_a_page_of_strips_holds_no_more_than_its_pictures(tmp_path):
    """Shown at 640 pixels: the page of a strip of 256x1600 must not grow with the strip."""
    rng = np.random.default_rng(0)
    strip = cv2.resize(rng.integers(0, 255, (32, 200), np.uint8), (1600, 256))
    Image.fromarray(strip).save(tmp_path / "s.png")
    seen = np.zeros(strip.shape, bool)
    seen[:, 700] = True  # a scratch of one column
    finding = Finding("s.png", strip.shape, "missing", 0.5, "seen", 0, 1, 0.9, "", encode(seen), 0, int(seen.sum()))
    report = page({"s.png": Sample("s.png", tmp_path / "s.png", *strip.shape, {})}, [finding])
    (shown,) = report.gallery
    assert shown.size == (102, 640)
    assert (pixels(shown.shown[0].overlay)[:, 280, 3] == 255).all()
    assert write_page(report, tmp_path / "audit.html") < 120_000


@pytest.fixture(scope="module")
def address(samples, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "audit.html"
    write_page(page(samples, measured=spoiled()), path)
    return path.as_uri()


def cards(browser: webdriver.Chrome) -> list[tuple[str, str]]:
    """(image, score) of the cards, in their order."""
    return [
        tuple(card.find_element(By.CLASS_NAME, part).text for part in ("image-id", "score"))
        for card in browser.find_elements(By.CLASS_NAME, "card")
    ]


def choose(browser: webdriver.Chrome, name: str, value: str) -> None:
    control = browser.find_element(By.ID, f"page-{name}")
    if control.tag_name == "select":
        options = [option.text for option in Select(control).options]
        control.send_keys(Keys.HOME, *[Keys.ARROW_DOWN] * options.index(value))
    else:
        control.clear()
        control.send_keys(value)


ALL = [("a.png", 0.9), (HOSTILE, 0.7), ("b.png", 0.6), ("a.png", 0.3), ("clean.png", 0.2)]


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, ALL),
        ({"sort": "mildest first", "least": "0.5"}, ALL[2::-1]),
        ({"group": KINDS["missing"]}, [ALL[0], ALL[4]]),
        ({"class": CLASSES[1]}, [ALL[0]]),
        # b.png has a label of it that its finding is not about: last.
        ({"class": "patch"}, [ALL[3], ALL[4], ALL[2]]),
        ({"class": "images labelled clean"}, [ALL[4]]),
        ({"text": "ONERROR"}, [ALL[1]]),
    ],
)
def test_cards_are_sorted_and_filtered(visit, address, choices, expected):
    browser = visit(address)
    for name, value in choices.items():
        choose(browser, name, value)
    assert cards(browser) == [(image_id, f"score {score:.2f}") for image_id, score in expected]
    assert browser.title == "An audit"
    assert browser.find_elements(By.CSS_SELECTOR, "main b, .card img[src=x]") == []


def test_a_card_in_the_browser(visit, address):
    browser = visit(address)
    card = browser.find_elements(By.CLASS_NAME, "card")[3]
    assert card.text.split("\n") == [
        "a.png",
        "score 0.30",
        KINDS["class"],
        "pit marked, patch suggested: because of a",
        "pit 0.300",
        "patch 0.300",
        "Labelled: pit · rank 1",
    ]
    alt = card.find_element(By.CLASS_NAME, "base").get_attribute("alt")
    assert alt == "a.png, with its labels and a suggestion: marked as another class"


def test_names_are_text_in_markdown_too(samples):
    text = markdown(page(samples, measured=spoiled()), "figures", "audit.html")
    assert "<img" not in text
    assert "<b>" not in text


def test_the_console_has_kinds_first_findings_and_files(samples, capsys, caplog):
    many = ranked([*FOUND, *(make_finding(f"{k:02}.png", "tiny", 0.05, None, (1, NEW)) for k in range(20))])
    report = replace(page(samples, many, shown=4), omissions=[Omission("x.png", "cannot be read")])
    with caplog.at_level(logging.INFO):
        show(report, many, CLASSES, Path("audits") / "one", 1_234_567)
    printed = " ".join(capsys.readouterr().out.split())
    assert "The first 10 of 25 findings" in printed
    assert "04.png" in printed
    assert "05.png" not in printed
    assert "[red]" in printed, "a name is no markup"
    assert report.findings[0] in printed
    said = caplog.messages
    assert said[0] == "Not reported, or not in full: x.png: cannot be read"
    assert said[1] == "audits/one/audit.html: 1.2 MB, opens in any browser"
    assert [line.split(":")[0] for line in said[2:]] == ["audits/one/audit.csv", "audits/one/audit.coco.json"]


def test_the_console_of_an_audit_that_found_nothing(capsys, caplog):
    with caplog.at_level(logging.INFO):
        show(page({}, []), [], CLASSES, Path("audits"), 9000)
    assert capsys.readouterr().out.strip() == "50 images judged; none has a finding."
    assert caplog.messages == ["audits/audit.html: 0.0 MB, opens in any browser"]
