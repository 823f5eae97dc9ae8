"""A small model with exits and a gate, images for it, and processes that run step B."""

from pathlib import Path

import torch
from helpers.gloo import on_processes
from mmengine.registry import init_default_scope

from mmproscale.datasets.conversion.panoptic_to_instances import convert_to_instances
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.registry import MODELS
from mmproscale.utils.config import load_config

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "eco_m2f_r18_shapes.py"
IMAGES, PART = 10, 4


def options(shapes: Path) -> dict:
    """Return config options for images in ``shapes``."""
    # Untrained queries have low scores: only these thresholds keep any result.
    return {
        "data_root": str(shapes),
        "test_dataloader.num_workers": 0,
        "test_dataloader.persistent_workers": False,
        "model.test_cfg.object_mask_thr": 0.0,
        "model.test_cfg.iou_thr": 0.0,
    }


def write_shapes(folder: Path) -> Path:
    """Write ten training images of 64 pixels."""
    make_shapes(folder, ShapesSpec(train=IMAGES, val=2, size=64))
    return folder


def write_boxes(folder: Path) -> Path:
    """Write the same images, with annotations of their things' boxes."""
    annotations = write_shapes(folder) / "annotations"
    for split in ("train", "val"):
        panoptic = annotations / f"panoptic_{split}.json"
        out = annotations / f"instances_{split}.json"
        convert_to_instances(panoptic, panoptic.with_suffix(""), out)
    return folder


def write_checkpoint(path: Path, seed: int = 0) -> Path:
    """Write a checkpoint of the model with random weights."""
    torch.manual_seed(seed)
    init_default_scope("mmdet")
    model = MODELS.build(load_config(CONFIG).model)
    model.init_weights()
    torch.save({"meta": {}, "state_dict": model.state_dict()}, path)
    return path


def derive_once(shapes: Path, checkpoint: Path, out: Path, **settings) -> None:
    """Run step B as the tool does, in parts of four images."""
    from mmproscale.early_exit import derivation, derived_file

    derived_file.PART_SIZE = PART
    config = load_config(CONFIG, options(shapes))
    derivation.derive(config, checkpoint, out, torch.device("cpu"), **settings)


def derive_on(world: int, shapes: Path, checkpoint: Path, out: Path) -> list[str]:
    """Run step B on several processes; return the InputError of each, or an empty text."""
    said = out.parent / f"said_{out.stem}"
    preload = ["mmproscale.early_exit.derivation"]
    return on_processes(world, said, _derive, shapes, checkpoint, out, preload=preload)


def _derive(rank: int, *arguments: Path) -> str:
    from mmproscale.errors import InputError

    try:
        derive_once(*arguments)
    except InputError as error:
        return str(error)
    return ""
