"""Published weights: names by hash, the same at each run; entries with figures of these weights."""

import json
import os
from hashlib import sha256

import pytest
import torch
import yaml
from mmengine.config import Config

from mmproscale.checkpoints.publication import (
    config_of_run,
    find_trained,
    make_entry,
    measured_results,
    training_day,
    write_entry,
    write_published,
)
from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.checkpoints.weights_file import WeightsHeader, hash_weights
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}
HEADER = WeightsHeader(dataset_meta={"classes": ["cow", "sky"]})
RUN = {"command": "python tools/test.py A B", "hardware": "a CPU", "weights": hash_weights(WEIGHTS)}


def metrics(folder, **report):
    (folder / "metrics.json").write_text(json.dumps({"run": RUN} | report))
    return folder / "metrics.json"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_is_named_by_its_hash_and_written_once(tmp_path, suffix):
    file, is_new = write_published(tmp_path / "out", "m_20260102", suffix, WEIGHTS, HEADER)
    assert file.name == f"m_20260102-{sha256(file.read_bytes()).hexdigest()[:8]}{suffix}"
    assert is_new and [*file.parent.iterdir()] == [file]
    content = load_checkpoint(file)
    assert content.keys() == {"state_dict", "meta"}
    assert all(torch.equal(content["state_dict"][key], value) for key, value in WEIGHTS.items())
    assert content["meta"]["dataset_meta"]["classes"] == ["cow", "sky"]
    written = file.stat().st_mtime_ns
    assert write_published(tmp_path / "out", "m_20260102", suffix, WEIGHTS, HEADER) == (file, False)
    assert file.stat().st_mtime_ns == written
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(InputError, match="exists and is damaged: remove it"):
        write_published(tmp_path / "out", "m_20260102", suffix, WEIGHTS, HEADER)
    elsewhere, _ = write_published(tmp_path / "else", "m_20260102", suffix, WEIGHTS, HEADER)
    assert elsewhere.name == file.name
    others = {"a.weight": 2 * WEIGHTS["a.weight"]}
    assert write_published(tmp_path / "out", "m_20260102", suffix, others, HEADER)[0] != file


def test_a_run_has_its_weights_or_else_its_last_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"has no weights\.safetensors and no checkpoint"):
        find_trained(tmp_path)
    for name in ("iter_2.pth", "best_pq.pth"):
        (tmp_path / name).touch()
    (tmp_path / "last_checkpoint").write_text("/moved/since/iter_2.pth")
    assert find_trained(tmp_path) == tmp_path / "iter_2.pth"
    (tmp_path / "weights.safetensors").touch()
    assert find_trained(tmp_path) == tmp_path / "weights.safetensors"
    assert find_trained(tmp_path / "best_pq.pth") == tmp_path / "best_pq.pth"


def test_only_the_one_config_of_a_run_is_read(tmp_path):
    (tmp_path / "script.py").touch()
    assert config_of_run(tmp_path / "a.safetensors") is None
    (tmp_path / "last_checkpoint").touch()
    assert config_of_run(tmp_path / "a.safetensors") == tmp_path / "script.py"
    (tmp_path / "other.py").touch()
    assert config_of_run(tmp_path / "a.safetensors") is None


def test_the_day_is_that_of_the_checkpoint_or_else_of_its_file(tmp_path):
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", (86400, 86400))
    assert training_day(tmp_path / "a", {"time": "20260102_030405"}) == "20260102"
    assert training_day(tmp_path / "a", {}) == "19700102"
    assert training_day(tmp_path / "a", {"time": "../../a"}) == "19700102"


@pytest.mark.parametrize(
    ("report", "task", "expected"),
    [
        ({"all": {"pq": 0.59661}}, "Panoptic Segmentation", {"PQ": 59.66}),
        ({"all": {"mIoU": 0.5}}, "Semantic Segmentation", {"mIoU": 50.0}),
        ({"coco/bbox_mAP": 0.42}, "Object Detection", {"box AP": 42.0}),
    ],
)
def test_figures_become_results_in_percent(tmp_path, report, task, expected):
    (result,) = measured_results(metrics(tmp_path, **report), WEIGHTS)
    where = {"Command": "python tools/test.py A B", "Hardware": "a CPU"}
    assert result == {"Task": task, "Metrics": expected} | where


def test_each_kind_of_result_is_one(tmp_path):
    report = {"all": {"pq": 0.5}, "semantic": {"miou": 0.6}, "instance": {"ap": None}}
    tasks = [one["Task"] for one in measured_results(metrics(tmp_path, **report), WEIGHTS)]
    assert tasks == ["Panoptic Segmentation", "Semantic Segmentation"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"all": {"pq": 0.5}}', "test the weights again"),
        ("[]", "test the weights again"),
        ("{", "test the weights again"),
        (json.dumps({"run": RUN | {"weights": "0"}}), "figures of other weights"),
        (json.dumps({"run": RUN, "all": {"pq": 5}}), "has no PQ, mIoU or AP"),
    ],
)
def test_other_figures_are_refused(tmp_path, text, line):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InputError, match=line):
        measured_results(tmp_path / "metrics.json", WEIGHTS)
    with pytest.raises(InputError, match="can't be read"):
        measured_results(tmp_path / "absent.json", WEIGHTS)


def test_an_entry_of_a_shipped_config_has_its_facts_and_no_figure_of_a_paper(tmp_path):
    config = load_config("proscale_m2f_swin-t_coco", {"train_cfg.max_iters": 7})
    result = dict(Task="Panoptic Segmentation", Metrics={"PQ": 1.0}, Command="c", Hardware="h")
    entry = make_entry(config, "proscale_m2f_swin-t_coco", tmp_path / "w.pth", [result])
    assert entry == {
        "Name": "proscale_m2f_swin-t_coco",
        "In Collection": "PRO-SCALE",
        "Config": "configs/proscale_m2f_swin-t_coco.py",
        "Metadata": {
            "Training Data": "COCO",
            "Batch Size": 16,
            "Iterations": 7,
            "Architecture": ["PRO-SCALE, (3,3,3)", "Swin-T"],
        },
        "Results": [result | {"Dataset": "COCO"}],
        "Weights": "w.pth",
    }


def test_an_entry_of_another_config_names_its_data(tmp_path):
    entry = make_entry(Config(dict(data_root="data/mine/")), "mine", tmp_path / "w.pth", [])
    assert entry == {
        "Name": "mine",
        "Config": "mine.py",
        "Metadata": {"Training Data": "mine"},
        "Weights": "w.pth",
    }


def test_an_entry_is_not_replaced_by_another(tmp_path):
    for _ in range(2):
        write_entry(tmp_path / "a.yml", {"Name": "a"})
    assert yaml.safe_load((tmp_path / "a.yml").read_text()) == [{"Name": "a"}]
    with pytest.raises(InputError, match="another entry: remove it, or give another --out"):
        write_entry(tmp_path / "a.yml", {"Name": "b"})
