"""Conversion of Cityscapes' instance ids to COCO's panoptic format, in its own tools' layout.

    ROOT/leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png
    ROOT/gtFine/SPLIT/CITY/NAME_gtFine_instanceIds.png
    -> ROOT/gtFine/cityscapes_panoptic_SPLIT.json
       ROOT/gtFine/cityscapes_panoptic_SPLIT/NAME_gtFine_panoptic.png

Segment ids are the values of the instance ids, and category ids are Cityscapes' label ids, as in
Cityscapes' own converter. The only difference is an image's ``file_name``: here it is the image's
path below ``leftImg8bit/SPLIT``.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.conversion.output import Conversion, Destination, PanopticImage
from mmproscale.datasets.conversion.source_files import image_size, read_label_map
from mmproscale.datasets.formats.images import size_faults
from mmproscale.datasets.formats.panoptic_png import VOID
from mmproscale.errors import InputError
from mmproscale.utils.faults import refuse
from mmproscale.utils.image_inputs import visible

IMAGE, LABELS = "_leftImg8bit.png", "_gtFine_instanceIds.png"
PER_CLASS = 1000  # instance n of label l is l * 1000 + n; a smaller value is a label


def _category(label: int, name: str, group: str, isthing: int, *color: int) -> dict[str, Any]:
    return dict(id=label, name=name, supercategory=group, isthing=isthing, color=list(color))


CATEGORIES = [
    _category(7, "road", "flat", 0, 128, 64, 128),
    _category(8, "sidewalk", "flat", 0, 244, 35, 232),
    _category(11, "building", "construction", 0, 70, 70, 70),
    _category(12, "wall", "construction", 0, 102, 102, 156),
    _category(13, "fence", "construction", 0, 190, 153, 153),
    _category(17, "pole", "object", 0, 153, 153, 153),
    _category(19, "traffic light", "object", 0, 250, 170, 30),
    _category(20, "traffic sign", "object", 0, 220, 220, 0),
    _category(21, "vegetation", "nature", 0, 107, 142, 35),
    _category(22, "terrain", "nature", 0, 152, 251, 152),
    _category(23, "sky", "sky", 0, 70, 130, 180),
    _category(24, "person", "human", 1, 220, 20, 60),
    _category(25, "rider", "human", 1, 255, 0, 0),
    _category(26, "car", "vehicle", 1, 0, 0, 142),
    _category(27, "truck", "vehicle", 1, 0, 0, 70),
    _category(28, "bus", "vehicle", 1, 0, 60, 100),
    _category(31, "train", "vehicle", 1, 0, 80, 100),
    _category(32, "motorcycle", "vehicle", 1, 0, 0, 230),
    _category(33, "bicycle", "vehicle", 1, 119, 11, 32),
]
_THINGS = {c["id"] for c in CATEGORIES if c["isthing"]}
_STUFF = {c["id"] for c in CATEGORIES} - _THINGS
# Labels that Cityscapes does not evaluate are void. Caravans and trailers have instances.
_IGNORED = {*range(7), 9, 10, 14, 15, 16, 18, 29, 30}
_IGNORED_THINGS = {29, 30}


@dataclass(frozen=True)
class _Frame:
    name: str  # aachen_000000_000019
    labels: Path
    image: Path


def cityscapes_destination(root: str | Path, split: str) -> Destination:
    """Return the destination of a split."""
    return Destination(Path(root) / "gtFine" / f"cityscapes_panoptic_{split}")


def prepare_cityscapes(root: str | Path, split: str) -> Conversion:
    """Prepare the conversion of a split.

    Args:
        root: The folder with ``leftImg8bit`` and ``gtFine``.
        split: ``train`` or ``val``; the published labels of ``test`` are not the ground truth.

    Raises:
        InputError: There are no labels or images, or one has no counterpart.
    """
    root = Path(root)
    convert = partial(_convert, images=root / "leftImg8bit" / split)
    destination = cityscapes_destination(root, split)
    return Conversion(_frames(root, split), convert, CATEGORIES, destination)


def _frames(root: Path, split: str) -> list[_Frame]:
    """Return every labelled image, sorted by name; each needs an image file and a label file."""
    labels = _by_name(root / "gtFine" / split, LABELS)
    images = _by_name(root / "leftImg8bit" / split, IMAGE)
    for names, others, folder, suffix in (
        (labels, images, "leftImg8bit", IMAGE),
        (images, labels, "gtFine", LABELS),
    ):
        if absent := sorted(names.keys() - others.keys()):
            path = names[absent[0]].relative_to(root).parts[2:-1]
            missing = root.joinpath(folder, split, *path, absent[0] + suffix)
            raise InputError(
                f"{len(absent)} of {len(names)} files like '{names[absent[0]]}' have no "
                f"counterpart *{suffix} (first: '{missing}'): unpack all of {folder} too"
            )
    return [_Frame(name, labels[name], images[name]) for name in labels]


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    paths = sorted(visible(folder.glob(f"*/*{suffix}"), folder))
    found = {path.name[: -len(suffix)]: path for path in paths}
    if not found:
        raise InputError(f"'{folder}' has no CITY/NAME{suffix}: is it Cityscapes, unpacked?")
    return found


def _convert(frame: _Frame, images: Path) -> PanopticImage:
    values = read_label_map(frame.labels, "instance ids")
    size = image_size(frame.image)
    refuse(size_faults("map", str(frame.labels), values.shape, size, f"'{frame.image}'"))
    present = np.flatnonzero(np.bincount(values.ravel())).tolist()
    meanings = {value: _meaning(value, frame.labels) for value in present}
    meaning = {value: known for value, known in meanings.items() if known is not None}
    table = np.full(max(present) + 1, VOID, np.int32)
    table[list(meaning)] = list(meaning)
    file_name = frame.image.relative_to(images).as_posix()
    png_name = f"{frame.name}_gtFine_panoptic.png"
    return PanopticImage(frame.name, file_name, png_name, table[values], meaning)


def _meaning(value: int, path: Path) -> tuple[int, int] | None:
    """Return category id and crowd flag of a value of the instance ids; None for void."""
    if value in _STUFF or value in _THINGS:  # a thing's label without a number is a group
        return value, int(value in _THINGS)
    label = value // PER_CLASS
    if value in _IGNORED or label in _IGNORED_THINGS:
        return None
    if label not in _THINGS:
        raise InputError(
            f"instance ids '{path}' have the value {value}, which is neither a label of Cityscapes "
            "nor an instance of one"
        )
    return label, 0
