"""Conversion of ADEChallengeData2016, semantic and instance maps, to COCO's panoptic format.

    ROOT/images/{training,validation}/NAME.jpg
    ROOT/annotations/{training,validation}/NAME.png           class 1 to 150, 0 is void
    ROOT/annotations_instance/{training,validation}/NAME.png  R: thing 1 to 100, G: its number
    -> ROOT/ade20k_panoptic_{train,val}.json, ROOT/ade20k_panoptic_{train,val}/NAME.png

Category ids are the classes of the semantic maps, 1 to 150. A stuff segment's id is its class; an
instance's id is its class plus 256 times its number. Where both maps label a pixel, the instance
map wins. A pixel of a thing class without an instance is void.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets.ade20k import ADE20KInstanceDataset, ADE20KSegDataset

from mmproscale.datasets.conversion.output import Conversion, Destination, PanopticImage
from mmproscale.datasets.conversion.source_files import read_map_pair
from mmproscale.datasets.conversion.summary import Counts
from mmproscale.datasets.formats.panoptic_png import VOID
from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import visible

SPLITS = {"train": "training", "val": "validation"}
PER_INSTANCE = 256
MAPS = {
    "annotations": "ADEChallengeData2016.zip of the scene parsing challenge",
    "annotations_instance": "annotations_instance.tar, which the challenge offers separately "
    "(sceneparsing.csail.mit.edu, instance segmentation)",
}
"""Folder of maps -> the archive that has it."""


@cache
def ade20k_categories() -> tuple[dict[str, Any], ...]:
    """Return the 150 classes in the challenge's order, 100 of them things, as mmdet lists them."""
    things = {name.strip() for name in ADE20KInstanceDataset.METAINFO["classes"]}
    named = zip(
        ADE20KSegDataset.METAINFO["classes"], ADE20KSegDataset.METAINFO["palette"], strict=True
    )
    return tuple(
        dict(id=number, name=name.strip(), isthing=int(name.strip() in things), color=list(color))
        for number, (name, color) in enumerate(named, start=1)
    )


@cache
def class_of_instance() -> np.ndarray:
    """Return the class, 1 to 150, of each of the 100 instance classes, (101,); place 0 is void."""
    number = {category["name"]: category["id"] for category in ade20k_categories()}
    things = ADE20KInstanceDataset.METAINFO["classes"]
    return np.array([VOID] + [number[name.strip()] for name in things], np.int32)


def ade20k_destination(root: str | Path, split: str) -> Destination:
    """Return the destination of a split."""
    return Destination(Path(root) / f"ade20k_panoptic_{split}")


def prepare_ade20k(root: str | Path, split: str) -> Conversion:
    """Prepare the conversion of a split.

    Args:
        root: The folder with ``images``, ``annotations`` and ``annotations_instance``.
        split: ``train`` or ``val``.

    Raises:
        InputError: The split has no images.
    """
    root, folder = Path(root), SPLITS[split]
    images = sorted(visible((root / "images" / folder).glob("*.jpg")))
    if not images:
        raise InputError(
            f"'{root / 'images' / folder}' has no *.jpg: is {root} ADEChallengeData2016, unpacked?"
        )
    for kind, source in MAPS.items():
        _check_maps(images, root / kind / folder, source)
    convert = partial(_convert, root=root, folder=folder)
    return Conversion(images, convert, ade20k_categories(), ade20k_destination(root, split))


def _check_maps(images: list[Path], folder: Path, source: str) -> None:
    if not folder.is_dir():
        raise InputError(f"folder '{folder}' does not exist: unpack {source}")
    missing = [image for image in images if not (folder / f"{image.stem}.png").is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(images)} images have no map in '{folder}' (first: "
            f"{missing[0].stem}.png): unpack {source} again"
        )


def _convert(path: Path, root: Path, folder: str) -> PanopticImage:
    semantic = root / "annotations" / folder / f"{path.stem}.png"
    instance = root / "annotations_instance" / folder / f"{path.stem}.png"
    classes, instances = read_map_pair(path, semantic, instance)
    ids = _segment_ids(classes, semantic, instances, instance)
    present = np.flatnonzero(np.bincount(ids.ravel())).tolist()
    meaning = {segment_id: (segment_id % PER_INSTANCE, 0) for segment_id in present}
    drawn = {category_id for category_id, _ in meaning.values()}
    lost = [
        ("in the semantic map only, without an instance", f"'{semantic}', {category['name']}")
        for category in ade20k_categories()
        if category["isthing"] and category["id"] not in drawn and category["id"] in classes
    ]
    counts = Counts(len(present) - (VOID in present), lost)
    return PanopticImage(path.stem, path.name, f"{path.stem}.png", ids, meaning, None, counts)


def _segment_ids(
    classes: np.ndarray, semantic: Path, instances: np.ndarray, instance: Path
) -> np.ndarray:
    """Return segment ids, (H, W) int32, from the semantic (H, W) and instance map (H, W, 3)."""
    categories, of_instance = ade20k_categories(), class_of_instance()
    if classes.max() > len(categories):
        raise InputError(f"semantic map '{semantic}' has class {classes.max()}: expected 0 to 150")
    if instances.ndim != 3 or instances.shape[2] < 2:
        raise InputError(
            f"instance map '{instance}' is not in colour: expected class in R, number in G"
        )
    things, numbers = instances[..., 0], instances[..., 1].astype(np.int32)
    if things.max() >= len(of_instance):
        raise InputError(f"instance map '{instance}' has class {things.max()}: expected 0 to 100")
    stuff = np.array([VOID] + [VOID if c["isthing"] else c["id"] for c in categories], np.int32)
    is_instance = (things > 0) & (numbers > 0)
    return np.where(is_instance, of_instance[things] + PER_INSTANCE * numbers, stuff[classes])
