"""Progress bars go to stderr, and only where there is something to show."""

import pytest

from mmproscale.utils import progress
from mmproscale.utils.progress import bars_by_name, progress_bars


def test_each_name_has_a_bar_with_its_count_on_stderr(capsys):
    with bars_by_name() as show:
        for done in (1, 2):
            show("train", done, 4)
        show("val", 3, 3)
    output, error = capsys.readouterr()
    assert output == ""
    lines = {line.split()[0]: line for line in error.splitlines() if line.strip()}
    assert "2/4" in lines["train"] and "3/3" in lines["val"]


def test_no_bar_no_line(capsys):
    with bars_by_name():
        pass
    assert capsys.readouterr() == ("", "")


def test_bars_stop_when_work_fails(capsys):
    with pytest.raises(RuntimeError), bars_by_name() as show:
        show("train", 1, 4)
        raise RuntimeError
    assert "1/4" in capsys.readouterr().err


def test_bars_show_the_remaining_time(capsys):
    with progress_bars() as bars:
        task = bars.add_task("images", total=2)
        bars.advance(task)
    assert "1/2" in capsys.readouterr().err and "ETA" in bars.columns[4].text_format


def test_a_log_without_a_terminal_gets_a_line_each_minute(capsys, monkeypatch):
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with progress_bars() as bars:
        task = bars.add_task("images", total=8)
        for done in range(1, 8):
            bars.update(task, completed=done)
        during = capsys.readouterr().err
    counts = [line.split()[2] for line in during.splitlines() if line.strip()]
    assert counts == ["3/8", "6/8"]
