"""Parts of a model whose network is a file; whole files are in tests/export."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample

from mmproscale.errors import InputError
from mmproscale.inference.exported_model import (
    GivenMasks,
    Network,
    _boxes,
    _panoptic,
    check_use,
    exit_path,
)


def sample(image, original):
    meta = dict(img_shape=image, ori_shape=original, scale_factor=(0.5, 0.5))
    return DetDataSample(metainfo=meta)


def test_results_get_the_original_size():
    values = torch.zeros(8, 8, dtype=torch.int32)
    values[:3, 3:5] = 1002
    one = sample((6, 5), (12, 10))
    _panoptic(one, values, torch.tensor([1002]), torch.tensor([0.5]))
    found = one.pred_panoptic_seg.sem_seg[0]
    assert found.shape == (12, 10) and found.dtype == torch.int32
    assert (found[:6, 6:] == 1002).all() and (found == 1002).sum() == 24
    _boxes(one, torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([0.5]), torch.tensor([1]))
    assert one.pred_instances.bboxes.tolist() == [[2, 4, 6, 8]]


def test_each_image_takes_its_exits_file(tmp_path):
    info = SimpleNamespace(photos=False, exits=(2, 5))
    logits = torch.tensor([[0.0, 1], [1, 0], [0, 1]])
    maps = torch.arange(3.0)[:, None]
    gate = SimpleNamespace(path=tmp_path / "a.onnx", info=info)
    file = type("File", (), {"__call__": lambda self, images: (logits, maps)})()
    file.info, file.path = info, gate.path
    part = SimpleNamespace(exit=None)
    network = Network(file, part, "cpu")
    calls = []
    for exit_ in (2, 5):
        network._exits[exit_] = lambda m, exit_=exit_: calls.append(len(m)) or (m * 10 + exit_,)
    (found,), exits = network(torch.zeros(3, 3, 4, 4))
    assert exits == (5, 2, 5) and calls == [1, 2]
    assert found.flatten().tolist() == [5, 12, 25]
    part.exit = 2
    (found,), exits = network(torch.zeros(3, 3, 4, 4))
    assert exits == (2, 2, 2) and found.flatten().tolist() == [2, 12, 22]
    assert exit_path(gate.path, 5) == tmp_path / "a.exit5.onnx"


def test_masks_are_those_that_are_given():
    masks = torch.randn(1, 2, 3, 4)
    nothing = torch.empty(0)
    given = GivenMasks(torch.zeros(1, 1, 2, 3), nothing, nothing, given=masks)
    assert given.masks() is masks


def test_results_are_not_averaged():
    file = SimpleNamespace(path="a.onnx", info=SimpleNamespace(fused=True, kind="panoptic"))
    check_use(file, ["panoptic"], averaged=False)
    with pytest.raises(InputError, match="can't be averaged over views"):
        check_use(file, None, averaged=True)
    with pytest.raises(InputError, match="gives only panoptic results"):
        check_use(file, ["instance"], averaged=False)
