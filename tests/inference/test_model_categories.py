"""Categories of a model's labels, with and without the metainfo of a dataset."""

import pytest
import torch

from mmproscale.errors import InputError
from mmproscale.inference.model_categories import known_categories

NAMES = ("disc", "box", "sand", "sky")
META = dict(classes=NAMES, thing_classes=NAMES[:2], palette=[(20 * i, 9, 90) for i in range(4)])
META["categories"] = [dict(id=10 * i, name=name) for i, name in enumerate(NAMES, start=1)]


def model_with(head: str, **counts: int) -> torch.nn.Module:
    """Return a model whose head has numbers of classes."""
    model = torch.nn.Module()
    setattr(model, head, torch.nn.Module())
    vars(getattr(model, head)).update(counts)
    return model


def test_classes_come_from_the_checkpoint():
    model = model_with("panoptic_fusion_head", num_classes=4, num_things_classes=2)
    assert known_categories(META, model, "c.pth")[2] == {
        **{"id": 30, "name": "sand", "isthing": 0},
        "color": [40, 9, 90],
    }
    without_ids = {key: value for key, value in META.items() if key != "categories"}
    assert known_categories(without_ids, model, "c.pth")[2]["id"] == 2
    for meta in (None, {"classes": NAMES}):  # things are then the model's
        known = known_categories(meta, model, "c.pth")
        assert [c["isthing"] for c in known] == [1] * 2 + [0] * 2
    with pytest.raises(InputError, match=r"c\.pth has 2 classes but the config's model has 4"):
        known_categories({"classes": ("a", "b")}, model, "c.pth")


def test_classes_of_a_segmentor_are_neither_things_nor_counted_from_0_where_0_is_void():
    model = model_with("decode_head", num_classes=4)
    known = known_categories({"classes": NAMES}, model, "c.pth")
    assert [c["id"] for c in known] == list(range(4)) and not any(c["isthing"] for c in known)
    voids = known_categories({"classes": NAMES, "reduce_zero_label": True}, model, "c.pth")
    assert [c["id"] for c in voids] == list(range(1, 5))
    of_panoptic = known_categories(META, model, "c.pth")
    assert [c["id"] for c in of_panoptic] == [10 * (i + 1) for i in range(4)]
    assert [c["isthing"] for c in of_panoptic] == [1] * 2 + [0] * 2
    with pytest.raises(InputError, match=r"c\.pth has 2 classes but the config's model has 4"):
        known_categories({"classes": ("a", "b")}, model, "c.pth")
