"""The page as a file: what stands in it, and that nothing in it comes from elsewhere or is taken for markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import PackageLoader
from matplotlib.figure import Figure

from steel_defects.core.errors import UserError
from steel_defects.page.content import Chart, Comparison, Omission, Picture, Report, Section, Shown, Words
from steel_defects.page.html import write_page
from steel_defects.page.sheet import Sheet

URI = "data:image/png;base64,iVBORw0KGgo="
HOSTILE = """</script><script>x=1</script><img src=x onerror="y=1">'&amp;|`"""


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and the text by the tag around it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.texts.append((tag, ""))

    def handle_data(self, data):
        if self.texts:
            tag, text = self.texts[-1]
            self.texts[-1] = (tag, text + data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag: str) -> list[str]:
        return [text.strip() for name, text in self.texts if name == tag]

    def with_text(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return list(zip(self.all(tag), self.text(tag), strict=True))


def chart() -> Chart:
    figure = Figure()
    figure.subplots().plot([0, 1])
    return Chart("curves", "Curves over the epochs", "A line that rises", figure)


def a_report(word: Callable[[str], str] = str, size: tuple[int, int] = (8, 32), **changes) -> Report:
    """A report with one of everything; `word` is applied to all of its free text."""
    systems, classes = [word("alpha"), word("beta")], [word("pit"), word("scratch")]
    picture = Picture(
        word("one.jpg"),
        size,
        URI,
        URI,
        classes[1:],
        [Shown(systems[0], URI, 0.25, {classes[1]: 0.25}), Shown(systems[1], URI, 0.0, {classes[1]: 0.0})],
    )
    clean = Picture(word("two.jpg"), size, URI, URI, [], [Shown(systems[1], URI, None, {})])
    sheet = Sheet(word("Scores"), ["System", word("mIoU"), "Remark"], [["alpha", "0.5", word("a, b")]], left=(0, 2))
    section = Section(
        "scores",
        word("Scores"),
        [word("A note.")],
        [sheet],
        [chart()],
        [Comparison("typical", word("Typical"), word("By a rule."), [picture])],
        [Sheet(word("Every run"), ["Run"], [["1"], ["2"]])],
    )
    values = {
        "title": word("A study"),
        "findings": [word("alpha is best.")],
        "facts": {word("Data"): word("made up")},
        "sections": [section],
        "gallery": [picture, clean],
        "groups": systems,
        "classes": classes,
        "omissions": [Omission(word("runs/3"), word("failed"))],
    }
    return Report(**(values | changes))


def written(report: Report, tmp_path: Path) -> Parsed:
    path = tmp_path / "report.html"
    write_page(report, path)
    return Parsed(path)


def test_the_same_report_gives_the_same_page_in_a_single_file(tmp_path):
    first, second = (tmp_path / name / "report.html" for name in ("one", "two"))
    assert write_page(a_report(), first) == write_page(a_report(), second) == len(first.read_bytes()) > 10_000
    assert first.read_bytes() == second.read_bytes()
    assert list(first.parent.iterdir()) == [first]


def test_a_page_that_cannot_be_written_is_an_error_of_the_user(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written"):
        write_page(a_report(), tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (Shown("alpha", URI, float("nan"), {}), "JSON"),
        (Shown("nobody", URI, 0.5, {}), "not in list"),
        (Shown("alpha", URI, 0.5, {"rust": 0.5}), "not in list"),
    ],
)
def test_a_card_without_a_number_or_of_no_group_or_class_is_refused_and_nothing_written(tmp_path, shown, reason):
    picture = Picture("x.jpg", (8, 8), URI, URI, ["pit"], [shown])
    with pytest.raises(ValueError, match=reason):
        write_page(a_report(gallery=[picture]), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    page = written(a_report(), tmp_path)
    addresses = [attributes[key] for _, attributes in page.tags for key in ("src", "href") if key in attributes]
    assert len(addresses) >= 8
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not {"base", "iframe", "object", "embed", "form[action]"} & {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\((?!['\"&#39;]*data:)", (tmp_path / "report.html").read_text("utf-8"))


def hash_of_script(tmp_path: Path) -> str:
    """As browsers make it: they read all line ends as plain ones."""
    source = (tmp_path / "report.html").read_bytes().decode().replace("\r\n", "\n")
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_the_policy_forbids_the_network_and_every_script_but_the_page_s_own(tmp_path):
    page = written(a_report(), tmp_path)
    (content,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    policy = dict(part.strip().split(" ", 1) for part in content.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert policy["script-src"] == hash_of_script(tmp_path)
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]


def test_line_ends_of_windows_in_a_checkout_do_not_lock_the_script_out(tmp_path, monkeypatch):
    plain = PackageLoader.get_source

    def windows(*arguments):
        source, *rest = plain(*arguments)
        return source.replace("\n", "\r\n"), *rest

    monkeypatch.setattr(PackageLoader, "get_source", windows)
    written(a_report(), tmp_path)
    assert f"script-src {hash_of_script(tmp_path)};" in (tmp_path / "report.html").read_text("utf-8")


def test_no_text_is_taken_for_markup(tmp_path):
    plain = written(a_report(), tmp_path)
    hostile = written(a_report(lambda text: text + HOSTILE), tmp_path)
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert hostile.text("title") == hostile.text("h1") == ["A study" + HOSTILE]
    assert "A note." + HOSTILE in hostile.text("p")
    assert "a, b" + HOSTILE in hostile.text("td")


def test_file_names_that_are_no_text_do_not_stop_it(tmp_path):
    page = written(a_report(omissions=[Omission("runs/\udcff", "failed")]), tmp_path)
    assert page.text("code") == ["runs/?: failed"]


def test_tables_say_what_their_cells_are(tmp_path):
    page = written(a_report(), tmp_path)
    assert page.text("caption") == ["Scores", "Every run"]
    headings = [(text, a["scope"], a.get("class")) for a, text in page.with_text("th")]
    assert headings == [
        ("System", "col", None),
        ("mIoU", "col", "number"),
        ("Remark", "col", None),
        ("alpha", "row", None),
        ("Run", "col", None),
        ("1", "row", None),
        ("2", "row", None),
    ]
    assert [(text, a.get("class")) for a, text in page.with_text("td")] == [("0.5", "number"), ("a, b", None)]
    around = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert [(a["tabindex"], a["role"], a["aria-label"]) for a in around] == [
        ("0", "region", "Scores"),
        ("0", "region", "Every run"),
    ]


def test_a_chart_is_a_drawing_with_words_for_it(tmp_path):
    page = written(a_report(), tmp_path)
    (image,) = [a for a in page.all("img") if a.get("src", "").startswith("data:image/svg+xml")]
    assert image["alt"] == "A line that rises"
    assert "Curves over the epochs" in page.text("figcaption")
    drawing = ElementTree.fromstring(base64.b64decode(image["src"].split(",")[1]))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_contents_lead_to_sections_that_are_there(tmp_path):
    page = written(a_report(), tmp_path)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [(a["href"], text) for a, text in page.with_text("a")]
    assert links[1:] == [("#scores", "Scores"), ("#page-gallery", "Gallery")]
    assert all(address[1:] in ids for address, _ in links)


@pytest.mark.parametrize(("size", "stacked"), [((8, 16), True), ((8, 15), False), ((8, 8), False)])
def test_strips_are_stacked_and_other_images_side_by_side(tmp_path, size, stacked):
    page = written(a_report(size=size), tmp_path)
    (panels,) = [a["class"] for a in page.all("div") if a.get("class", "").startswith("panels")]
    assert ("wide" in panels.split()) == stacked


def test_a_comparison_shows_the_image_the_truth_and_every_system(tmp_path):
    page = written(a_report(), tmp_path)
    labels = [a["aria-label"] for a in page.all("div") if a.get("class") == "layers" and "aria-label" in a]
    assert labels == [f"one.jpg: {what}" for what in ("Image", "Truth", "alpha", "beta")]
    assert [text for text in page.text("span") if text.startswith("IoU")] == ["IoU 0.250", "IoU 0.000"]


def data_of(page: Parsed) -> dict:
    (data,) = [json.loads(text) for a, text in page.with_text("script") if a.get("id") == "page-data"]
    return data


@pytest.mark.parametrize(
    ("classes", "score", "verdict", "said"),
    [
        (["pit"], 0.25, None, "IoU 0.250"),
        (["pit"], 0.0, None, "IoU 0.000"),
        ([], 0.0, None, "false alarm, IoU 0.000"),
        ([], None, None, "clean, as it should be"),
        ([], 0.9, "likely", "likely"),
        ([], 0.9, "", ""),
    ],
)
def test_cards_and_panels_say_the_same_of_a_score(tmp_path, classes, score, verdict, said):
    picture = Picture("one.jpg", (8, 8), URI, URI, classes, [Shown("alpha", URI, score, {}, verdict=verdict)] * 2)
    section = Section("same", "Same", comparisons=[Comparison("typical", "Typical", "By a rule.", [picture])])
    page = written(a_report(sections=[section], gallery=[picture]), tmp_path)
    in_panels = [text for a, text in page.with_text("span") if a.get("class") == "score"]
    # The template of a card has a place for it, which the script fills; a panel has none for nothing.
    assert in_panels == [*([said] * 2 if said else []), ""]
    assert [shown["verdict"] for shown in data_of(page)["pictures"][0]["shown"]] == [said] * 2


def labels(*sizes: tuple[int, int]) -> Section:
    pictures = [Picture(f"{k}.jpg", size, URI, URI, ["pit"], caption=f"{k} pits") for k, size in enumerate(sizes)]
    return Section("labels", "Labels", comparisons=[Comparison("pits", "Pits", "By lot.", pictures)])


def test_labels_alone_are_one_panel_each_and_one_switch(tmp_path):
    page = written(a_report(sections=[labels((8, 8), (8, 16), (8, 9))], gallery=[]), tmp_path)
    figures = [a["class"] for a in page.all("figure")]
    assert figures == ["labelled", "labelled wide", "labelled"], "strips take a row of their own"
    images = [(a["class"], a["alt"]) for a in page.all("img")]
    assert images == [pair for k in range(3) for pair in (("base", f"{k}.jpg: Truth"), ("layer truth", ""))]
    assert [a["data-layer"] for a in page.all("input")] == ["truth"]
    described = [text for a, text in page.with_text("span") if a.get("class") != "chip"]
    assert described == ["pit", "0 pits", "pit", "1 pits", "pit", "2 pits"]


def test_pictures_with_nothing_over_them_are_compared_where_others_have_something(tmp_path):
    section = a_report().sections[0]
    pictures = [*section.comparisons[0].pictures, *labels((8, 8)).comparisons[0].pictures]
    mixed = Section("same", "Same", comparisons=[Comparison("typical", "Typical", "By a rule.", pictures)])
    page = written(a_report(sections=[mixed], gallery=[]), tmp_path)
    shown = [a["aria-label"] for a in page.all("div") if a.get("role") == "img"]
    assert shown[-2:] == ["0.jpg: Image", "0.jpg: Truth"]
    assert [a["data-layer"] for a in page.all("input")] == ["truth", "prediction"]
    assert "0 pits" in page.text("span")


def test_a_page_has_words_of_its_own(tmp_path):
    own = {name: f"[{name}]{HOSTILE}" for name, value in vars(Words()).items() if isinstance(value, str)}
    plain, page = written(a_report(), tmp_path), written(a_report(words=Words(**own)), tmp_path)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    data = data_of(page)["words"]
    assert data == {"classes": own["classes"], "alt": own["alt"], "lowIsWorst": True}
    assert data_of(written(a_report(words=Words(low_is_worst=False)), tmp_path))["words"]["lowIsWorst"] is False
    by_tag = {
        "h2": ["facts", "gallery"],
        "a": ["gallery"],
        "p": ["gallery_note"],
        "option": ["worst", "best", "by_name", "clean"],
        "label": ["group"],
        "legend": ["score"],
        "input": ["truth_layer", "overlay_layer"],
        "span": ["truth"],
    }
    for tag, names in by_tag.items():
        texts = page.text(tag)
        assert [name for name in names if own[name] not in texts] == [], tag
    assert f"{own['score']} 0.250" in page.text("span")
    # No word of the study's page is left: of those that a card has, the script knows only what the data say.
    texts = [text for tag, text in page.texts if tag not in ("script", "style")]
    default = vars(Words())
    for name in own.keys() - {"alt", "classes", "pictures"}:
        assert not [text for text in texts if text == default[name]], name


def test_what_has_no_words_is_not_on_the_page(tmp_path):
    page = written(a_report(words=Words(clean="", gallery_note="")), tmp_path)
    assert "clean" not in [a["value"] for a in page.all("option")]
    assert page.text("p").count("") == written(a_report(), tmp_path).text("p").count(""), "no empty paragraph"
    assert not [text for text in page.text("p") if "IoU" in text]


def test_the_gallery_s_data_are_those_of_the_report(tmp_path):
    page = written(a_report(lambda text: text + HOSTILE), tmp_path)
    one, two = data_of(page)["pictures"]
    assert [one["id"], two["id"]] == ["one.jpg" + HOSTILE, "two.jpg" + HOSTILE]
    assert (one["height"], one["width"], one["classes"]) == (8, 32, [1])
    scores = [[(s["group"], s["score"], s["classScores"]) for s in picture["shown"]] for picture in (one, two)]
    assert scores == [[(0, 0.25, [[1, 0.25, "0.250"]]), (1, 0, [[1, 0, "0.000"]])], [(1, None, [])]]


def test_what_there_is_none_of_has_no_heading(tmp_path):
    headings = ["Findings", "Not reported, or not in full", "What is compared", "Contents", "Scores", "Gallery"]
    assert written(a_report(), tmp_path).text("h2") == headings
    bare = written(a_report(findings=[], facts={}, sections=[], gallery=[], omissions=[]), tmp_path)
    assert bare.text("h1") == ["A study"]
    assert not {"h2", "section", "ul"} & {tag for tag, _ in bare.tags}
