"""Small datasets of one's own, one of each kind, as people keep them."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes

CLASSES = ("road", "tree", "car")


def write_panoptic(root: Path, train: int = 6, val: int = 2) -> Path:
    """Shapes: annotations/panoptic_train.json and its PNGs, train/, and the same of val."""
    make_shapes(root, ShapesSpec(train=train, val=val, size=64), False)
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
