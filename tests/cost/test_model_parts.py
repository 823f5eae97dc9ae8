"""Parts of a model: every module is in one of them, and exits are found by their contract."""

from itertools import combinations

import pytest

from mmproscale.cost.model_cost import build_network
from mmproscale.cost.model_parts import exit_holder, mask_head_path, model_parts
from mmproscale.utils.config import load_config

HEADS = {
    "eco_m2f_r18_shapes": "panoptic_head",
    "rt_m2f_r18_shapes": "panoptic_head",
    "pem_m2f_r18_camvid-semantic": "decode_head",
    "eco_dino_r18_shapes": None,
    "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py": "panoptic_head",
    "mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py": None,
}


@pytest.mark.parametrize(("name", "head"), HEADS.items())
def test_parts_do_not_overlap_and_cover_the_model(name, head):
    model = build_network(load_config(name)).model
    assert mask_head_path(model) == head
    paths = [path for part in model_parts(model) for path in part.paths]
    for one, other in combinations(paths, 2):
        assert not f"{one}.".startswith(f"{other}.") and not f"{other}.".startswith(f"{one}.")
    parts = tuple(f"{path}." for path in paths)
    outside = [name for name, _ in model.named_parameters() if not name.startswith(parts)]
    assert not [name for name in outside if "." in name], "the model's own parameters are the rest"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("eco_m2f_r18_shapes", "panoptic_head.pixel_decoder"),
        ("m2f_r18_shapes", "panoptic_head.pixel_decoder"),
        ("eco_dino_r18_shapes", ""),
        ("rt_m2f_r18_shapes", None),
        ("pem_m2f_r18_shapes", None),
        ("mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py", None),
    ],
)
def test_exits_are_found(name, path):
    model = build_network(load_config(name)).model
    found = exit_holder(model)
    assert (found and found[0]) == path
    assert found is None or found[1] is model.get_submodule(path)
