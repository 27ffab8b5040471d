"""What a report says in words: its findings and the verdicts on pairs of systems say what is shown, and no more."""

from __future__ import annotations

import pytest

from steel_defects.report.accuracy import real_differences
from steel_defects.report.assemble import findings
from steel_defects.report.bootstrap import Difference
from steel_defects.report.records import Study


def study_of(make_system, **miou: float) -> Study:
    systems = [make_system(name, seeds=[0, 1]) for name in miou]
    for system, value in zip(systems, miou.values(), strict=True):
        for run in system.runs:
            run.summary["test"]["miou"] = value
    return Study(systems)


def test_each_pair_with_the_best_is_told_by_its_sign(make_system):
    study = study_of(make_system, best=0.5, like=0.49, less=0.3, more=0.48, apart=0.1)
    differences = [
        Difference("best", "like", 0.01, -0.02, 0.04, 90),
        Difference("less", "best", -0.2, -0.3, -0.1, 90),
        Difference("best", "more", -0.1, -0.2, -0.05, 40),
        Difference("like", "less", 0.2, 0.1, 0.3, 90),
    ]
    assert findings(study, differences, "miou") == [
        "best has the highest miou of 5 systems: 0.500 ± 0.000.",
        "On the test images that both had, it is better than less.",
        "No difference shown between it and like.",
        "On the test images that both had, it is worse than more.",
        "Not compared image by image with it: apart.",
    ]


def test_nobody_is_best_where_all_are_level(make_system):
    study = study_of(make_system, one=0.5, other=0.5)
    assert findings(study, [Difference("one", "other", 0.0, -0.1, 0.1, 90)], "miou") == [
        "All 2 systems have the same miou: 0.500 ± 0.000."
    ]


def test_a_single_training_is_named_as_such(make_system):
    study = Study([make_system("a", seeds=[0]), make_system("b", seeds=[0])])
    assert findings(study, [], "miou")[-1] == "Each system was trained once: another seed may change the order."


def test_without_a_defect_there_is_nothing_to_compare_by(make_system):
    study = study_of(make_system, a=None)
    assert findings(study, [], "miou") == ["No test image had a defect: there is no miou to compare by."]


def test_copies_show_no_difference_and_spoiled_predictions_do(make_system):
    """Of two systems with the same predictions none is better; one that lost some of its images is worse."""
    kind = {"images": 400, "clean": 0.0, "rng": 3}
    systems = [make_system("spoiled", spoil=0.1, **kind), make_system("one", **kind), make_system("same", **kind)]
    section, differences, unpaired = real_differences(Study(systems))
    assert unpaired == []
    assert len(section.notes) == 2
    for sheet, score in zip(section.sheets, ("miou", "native_miou"), strict=True):
        assert [[first, second, verdict] for first, second, *_, verdict in sheet.lines] == [
            ["spoiled", "one", "one is better"],
            ["spoiled", "same", "same is better"],
            ["one", "same", "no difference shown"],
        ]
        assert sheet.lines[2][3:5] == ["+0.0000", "+0.0000 to +0.0000"]
        worse = differences[score][0]
        assert sheet.lines[0][3:5] == [f"{worse.mean:.4f}", f"{worse.low:.4f} to {worse.high:.4f}"]
        assert worse.mean < 0
        assert sheet.lines[0][2] == f"{worse.images}"
        assert score in sheet.headings[3]
    swapped, *_ = real_differences(Study([systems[1], systems[0]]))
    assert swapped.sheets[0].lines[0][-1] == "one is better"


@pytest.mark.parametrize(("images", "fewest"), [(20, 19), (21, 20)])
def test_few_images_and_pairs_that_are_left_out_are_noted(make_system, images, fewest):
    kind = {"images": images, "clean": 0.0}
    systems = [make_system("a", **kind), make_system("b", [1], **kind), make_system("c", [2], rows=False, **kind)]
    section, _, unpaired = real_differences(Study(systems))
    assert [omission.what for omission in unpaired] == ["a / c", "b / c"], "each is named once"
    assert min(int(line[2]) for sheet in section.sheets for line in sheet.lines) == fewest
    assert ("With fewer than 20 images the intervals are too narrow." in section.notes) == (fewest < 20)
    assert section.notes[-2:] == [f"{omission}." for omission in unpaired]
    assert real_differences(Study(systems[:1]))[0] is None
