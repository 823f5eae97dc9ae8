"""Checkpoints are read as data; code in a file is refused by name and never runs."""

import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from helpers.checkpoint_files import WEIGHTS, GetattrOf, refusal, saved
from safetensors.torch import save_file

from mmproscale.checkpoints.read_checkpoint import load_checkpoint, state_dict_of


class Touch:
    """Pickles as a call that makes a file: were it ever run, the file would be there."""

    def __init__(self, file: Path, function=os.system) -> None:
        self.call = (function, (f"touch {file}",))

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_weights_come_back(tmp_path, zipped):
    file = saved(
        tmp_path, {"state_dict": OrderedDict(WEIGHTS)}, _use_new_zipfile_serialization=zipped
    )
    torch.testing.assert_close(dict(load_checkpoint(file)["state_dict"]), WEIGHTS)


def test_safetensors(tmp_path):
    save_file(WEIGHTS, tmp_path / "weights.safetensors")
    checkpoint = load_checkpoint(tmp_path / "weights.safetensors")
    torch.testing.assert_close(checkpoint["state_dict"], WEIGHTS)


def test_plain_tensors_and_model_key(tmp_path):
    assert state_dict_of(load_checkpoint(saved(tmp_path, WEIGHTS))).keys() == WEIGHTS.keys()
    checkpoint = load_checkpoint(saved(tmp_path, {"model": WEIGHTS}))
    assert checkpoint["state_dict"].keys() == WEIGHTS.keys()


def test_module_prefix_is_taken_off():
    assert state_dict_of({"state_dict": {"module.a": 1}}) == {"a": 1}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_is_refused_by_name_and_does_not_run(tmp_path, zipped):
    content = {"state_dict": WEIGHTS, "extra": Touch(tmp_path / "ran")}
    file = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    assert "holds `os.system`, which is not data; refused" in refusal(file)
    assert not (tmp_path / "ran").exists()


def test_eval_is_named(tmp_path):
    content = {"state_dict": WEIGHTS, "extra": Touch(tmp_path / "ran", function=eval)}
    assert "`builtins.eval`" in refusal(saved(tmp_path, content))


def test_newer_pickle_protocols_are_named_too(tmp_path):
    content = {"state_dict": WEIGHTS, "extra": Touch(tmp_path / "ran")}
    assert "holds `os.system`" in refusal(saved(tmp_path, content, pickle_protocol=4))


def test_what_others_allowed_is_not_allowed_here(tmp_path):
    from torch.serialization import add_safe_globals, get_safe_globals

    before = set(get_safe_globals())
    file = saved(tmp_path, {"state_dict": WEIGHTS, "extra": GetattrOf(dict, "fromkeys")})
    with torch.serialization.safe_globals([getattr, dict]):
        add_safe_globals([Path])
        refusal(file)
        assert {getattr, dict, Path} <= set(get_safe_globals())
    assert set(get_safe_globals()) - {Path} == before


def test_config_text_that_mmengine_would_run_is_dropped(tmp_path):
    content = {"state_dict": WEIGHTS, "meta": {"epoch": 1, "config": "import os"}}
    assert load_checkpoint(saved(tmp_path, content))["meta"] == {"epoch": 1}


def test_missing_file_and_folder(tmp_path):
    assert "not found" in refusal(tmp_path / "none.pth")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated_file(tmp_path, zipped, share):
    weights = {"layer.weight": torch.zeros(100, 100)}
    file = saved(tmp_path, {"state_dict": weights}, _use_new_zipfile_serialization=zipped)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    assert "truncated or damaged" in refusal(file)


def test_truncated_safetensors(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(WEIGHTS, file)
    file.write_bytes(file.read_bytes()[:-8])
    assert "truncated or damaged" in refusal(file)


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"\x89PNG\r\n"])
def test_not_a_checkpoint_file(tmp_path, data):
    file = tmp_path / "checkpoint.pth"
    file.write_bytes(data)
    assert ("is empty" if not data else "is not a checkpoint") in refusal(file)


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {}}, {"a": 1}, torch.zeros(2)])
def test_files_without_weights(tmp_path, content):
    assert "is not a checkpoint" in refusal(saved(tmp_path, content))
