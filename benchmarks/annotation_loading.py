"""Annotation of a whole dataset: mmdet's CocoPanopticDataset and ours, loaded, and read by workers.

The default is the size of COCO's training set: a panoptic JSON of 118,000 images and 1.5 million
segments, generated in a temporary folder. Both datasets have an empty pipeline. Ours also checks
the annotation, and that every image and PNG is there; these files are empty here.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common.benchmark import make_parser, run_benchmark
from mmdet.datasets import CocoPanopticDataset
from torch.utils.data import DataLoader, Dataset

from mmproscale.cli.command_line import at_least, command_line
from mmproscale.datasets.loading import PanopticDataset
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import set_up
from mmproscale.timing.measurement import Stopwatch

FOLDER = "ANNOTATION_LOADING_FOLDER"  # by which the children that measure memory find the files
TYPES = {"mmdet": CocoPanopticDataset, "mmproscale": PanopticDataset}
CLASSES = CocoPanopticDataset.METAINFO["classes"]
THINGS = len(CocoPanopticDataset.METAINFO["thing_classes"])
# Keys of COCO's entries that no reader needs.
OF_IMAGES = {
    "license": 3,
    "coco_url": "http://images.cocodataset.org/train2017/000000391895.jpg",
    "date_captured": "2013-11-14 11:18:45",
    "flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg",
}


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=at_least(1), default=118_000)
    parser.add_argument("--segments", type=at_least(1), default=1_500_000)
    parser.add_argument("--workers", type=at_least(1), default=8)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    sizes = f"{args.images:,} images, {args.segments:,} segments"
    settings = dict(images=args.images, segments=args.segments, workers=args.workers)
    with TemporaryDirectory(prefix="annotation_loading_") as own:
        folder = Path(os.environ.get(FOLDER, own))
        if FOLDER not in os.environ:
            write_dataset(folder / "full", args.images, args.segments)
            write_dataset(folder / "tiny", 2, 3)
            os.environ[FOLDER] = own
        cases = [
            Case(
                f"{name}: {sizes}",
                settings,
                {key: partial(prepare, dataset, folder, args) for key, dataset in TYPES.items()},
            )
            for name, prepare in (
                ("loaded", prepare_loading),
                (f"read by {args.workers} workers", prepare_reading),
            )
        ]
        try:
            run_benchmark(__file__, args, cases, "Annotation of a dataset")
        finally:
            os.environ.pop(FOLDER, None)


def prepare_loading(dataset: Callable[..., Dataset], folder: Path, _: object) -> Prepared:
    def run(watch: Stopwatch) -> None:
        with watch.part("whole"):
            load(dataset, folder / "full")

    return Prepared(run=run, warm_up=lambda: load(dataset, folder / "tiny"))


def prepare_reading(
    dataset: Callable[..., Dataset], folder: Path, args: argparse.Namespace
) -> Prepared:
    def memory() -> float:
        load(dataset, folder / "tiny")
        ctypes.CDLL(None).malloc_trim(0)
        before = memory_of(Nothing(), args.workers)
        return memory_of(load(dataset, folder / "full"), args.workers) - before

    full = None if args.memory_of else load(dataset, folder / "full")

    def run(watch: Stopwatch) -> None:
        with watch.part("whole"):
            assert sum(loader_of(full, args.workers)) == args.images

    return Prepared(run=run, warm_up=lambda: None, memory=memory)


class Nothing(Dataset):
    """A dataset of an item for each worker, without annotation."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> int:
        return index


def load(dataset: Callable[..., Dataset], root: Path) -> Dataset:
    prefix = dict(img="images/", seg="pngs/")
    with redirect_stdout(None):  # pycocotools tells what it does
        return dataset(ann_file="panoptic.json", data_root=str(root), data_prefix=prefix)


def loader_of(dataset: Dataset, workers: int) -> DataLoader:
    batch = max(1, min(256, len(dataset) // workers))
    return DataLoader(
        dataset,
        batch,
        num_workers=workers,
        collate_fn=len,
        multiprocessing_context="fork",
        persistent_workers=True,
    )


def memory_of(dataset: Dataset, workers: int) -> float:
    """Return the MiB of this process and its workers once they have read every item."""
    loader = loader_of(dataset, workers)
    batches = iter(loader)
    sum(batches)
    mib = sum(map(proportional_mib, [os.getpid(), *(w.pid for w in batches._workers)]))
    del batches
    return mib


def proportional_mib(process: int) -> float:
    """Return a process's memory, in which a page of N processes counts as 1/N of a page."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def write_dataset(root: Path, images: int, segments: int) -> None:
    """Write a panoptic JSON with at least one segment in each image, and empty files for it."""
    random = np.random.default_rng(0)
    counts = 1 + np.bincount(random.integers(0, images, segments - images), minlength=images)
    ids = np.sort(random.choice(5 * images, images, replace=False)).tolist()
    heights, widths = random.integers(300, 641, (2, images)).tolist()
    entries = [
        dict(OF_IMAGES, id=i, file_name=f"{i:012}.jpg", height=h, width=w)
        for i, h, w in zip(ids, heights, widths, strict=True)
    ]
    content = dict(
        images=entries,
        annotations=[annotation(e, n, random) for e, n in zip(entries, counts, strict=True)],
        categories=[
            dict(id=number, name=name, isthing=int(number <= THINGS))
            for number, name in enumerate(CLASSES, start=1)
        ],
    )
    for folder, ending in (("images", ".jpg"), ("pngs", ".png")):
        (root / folder).mkdir(parents=True)
        for i in ids:
            (root / folder / f"{i:012}{ending}").touch()
    (root / "panoptic.json").write_text(json.dumps(content))


def annotation(image: dict[str, Any], segments: int, random: np.random.Generator) -> dict[str, Any]:
    """Return an image's annotation with random segments inside the image."""
    size = np.array([image["width"], image["height"]])
    corners = random.integers(0, size, (segments, 2))
    extents = random.integers(1, size - corners + 1)
    columns: Sequence[np.ndarray] = (
        random.choice(2**24 - 1, segments, replace=False, shuffle=False) + 1,
        random.integers(1, len(CLASSES) + 1, segments),
        np.maximum(1, extents.prod(1) // 2),
        np.concatenate([corners, extents], axis=1),
    )
    keys = ("id", "category_id", "area", "bbox")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    name = image["file_name"].replace(".jpg", ".png")
    infos = [dict(zip(keys, row, strict=True), iscrowd=0) for row in rows]
    return dict(image_id=image["id"], file_name=name, segments_info=infos)


if __name__ == "__main__":
    main()
