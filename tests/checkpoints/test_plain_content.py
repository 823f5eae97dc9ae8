"""Content is copied into new containers, with plain tensors; endless content is refused."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from helpers.hostile_checkpoints import looped, nested, shared

from mmproscale.checkpoints.inert_readers import DtypeReader, NotDataError, ScalarReader
from mmproscale.checkpoints.plain_content import plain_copy


def test_readers_are_replaced_at_any_depth_and_versions_stay():
    weights = OrderedDict(a=[(ScalarReader(DtypeReader("i8"), b"\3" + 7 * b"\0"),)])
    weights._metadata = OrderedDict({"": {"version": 2}})
    copy = plain_copy({"state_dict": weights})["state_dict"]
    assert copy == {"a": [(3,)]} and copy._metadata == {"": {"version": 2}}


def test_attributes_of_dicts_and_tensors_stay_behind():
    weights = OrderedDict(a=torch.nn.Parameter(torch.ones(2)))
    weights.items = 5
    weights["a"].extra = print
    copy = plain_copy(weights)
    assert [name for name, _ in copy.items()] == ["a"]
    assert type(copy["a"]) is torch.Tensor and not copy["a"].requires_grad
    assert not hasattr(copy["a"], "extra")
    assert copy["a"].data_ptr() == weights["a"].data_ptr()


def test_what_is_shared_stays_shared():
    inner = [1]
    copy = plain_copy({"a": inner, "b": inner, "c": shared(list, 10)})
    assert copy["a"] is copy["b"] is not inner


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (shared(list, 25), "more than 1,000,000 values"),
        ({"a": shared(tuple, 25)}, "more than 1,000,000 values"),
        (nested(60), "nested more than 50 deep"),
        (looped(), "or within themselves"),
        ([print], "`print`, which is not data"),
        ([torch.nn.Linear], "`Linear`, which is not data"),
        ([object()], "`object`, which is not data"),
        (torch.ones(2).to("meta"), "a meta tensor"),
        (torch.ones(2).to_sparse(), "a sparse or nested tensor"),
        (torch.zeros(1).expand(3), r"of shape \(3,\) with fewer values"),
    ],
)
def test_what_is_refused(content, message):
    with pytest.raises(NotDataError, match=message):
        plain_copy(content)


@pytest.mark.parametrize("metadata", [5, {"": 3}, {"": {"version": "1"}}, {3: {}}])
def test_versions_of_another_form(metadata):
    weights = OrderedDict()
    weights._metadata = metadata
    with pytest.raises(NotDataError, match="version"):
        plain_copy(weights)


def test_atoms_and_arrays_come_back():
    content = [None, True, 1, 2.5, "a", b"b", 1j, np.float32(1), torch.float16, torch.device("cpu")]
    assert plain_copy(content) == content
    assert (plain_copy([np.arange(3)])[0] == np.arange(3)).all()
    assert plain_copy(torch.Size([1, 2])) == (1, 2)
