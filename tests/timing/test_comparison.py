"""Measured cases, and tables of candidates whose parts differ."""

from argparse import ArgumentParser

import pytest

from mmproscale.cli.command_line import add_measuring_options
from mmproscale.timing.comparison import (
    NO_BREAK,
    Case,
    Prepared,
    answer_memory,
    compare,
    table_rows,
)
from mmproscale.timing.measurement import summarize

MASKS = {"backbone": 0.1, "pixel decoder": 0.2, "results": 0.1, "whole": 0.4}
BOXES = {"backbone": 0.2, "head": 0.6, "whole": 0.8}


def cells_of(samples):
    table = table_rows({"candidates": summarize(samples)})
    return [[cell.replace(NO_BREAK, " ") for cell in row] for row in table]


def test_a_missing_part_is_a_dash_without_ratio():
    assert cells_of({"masks": [MASKS] * 2, "boxes": [BOXES] * 2}) == [
        ["", "masks", "boxes"],
        ["backbone", "100 ms", "200 ms, 2.00 (2.00 to 2.00)"],
        ["pixel decoder", "200 ms", "-"],
        ["results", "100 ms", "-"],
        ["head", "-", "600 ms"],
        ["whole", "400 ms", "800 ms, 2.00 (2.00 to 2.00)"],
    ]


def test_a_single_candidate_has_no_ratios():
    (only,) = summarize({"masks": [MASKS] * 3})
    assert all(set(part) == {"ms"} for part in only["parts"].values())
    assert cells_of({"masks": [MASKS]})[1] == ["backbone", "100 ms"]


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.12345, "0.123 ms"), (0.9996, "1.00 ms"), (12.34, "12.3 ms"), (1234.5, "1,234 ms")],
)
def test_times_have_three_significant_digits(ms, text):
    assert cells_of({"only": [{"whole": ms / 1000}]})[1] == ["whole", text]


def options(*given):
    parser = ArgumentParser()
    add_measuring_options(parser)
    return parser.parse_args([*given, "--rounds", "2", "--warm-up", "1"])


def case_of(log):
    """Two candidates that note their calls."""

    def prepare(name):
        def run(watch):
            with watch.part("whole"):
                log.append(name)

        return Prepared(run=run, warm_up=lambda: log.append(f"tiny {name}"))

    names = ("first", "second")
    return Case("a case", {"size": 3}, {n: lambda n=n: prepare(n) for n in names})


def test_all_candidates_are_measured_in_turns():
    log = []
    (measured,) = compare([case_of(log)], options("--no-memory"), "script.py", [])
    assert log[:2] == ["first", "second"] and "tiny first" not in log
    assert (measured["name"], measured["settings"], measured["rounds"]) == (
        "a case",
        {"size": 3},
        2,
    )
    first, second = measured["candidates"]
    assert first["parts"]["whole"]["ratio"]["median"] == 1
    assert second["parts"]["whole"]["ms"]["median"] > 0
    assert "peak_memory_mib" not in first


def test_memory_is_asked_from_the_script_for_each_case_and_candidate(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(len(sys.argv[-1]) + 10 * int(sys.argv[-2]))\n")
    measured = compare([case_of([]), case_of([])], options(), str(script), ["--given", "x"])
    peaks = [[c["peak_memory_mib"] for c in case["candidates"]] for case in measured]
    assert peaks == [[5, 6], [15, 16]]


def test_the_asked_candidate_runs_once_after_its_tiny_call(capsys):
    log = []
    assert not answer_memory([case_of(log)], options())
    assert answer_memory([case_of([]), case_of(log)], options("--memory-of", "1", "second"))
    assert log == ["tiny second", "second"]
    assert float(capsys.readouterr().out) >= 0


def test_a_candidate_may_measure_its_memory_itself(capsys):
    prepared = Prepared(run=pytest.fail, warm_up=pytest.fail, memory=lambda: 12.5)
    case = Case("a case", {}, {"only": lambda: prepared})
    assert answer_memory([case], options("--memory-of", "0", "only"))
    assert float(capsys.readouterr().out) == 12.5
