"""Shapes: a generated panoptic dataset in COCO format, small enough to train on a CPU.

    ROOT/train/*.jpg, ROOT/val/*.jpg
    ROOT/annotations/panoptic_train.json, panoptic_val.json
    ROOT/annotations/panoptic_train/*.png, panoptic_val/*.png

Image i of a split depends on (seed, split, i, size) alone. Category ids have gaps and things and
stuff alternate in the JSON, as a dataset from outside might have them.
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
MIN_SIZE, MAX_SIZE = 64, 2048  # below, the smallest objects would have no shape

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
    """What a Shapes dataset holds; two with equal specs are identical.

    Args:
        train: number of training images.
        val: number of validation images.
        size: side of an image in pixels.
        seed: of the random numbers.
        version: of the generator; goes up when the same seed gives other images.
    """

    train: int = 2000
    val: int = 300
    size: int = 128
    seed: int = 0
    version: int = 1

    def check(self) -> None:
        """Raise InputError for a spec that cannot be made."""
        if min(self.train, self.val) < 1:
            raise InputError(f"train={self.train}, val={self.val}: Shapes needs images in both")
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise InputError(
                f"size={self.size}: Shapes is made from {MIN_SIZE} to {MAX_SIZE} pixels"
            )
        if self.seed < 0:
            raise InputError(f"seed={self.seed}: it must not be negative")


def make_shapes(
    root: str | Path,
    spec: ShapesSpec | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> bool:
    """Generate Shapes at `root`, unless it is there already.

    The dataset is made beside `root` and renamed, so `root` is whole whenever it is there.

    Args:
        root: the dataset's folder.
        spec: what to make; None for the default.
        overwrite: replace a Shapes dataset of another spec.
        progress: called as (split, images done, images in all).

    Returns:
        True if it was made, False if it was there.

    Raises:
        InputError: a spec that cannot be, something else at `root`, or a folder that cannot be
            written.
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
    """Draw image `index` of `split`, without writing it."""
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index, spec.version])
    return draw_scene(rng, spec.size)


def _found_spec(root: Path) -> dict | None:
    """Return the spec of the Shapes dataset at `root`, or None if that is something else."""
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
    images, pngs = root / split, root / "annotations" / f"panoptic_{split}"
    images.mkdir(parents=True)
    pngs.mkdir(parents=True)
    count = getattr(spec, split)
    records = []
    for index in range(count):
        scene = scene_of(spec, split, index)
        ids, segments = _annotate(scene)
        pixels = scene.image.clip(0, 255).round().astype(np.uint8)
        _write_image(images / f"{index:06d}.jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
        # OpenCV writes B, G, R; an id is R + 256 G + 65536 B.
        colors = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
        _write_image(pngs / f"{index:06d}.png", colors, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        records.append(segments)
        if progress is not None:
            progress(split, index + 1, count)
    content = _coco(records, spec)
    (root / "annotations" / f"panoptic_{split}.json").write_text(json.dumps(content))


def _annotate(scene: Scene) -> tuple[np.ndarray, list[dict]]:
    """Return the map of 24-bit segment ids (S, S) and COCO's `segments_info`."""
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


def _coco(records: list[list[dict]], spec: ShapesSpec) -> dict:
    return dict(
        info=dict(description=GENERATOR, spec=asdict(spec)),
        images=[
            dict(id=i + 1, file_name=f"{i:06d}.jpg", height=spec.size, width=spec.size)
            for i in range(len(records))
        ],
        annotations=[
            dict(image_id=i + 1, file_name=f"{i:06d}.png", segments_info=segments)
            for i, segments in enumerate(records)
        ],
        categories=CATEGORIES,
    )


def _write_image(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    done, encoded = cv2.imencode(path.suffix, pixels, options)
    if not done:
        raise OSError(f"cannot encode {path.name}")
    path.write_bytes(encoded.tobytes())
