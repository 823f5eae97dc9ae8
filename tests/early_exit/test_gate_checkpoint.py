"""The gate in a checkpoint, and the fingerprint that ties a derived file to a model."""

import numpy as np
import pytest
import torch
from helpers.derived_tables import CHANNELS, EXITS, GATE, origin

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.checkpoints.weights_file import WeightsHeader
from mmproscale.early_exit.gate_checkpoint import (
    fingerprint,
    gate_of,
    load_same_model,
    write_gate,
)
from mmproscale.early_exit.gate_fitting import FittedGate
from mmproscale.errors import InputError

NEW = FittedGate(
    np.arange(len(EXITS) * CHANNELS, dtype=np.float32).reshape(len(EXITS), CHANNELS),
    np.arange(len(EXITS), dtype=np.float32),
)


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "backbone.weight": torch.randn(3, 4),
        "backbone.norm.num_batches_tracked": torch.tensor(7),
        "head.half": torch.randn(5).bfloat16(),
        f"{GATE}.weight": torch.randn(len(EXITS), CHANNELS),
        f"{GATE}.bias": torch.randn(len(EXITS)),
    }


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "in.pth"
    content = dict(meta=dict(epoch=3), state_dict=weights(), optimizer=dict(state={}))
    torch.save(content, path)
    return path


def own_origin(**changes):
    return origin(fingerprint=fingerprint(weights(), GATE), **changes)


def test_all_weights_but_the_gates_change_the_fingerprint():
    own = fingerprint(weights(), GATE)
    changed = weights()
    changed[f"{GATE}.bias"] += 1
    changed["backbone.norm.num_batches_tracked"] += 1
    assert fingerprint(dict(reversed(changed.items())), GATE) == own
    for name in ("backbone.weight", "head.half"):
        other = weights()
        other[name].view(-1)[2] += 1
        assert fingerprint(other, GATE) != own
        renamed = weights()
        renamed[f"{name}2"] = renamed.pop(name)
        assert fingerprint(renamed, GATE) != own
    assert fingerprint(weights() | {"backbone.weight": torch.randn(4, 3)}, GATE) != own


def test_writing_a_gate_changes_no_other_weight(checkpoint, tmp_path):
    loaded = load_same_model(checkpoint, own_origin(), "derived.parquet")
    write_gate(loaded, own_origin(), NEW, tmp_path / "out.pth", dict(beta=0.01), WeightsHeader())
    written = load_checkpoint(tmp_path / "out.pth")
    assert written["meta"]["epoch"] == 3 and written["meta"]["early_exit"] == {"beta": 0.01}
    assert "optimizer" not in written
    for name, weight in weights().items():
        assert torch.equal(written["state_dict"][name], weight) != name.startswith(GATE)
    again = gate_of(load_same_model(tmp_path / "out.pth", own_origin(), "derived.parquet"),
                    own_origin(), "out.pth")  # fmt: skip
    assert np.array_equal(again.weight, NEW.weight) and np.array_equal(again.bias, NEW.bias)


def test_another_model_is_refused(checkpoint):
    with pytest.raises(InputError, match=r"in.pth is another model than derived.parquet was"):
        load_same_model(checkpoint, origin(), "derived.parquet")


def test_a_checkpoint_without_a_gate_or_with_one_for_other_exits(checkpoint):
    loaded = load_checkpoint(checkpoint)
    with pytest.raises(InputError, match=r"a gate for 5 exits, and the derived file has \(2, 6\)"):
        gate_of(loaded, own_origin(exits=(2, 6)), "in.pth")
    del loaded["state_dict"][f"{GATE}.bias"]
    with pytest.raises(InputError, match=r"in.pth has no gate"):
        gate_of(loaded, own_origin(), "in.pth")
