"""Reading of a panoptic dataset on disk without the package's own code."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.registry import init_default_scope
from PIL import Image

from mmproscale.registry import DATASETS
from mmproscale.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Truth:
    """One image: (H, W) category ids (0 is void), segment ids, and whether it is a crowd."""

    categories: np.ndarray
    ids: np.ndarray
    crowd: np.ndarray
    image: dict


def save(path: Path, values, dtype=np.uint8) -> None:
    """Write an image of such values, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype)).save(path)


def picture(path: Path, height: int, width: int) -> None:
    """Write a grey photograph."""
    save(path, np.full((height, width, 3), 90))


def read_truth(json_path: Path, png_folder: Path) -> dict:
    """Truth of each image by its id; areas, boxes and ids are checked against the PNG's pixels."""
    content = json.loads(json_path.read_text())
    images = {image["id"]: image for image in content["images"]}
    assert len(images) == len(content["images"]) == len(content["annotations"])
    known = {category["id"] for category in content["categories"]}
    truths = {}
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        pixels = np.asarray(Image.open(png_folder / annotation["file_name"])).astype(int)
        ids = pixels @ [1, 256, 65536]
        assert ids.shape == (image["height"], image["width"])
        categories, crowd = np.zeros_like(ids), np.zeros(ids.shape, bool)
        for segment in annotation["segments_info"]:
            assert set(segment) == {"id", "category_id", "area", "bbox", "iscrowd"}
            rows, columns = np.nonzero(ids == segment["id"])
            x, y = columns.min(), rows.min()
            assert segment["area"] == len(rows)
            assert segment["bbox"] == [x, y, columns.max() - x + 1, rows.max() - y + 1]
            assert segment["category_id"] in known
            categories[rows, columns], crowd[rows, columns] = (
                segment["category_id"],
                segment["iscrowd"],
            )
        assert set(np.unique(ids)) - {0} == {s["id"] for s in annotation["segments_info"]}
        truths[image["id"]] = Truth(categories, ids, crowd, image)
    return truths


def training_samples(config: str, root: Path):
    """Names of the classes, and what the config's training pipeline makes of each image, thrice."""
    settings = load_config(ROOT / "configs" / config, {"data_root": str(root)})
    init_default_scope("mmdet")
    dataset = DATASETS.build(settings.train_dataloader.dataset)
    counts = [len(dataset.metainfo[kind]) for kind in ("thing_classes", "stuff_classes")]
    assert counts == [settings.num_things_classes, settings.num_stuff_classes]
    random.seed(0)
    np.random.seed(0)
    return dataset.metainfo["classes"], [dataset[i] for _ in range(3) for i in range(len(dataset))]


def check_sample(classes, sample, things: set[str], stuff: set[str], size: tuple[int, int]) -> None:
    """Check a crop: at most of the size, only these classes, and masks inside their class."""
    height, width = sample["inputs"].shape[1:]
    assert height <= size[0] and width <= size[1]
    truth = sample["data_samples"]
    labels = truth.gt_sem_seg.sem_seg[0].numpy()
    names = {classes[label] for label in np.unique(labels) if label != 255}
    assert names <= things | stuff
    assert {classes[label] for label in truth.gt_instances.labels} <= things
    for label, mask in zip(truth.gt_instances.labels, truth.gt_instances.masks.masks, strict=True):
        assert (labels[mask > 0] == int(label)).all()
