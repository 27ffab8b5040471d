"""The report as Markdown, read back by a renderer that is not ours."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from steel_defects.page.content import Chart, Comparison, Omission, Picture, Report, Section, Shown, Words
from steel_defects.page.markdown import markdown
from steel_defects.page.sheet import Sheet

MARKUP = "ab1 _*`\\|<>&;[]()!~#-+.=:\n"


class Elements(HTMLParser):
    """(tag, its own text or, of an image, its attributes) in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, object]] = []
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source))

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes) if tag == "img" else ""))

    def handle_data(self, data):
        if self.found and data.strip("\n") and self.found[-1][0] != "img":
            tag, text = self.found[-1]
            self.found[-1] = (tag, text + data)

    def of(self, tag: str) -> list:
        return [content for name, content in self.found if name == tag]


def a_report(note: str = "A note.", cell: str = "a|b", **changes) -> Report:
    picture = Picture("one.jpg", (8, 8), "data:,", "data:,", [], [Shown("alpha", "data:,", None, {})])
    sections = [
        Section(
            "scores",
            "Scores",
            [note],
            [Sheet(f"Of {cell}", ["System", f"in {cell}"], [["alpha", cell], [cell, "0.5"]])],
            [Chart("the curves", "Curves over the epochs", "A [line] that rises", Figure())],
            [Comparison("typical", "Typical images", "By a rule.", [picture])],
            [Sheet("Every run", ["Run"], [["7"]])],
        )
    ]
    values = {
        "title": "A study",
        "findings": [note],
        "facts": {"Data": "made up"},
        "sections": sections,
        "gallery": [picture],
        "groups": ["alpha"],
        "classes": ["pit"],
        "omissions": [Omission("runs/a_b_c", "failed")],
    }
    return Report(**(values | changes))


def test_all_but_the_pictures_is_there_in_order():
    read = Elements(markdown(a_report(), "figures"))
    assert read.of("h1") == ["A study"]
    assert read.of("h2") == ["Not reported, or not in full", "What is compared", "Scores", "Gallery"]
    assert read.of("h3") == ["Of a|b", "Every run"]
    assert read.of("li") == ["A note.", "runs/a_b_c: failed", "Data: made up"]
    assert read.of("th") == ["System", "in a|b", "Run"]
    assert read.of("td") == ["alpha", "a|b", "a|b", "0.5", "7"]
    assert read.of("summary") == ["Details"]
    assert read.of("img") == [{"src": "figures/the%20curves.png", "alt": "A [line] that rises"}]
    assert "Curves over the epochs" in read.of("p")
    assert read.of("code")[0] == "report.html: Typical images."
    assert "data:" not in markdown(a_report(), "figures").lower().replace("data: made up", "")


def test_it_names_the_page_and_has_the_page_s_words():
    words = Words(facts="What was *read*", gallery="Findings <1>", pictures="Images whose labels look wrong")
    source = markdown(a_report(words=words), "figures", "audit.html")
    read = Elements(source)
    assert read.of("h2")[1:] == ["What was *read*", "Scores", "Findings <1>"]
    assert read.of("code") == ["audit.html: Typical images.", "audit.html."]
    assert "Images whose labels look wrong, to sort and filter, are in " in read.of("p")
    assert "report.html" not in source


def test_numbers_stay_as_they_are_in_the_source():
    source = markdown(a_report(note="0.5 is more than -0.5.", cell="-0.123"), "figures")
    assert "| -0.123 | 0.5 |" in source
    assert "0.5 is more than -0.5." in source


def test_what_there_is_none_of_has_no_heading():
    bare = a_report(findings=[], facts={}, sections=[], gallery=[], omissions=[])
    assert markdown(bare, "figures") == "# A study\n"


@settings(max_examples=300, deadline=None)
@given(st.text(MARKUP, min_size=1).filter(str.strip))
@example("# heading")
@example("1. one")
@example("- one")
@example("--- ")
@example("</td><script>x</script>")
@example("_a_ *b* **c** `d` ~~e~~ ![f](g) <http://h> &lt; \\")
@example("a\\|b")
def test_any_text_shows_as_itself(text):
    shown = " ".join(text.split())
    read = Elements(markdown(a_report(note=text, cell=text), "figures"))
    assert read.of("li")[0] == shown
    assert read.of("p")[0] == shown
    assert read.of("td") == ["alpha", shown, shown, "0.5", "7"]
    assert read.of("th")[1] == f"in {shown}"
    assert read.of("h3")[0] == f"Of {shown}"


@pytest.mark.parametrize("name", ["a b", "a)b", "a#b", "é"])
def test_a_chart_is_found_by_its_name(name):
    section = Section("s", "S", charts=[Chart(name, "title", "alt", Figure())])
    (image,) = Elements(markdown(a_report(sections=[section]), "figures")).of("img")
    assert unquote(image["src"]) == f"figures/{name}.png"
