"""Small datasets of each kind as users keep them, and choices for a new config."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.own_data import starting_weights
from mmproscale.own_data.base_configs import BaseConfig, find_base
from mmproscale.own_data.choices import Batch, Choices, TrainingOptions
from mmproscale.own_data.data_search import FoundData
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.dataset_reading import CheckedData
from mmproscale.own_data.layouts import PairEndings, SplitFiles
from mmproscale.own_data.memory_fit import MemoryFit
from mmproscale.own_data.starting_weights import Start, choose_start, freeze

CLASSES = ("road", "tree", "car")


def write_panoptic(root: Path, train: int = 6, val: int = 2, size: int = 64) -> Path:
    """Shapes: annotations/panoptic_train.json and its PNGs, train/, and the same of val."""
    make_shapes(root, ShapesSpec(train=train, val=val, size=size), False)
    return root


def write_semantic(
    root: Path, splits=("train", "val"), count: int = 5, names: bool = True, highest: int = 2
) -> Path:
    """mmsegmentation's layout: img_dir/SPLIT/*.jpg and ann_dir/SPLIT/*_map.png, classes.txt."""
    generator = np.random.default_rng(0)
    for split in splits:
        for folder in ("img_dir", "ann_dir"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            image = generator.integers(0, 255, (64, 96, 3), dtype=np.uint8)
            labels = np.zeros((64, 96), np.uint8)
            labels[:, 40:], labels[:8], labels[-4:] = 1 + number % highest, highest, 255
            Image.fromarray(image).save(root / "img_dir" / split / f"{number}.jpg")
            Image.fromarray(labels).save(root / "ann_dir" / split / f"{number}_map.png")
    if names:
        (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


def checked_data(kind: str, root: Path) -> CheckedData:
    """Dataset of two things and one stuff, or of three classes, without files."""
    semantic, seg = kind == "semantic", root / "train_png" if kind == "panoptic" else None
    train = SplitFiles(root / ("ann/train" if semantic else "train.json"), root / "img/train", seg)
    val = SplitFiles(root / ("ann/val" if semantic else "val.json"), root / "img/val", seg)
    things = () if semantic else ("cow", "dog")
    stuff = {"semantic": CLASSES, "panoptic": ("sky",)}.get(kind, ())
    counts = (90, 10, 40)[: len(things) + len(stuff)]
    facts = Facts(kind, things, stuff, counts, train_images=100, val_images=20, size=(640, 480))
    endings = PairEndings(".jpg", ".png") if semantic else None
    return CheckedData(FoundData(kind, root, train, val), facts, endings)


def make_choices(data: CheckedData, base: str = "m2f_r50", **options) -> Choices:
    """Choices of images of 640x480, a crop of 320x256, batch 2 x 1 x 8; weights can be had."""
    base = find_base(base, data.facts.kind)
    options = TrainingOptions(gpus=1, memory=8, **options)
    start = start_with_network(base, data.facts, options)
    return Choices(
        base=base,
        options=options,
        data=data,
        image_size=(640, 480),
        fit=MemoryFit((320, 256), images=3, per_image=2**30, fixed=2**30),
        batch=Batch(per_gpu=2, gpus=1, accumulate=8),
        rate=1e-4,
        iterations=2000,
        class_weights=None,
        start=start,
        backbone=freeze(base, start) if options.frozen_backbone else start.backbone,
    )


def start_with_network(base: BaseConfig, facts: Facts, options: TrainingOptions) -> Start:
    """Start as it is chosen where the backbone's weights can be had."""
    with patch.object(starting_weights, "why_unavailable", lambda source: ""):
        return choose_start(base, facts, options.load_from, options.from_scratch, True)
