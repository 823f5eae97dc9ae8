"""Logs of results, and JSON files that are written piece by piece."""

import json

import pytest

from mmproscale.errors import InputError
from mmproscale.inference.result_log import ResultLog, image_lines, is_whole, write_json


def test_lines_of_several_logs_come_in_the_order_of_the_images(tmp_path):
    for number, places in enumerate([(0, 2, 4), (1, 3)]):
        log = ResultLog(tmp_path / f"{number}.jsonl", {"kinds": []})
        for place in places:
            log.append(f"photo{place}", place, {})
        assert not is_whole(log.path)
        log.end()
        assert is_whole(log.path)
    lines = image_lines([tmp_path / "0.jsonl", tmp_path / "1.jsonl"])
    assert [line["name"] for line in lines] == [f"photo{place}" for place in range(5)]


def test_a_damaged_line_is_named(tmp_path):
    log = ResultLog(tmp_path / "log.jsonl", {"kinds": []})
    with log.path.open("a") as stream:
        stream.write("{]\n")
    with pytest.raises(InputError, match=r"log\.jsonl is damaged"):
        ResultLog(log.path, {"kinds": []}, resume=True)


@pytest.mark.parametrize(
    "content",
    [[], [1, {"a": [2]}], {"images": [], "categories": [{"id": 1}]}, {"a": [1, 2], "b": [None]}],
)
def test_json_equals_that_of_the_library(tmp_path, content):
    write_json(tmp_path / "file.json", content)
    assert (tmp_path / "file.json").read_text() == json.dumps(content)
