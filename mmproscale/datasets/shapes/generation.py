"""Generation of Shapes, a panoptic dataset in COCO format that trains on a CPU.

    ROOT/train/*.jpg, ROOT/val/*.jpg
    ROOT/annotations/panoptic_train.json, panoptic_val.json
    ROOT/annotations/panoptic_train/*.png, panoptic_val/*.png

Image i of a split depends only on (seed, split, i, size). Category ids have gaps, and things and
stuff alternate in the JSON, as in datasets from other sources.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from mmproscale.datasets.shapes.scene import STUFF, THINGS, Scene, draw_scene
from mmproscale.errors import InputError

SPLITS = ("train", "val")
GENERATOR = "mmproscale Shapes"
MIN_SIZE, MAX_SIZE = 64, 2048  # in smaller images the smallest objects would have no shape

_COLORS = (
    (220, 20, 60),
    (70, 130, 180),
    (119, 11, 160),
    (152, 251, 152),
    (0, 0, 230),
    (250, 170, 30),
    (0, 140, 70),
    (190, 153, 153),
)
CATEGORIES = [
    dict(
        id=3 * place + 2 + place % 2 * 40,
        name=name,
        isthing=int(name in THINGS),
        color=list(_COLORS[place]),
        supercategory="shape" if name in THINGS else "texture",
    )
    for place, name in enumerate(n for pair in zip(STUFF, THINGS, strict=True) for n in pair)
]
_ID_OF = {category["name"]: category["id"] for category in CATEGORIES}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ShapesSpec:
    """Specification of a Shapes dataset: equal specifications give identical datasets.

    Args:
        train: Number of training images.
        val: Number of validation images.
        size: Side of an image in pixels.
        seed: Seed of the random numbers.
        version: Version of the generator; it rises when the same seed gives other images.
    """

    train: int = 2000
    val: int = 300
    size: int = 128
    seed: int = 0
    version: int = 1

    def check(self) -> None:
        """Raise InputError if a value is out of range."""
        if min(self.train, self.val) < 1:
            raise InputError(f"train={self.train}, val={self.val}: each split needs an image")
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise InputError(f"size={self.size}: expected {MIN_SIZE} to {MAX_SIZE} pixels")
        if self.seed < 0:
            raise InputError(f"seed={self.seed}: expected 0 or more")


def make_shapes(
    root: str | Path,
    spec: ShapesSpec | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> bool:
    """Generate Shapes at `root`, unless it exists already.

    The dataset is written to a temporary folder next to `root`, which is then renamed: `root` never
    holds a part of a dataset.

    Args:
        root: The dataset's folder.
        spec: Numbers, size and seed of the images; None for the default.
        overwrite: True replaces a Shapes dataset of another specification.
        progress: Called as (split, images done, images in all).

    Returns:
        True if the dataset was generated, False if it existed.

    Raises:
        InputError: A value of `spec` is out of range, `root` holds something else, or the folder
            cannot be written.
    """
    root, spec = Path(root), spec or ShapesSpec()
    spec.check()
    if _found_spec(root) == asdict(spec):
        return False
    _check_replaceable(root, spec, overwrite)
    building = root.parent / f".{root.name}.{os.getpid()}.tmp"
    try:
        for split in SPLITS:
            _write_split(building, split, spec, progress)
        _swap(building, root)
    except OSError as error:
        raise InputError(f"'{root}' cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return True


def scene_of(spec: ShapesSpec, split: str, index: int) -> Scene:
    """Draw image `index` of `split`; nothing is written."""
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index, spec.version])
    return draw_scene(rng, spec.size)


def _found_spec(root: Path) -> dict | None:
    """Return the specification of the Shapes dataset at `root`; None for anything else."""
    specs = []
    for split in SPLITS:
        try:
            content = json.loads((root / "annotations" / f"panoptic_{split}.json").read_text())
            info = content["info"]
            specs.append(info["spec"] if info["description"] == GENERATOR else None)
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return specs[0] if specs[0] == specs[1] else None


def _check_replaceable(root: Path, spec: ShapesSpec, overwrite: bool) -> None:
    found = _found_spec(root)
    if found is None:
        if root.is_file() or (root.is_dir() and any(root.iterdir())):
            raise InputError(f"'{root}' holds something other than Shapes: choose another folder")
    elif not overwrite:
        wanted = asdict(spec)
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        there = ", ".join(f"{key}={found.get(key)}" for key in differing)
        asked = ", ".join(f"{key}={wanted[key]}" for key in differing)
        raise InputError(f"'{root}' holds Shapes with {there}, not {asked}: pass --overwrite")


def _swap(building: Path, root: Path) -> None:
    old = root.parent / f".{root.name}.{os.getpid()}.old"
    if root.exists():
        root.rename(old)
    building.rename(root)
    shutil.rmtree(old, ignore_errors=True)


def _write_split(root: Path, split: str, spec: ShapesSpec, progress: Progress | None) -> None:
    image_folder, png_folder = root / split, root / "annotations" / f"panoptic_{split}"
    image_folder.mkdir(parents=True)
    png_folder.mkdir(parents=True)
    count, size = getattr(spec, split), spec.size
    images, annotations = [], []
    for index in range(count):
        scene = scene_of(spec, split, index)
        ids, segments = _annotate(scene)
        jpg, png = f"{index:06d}.jpg", f"{index:06d}.png"
        pixels = scene.image.clip(0, 255).round().astype(np.uint8)
        _write_image(image_folder / jpg, pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
        # OpenCV writes B, G, R; an id is R + 256 G + 65536 B.
        colors = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
        _write_image(png_folder / png, colors, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        images.append(dict(id=index + 1, file_name=jpg, height=size, width=size))
        annotations.append(dict(image_id=index + 1, file_name=png, segments_info=segments))
        if progress is not None:
            progress(split, index + 1, count)
    info = dict(description=GENERATOR, spec=asdict(spec))
    content = dict(info=info, images=images, annotations=annotations, categories=CATEGORIES)
    png_folder.with_suffix(".json").write_text(json.dumps(content))


def _annotate(scene: Scene) -> tuple[np.ndarray, list[dict]]:
    """Return the map of random 24-bit segment ids (S, S) and COCO's `segments_info`."""
    new_ids = np.zeros(max(s.index for s in scene.segments) + 1, np.int32)
    drawn = scene.rng.choice(2**24 - 1, len(scene.segments), replace=False) + 1
    segments = []
    for segment, segment_id in zip(scene.segments, drawn, strict=True):
        new_ids[segment.index] = segment_id
        rows, columns = np.nonzero(scene.ids == segment.index)
        x, y = int(columns.min()), int(rows.min())
        segments.append(
            dict(
                id=int(segment_id),
                category_id=_ID_OF[segment.category],
                area=len(rows),
                bbox=[x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1],
                iscrowd=int(segment.is_crowd),
            )
        )
    return new_ids[scene.ids], segments


def _write_image(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    done, encoded = cv2.imencode(path.suffix, pixels, options)
    if not done:
        raise OSError(f"cannot encode {path.name}")
    path.write_bytes(encoded.tobytes())
