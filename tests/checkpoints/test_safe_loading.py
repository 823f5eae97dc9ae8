"""Checkpoints are read as data; what is not data is refused by name, and never runs."""

import os
import pickle
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from safetensors.torch import save_file

from mmproscale.checkpoints.safe_loading import load_checkpoint, refused_names, state_dict_of
from mmproscale.errors import InputError

WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.zeros(2)}


class Touch:
    """Pickles as a call that makes a file: were it ever run, the file would be there."""

    def __init__(self, file: Path, function=os.system) -> None:
        self.call = (function, (f"touch {file}",))

    def __reduce__(self):
        return self.call


class GetattrOf:
    """Pickles as getattr(owner, name)."""

    def __init__(self, owner, name: str) -> None:
        self.call = (getattr, (owner, name))

    def __reduce__(self):
        return self.call


def saved(tmp_path: Path, content, **options) -> Path:
    file = tmp_path / "checkpoint.pth"
    torch.save(content, file, **options)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(file)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(file))
    return text


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


def test_what_mmengine_saves_comes_back(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    content = {
        "state_dict": WEIGHTS,
        "history": history,
        "values": [np.float64(0.5), np.int64(3), np.bool_(True), np.str_("a")],
        "array": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        "config": ConfigDict(a=ConfigDict(b=np.float32(1))),
        "anneal": OneCycleParamScheduler._annealing_cos,
    }
    loaded = load_checkpoint(saved(tmp_path, content))
    assert type(loaded["history"]) is HistoryBuffer
    assert loaded["history"].mean() == 1.5
    assert loaded["history"].statistics("max") == 2
    loaded["history"].update(3.0)
    assert [type(v) for v in loaded["values"]] == [np.float64, np.int64, np.bool_, np.str_]
    assert loaded["values"] == content["values"]
    assert (loaded["array"] == content["array"]).all() and loaded["array"].dtype == ">i2"
    assert loaded["config"] == {"a": {"b": 1}}
    assert loaded["anneal"] is OneCycleParamScheduler._annealing_cos


def test_settings_of_a_published_training_come_back_as_dicts(tmp_path, monkeypatch):
    class CfgNode(dict):
        """Pickles as yacs's: a dict that has attributes, too."""

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    monkeypatch.setitem(sys.modules, "yacs.config", ModuleType("yacs.config"))
    sys.modules["yacs.config"].CfgNode = CfgNode
    config = CfgNode(MODEL=CfgNode(TYPE="moby"))
    config.__dict__["__immutable__"] = True
    args = Namespace(arch="resnet50", lr=np.float64(0.5))
    file = saved(tmp_path, {"model": WEIGHTS, "config": config, "args": args})
    loaded = load_checkpoint(file)
    assert loaded["config"] == {"MODEL": {"TYPE": "moby"}}
    assert loaded["args"] == {"arch": "resnet50", "lr": 0.5}
    assert type(loaded["args"]) is dict and type(loaded["config"]) is OrderedDict


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_is_refused_by_name_and_does_not_run(tmp_path, zipped):
    content = {"state_dict": WEIGHTS, "extra": Touch(tmp_path / "ran")}
    file = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    assert "holds `os.system`, which is not data; refused" in refusal(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_is_refused_and_does_not_run(tmp_path, protocol):
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps({"model": Touch(tmp_path / "ran")}, protocol=protocol))
    assert "plain pickle" in refusal(file)
    assert not (tmp_path / "ran").exists()


def test_eval_is_named(tmp_path):
    content = {"state_dict": WEIGHTS, "extra": Touch(tmp_path / "ran", function=eval)}
    assert "`builtins.eval`" in refusal(saved(tmp_path, content))


def test_newer_pickle_protocols_are_named_too(tmp_path):
    content = {"state_dict": WEIGHTS, "extra": Touch(tmp_path / "ran")}
    assert refused_names(saved(tmp_path, content, pickle_protocol=4)) == ["os.system"]


@pytest.mark.parametrize(
    "owner, name",
    [
        (HistoryBuffer, "__init__"),
        (HistoryBuffer, "register_statistics"),
        (OneCycleParamScheduler, "__subclasses__"),
        (np.dtype("f8"), "newbyteorder"),
    ],
)
def test_getattr_reaches_only_the_listed_methods(tmp_path, owner, name):
    file = saved(tmp_path, {"state_dict": WEIGHTS, "extra": GetattrOf(owner, name)})
    assert f"`getattr` of '{name}', which is not data; refused" in refusal(file)


def test_a_class_on_the_list_is_not_built(tmp_path):
    class Build:
        def __reduce__(self):
            return OneCycleParamScheduler, (1, 2, 3)

    file = saved(tmp_path, {"state_dict": WEIGHTS, "extra": Build()})
    assert "cannot be read" in refusal(file)


def test_an_array_of_objects_is_refused(tmp_path):
    content = {"state_dict": WEIGHTS, "extra": np.array([{}, None], dtype=object)}
    assert "numpy array of object, which is not plain data" in refusal(saved(tmp_path, content))


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


def test_statistics_of_a_file_do_not_enter_the_class(tmp_path):
    history = HistoryBuffer([1.0], [1])
    history._statistics_methods = {"mean": HistoryBuffer.max}
    methods = dict(HistoryBuffer._statistics_methods)
    load_checkpoint(saved(tmp_path, {"state_dict": WEIGHTS, "history": history}))
    assert HistoryBuffer._statistics_methods == methods


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
