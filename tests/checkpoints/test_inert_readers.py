"""Objects other than tensors come back from a checkpoint; only listed attributes can be named."""

import sys
from argparse import Namespace
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
from helpers.checkpoint_files import WEIGHTS, GetattrOf, refusal, saved
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

from mmproscale.checkpoints.inert_readers import (
    ArrayReader,
    DtypeReader,
    HistoryReader,
    NotDataError,
    ScalarReader,
)
from mmproscale.checkpoints.read_checkpoint import load_checkpoint


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


def test_statistics_of_a_file_do_not_enter_the_class(tmp_path):
    history = HistoryBuffer([1.0], [1])
    history._statistics_methods = {"mean": HistoryBuffer.max}
    methods = dict(HistoryBuffer._statistics_methods)
    load_checkpoint(saved(tmp_path, {"state_dict": WEIGHTS, "history": history}))
    assert HistoryBuffer._statistics_methods == methods


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


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (DtypeReader(3), "an unknown numpy type, 3"),
        (DtypeReader("O"), "a numpy array of object"),
        (ArrayReader(), "a numpy array without a type"),
        (ScalarReader("i8", b""), "a numpy scalar without a type"),
        (HistoryReader(), "a HistoryBuffer without its arrays"),
    ],
)
def test_incomplete_objects_are_refused(reader, message):
    with pytest.raises(NotDataError, match=message):
        reader.restore()
