"""The sentences at the head of a report: they say what the comparison shows, and no more."""

from __future__ import annotations

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
