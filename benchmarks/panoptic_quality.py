"""Panoptic quality of an image: counting by runs against counting pixel by pixel.

python benchmarks/panoptic_quality.py measures street-like maps of 1024x2048 pixels: id maps in
memory, and PNG files with decoding. The reference does as panopticapi: numpy's unique over the
pixels, a loop over the pairs. Both must give the same counts, or it stops.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from common.benchmark import make_parser, run_benchmark
from PIL import Image

from mmproscale.analysis.comparison import Case, Prepared
from mmproscale.analysis.measurement import Stopwatch
from mmproscale.analysis.measuring_options import at_least, set_up
from mmproscale.apis.command_line import command_line
from mmproscale.evaluation.panoptic_format import encode_png, read_png
from mmproscale.evaluation.panoptic_quality import IOU_UNIT, Segments, match_segments
from mmproscale.evaluation.pixel_pairs import count_pairs

REFERENCE, OURS = "pixel by pixel", "by runs"
NUM_CLASSES, VOID, PAIR_BASE = 19, 0, 1 << 24
TINY = (32, 64)


@dataclass(frozen=True)
class Scene:
    """An id map (H, W) and, for each segment, its id and class; area by id."""

    id_map: np.ndarray
    labels: dict[int, int]
    areas: dict[int, int]

    def segments(self) -> Segments:
        ids = list(self.labels)
        areas = np.array([self.areas[i] for i in ids])
        labels = np.array([self.labels[i] for i in ids])
        return Segments(np.array(ids), labels, areas, np.zeros(len(ids), bool))


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--size", nargs=2, type=at_least(16), default=[1024, 2048], metavar="N")
    parser.add_argument("--segments", type=at_least(1), default=40, help="things in an image")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    cv2.setNumThreads(args.threads or 0)
    with TemporaryDirectory(prefix="panoptic_quality_") as folder:
        cases = [make_case(name, args, Path(folder)) for name in ("id maps in memory", "PNG files")]
        run_benchmark(__file__, args, cases, "Panoptic quality: one image")


def make_case(name: str, args: argparse.Namespace, folder: Path) -> Case:
    height, width = args.size
    return Case(
        name=f"{name}, {height}x{width}, {args.segments} things",
        settings={"size": args.size, "segments": args.segments},
        candidates={
            REFERENCE: partial(prepare, pixel_by_pixel, read_by_pillow, name, args, folder),
            OURS: partial(prepare, by_runs, read_png, name, args, folder),
        },
    )


Count = Callable[[Scene, Scene, np.ndarray, np.ndarray], np.ndarray]


def prepare(
    count: Count,
    read: Callable[[Path], np.ndarray],
    name: str,
    args: argparse.Namespace,
    folder: Path,
) -> Prepared:
    """Ready to compare a truth with a prediction, read from files where the case says so."""

    def on(truth: Scene, prediction: Scene, paths: list[Path], watch: Stopwatch) -> None:
        with watch.part("whole"):
            maps = [read(path) for path in paths] or [truth.id_map, prediction.id_map]
            count(truth, prediction, *maps)

    sides = make_sides(tuple(args.size), args.segments)
    check_equal(*sides)
    tiny = make_sides(TINY, 3)
    from_files = name == "PNG files"
    return Prepared(
        run=partial(on, *sides, write(sides, folder / "full") if from_files else []),
        warm_up=partial(on, *tiny, write(tiny, folder / "tiny") if from_files else [], Stopwatch()),
    )


def check_equal(truth: Scene, prediction: Scene) -> None:
    """Both ways must count the same."""
    maps = truth.id_map, prediction.id_map
    np.testing.assert_allclose(
        by_runs(truth, prediction, *maps), pixel_by_pixel(truth, prediction, *maps), atol=1e-9
    )


def write(sides: tuple[Scene, Scene], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "truth.png", folder / "prediction.png"]
    for side, path in zip(sides, paths, strict=True):
        path.write_bytes(encode_png(side.id_map))
    return paths


def by_runs(
    truth: Scene, prediction: Scene, true_map: np.ndarray, predicted_map: np.ndarray
) -> np.ndarray:
    """Ours: (C, 4) of sum of IoU, matched, extra, missed."""
    pairs = count_pairs(true_map, predicted_map)
    counts = match_segments(truth.segments(), prediction.segments(), pairs, NUM_CLASSES)
    return counts * [IOU_UNIT, 1, 1, 1]


def pixel_by_pixel(
    truth: Scene, prediction: Scene, true_map: np.ndarray, predicted_map: np.ndarray
) -> np.ndarray:
    """The protocol over all pixels: the same (C, 4); these maps have no crowds."""
    counts = np.zeros((NUM_CLASSES, 4))
    areas = dict(
        zip(*(a.tolist() for a in np.unique(predicted_map, return_counts=True)), strict=True)
    )
    coded = true_map.astype(np.uint64) * PAIR_BASE + predicted_map.astype(np.uint64)
    values, pixels = np.unique(coded, return_counts=True)
    overlaps = {divmod(int(v), PAIR_BASE): int(n) for v, n in zip(values, pixels, strict=True)}
    matched: set[tuple[str, int]] = set()
    for (true_id, predicted_id), pixels_shared in overlaps.items():
        label = truth.labels.get(true_id)
        if label is None or prediction.labels.get(predicted_id) != label:
            continue
        on_void = overlaps.get((VOID, predicted_id), 0)
        iou = pixels_shared / (areas[predicted_id] + truth.areas[true_id] - pixels_shared - on_void)
        if iou > 0.5:
            counts[label, :2] += iou, 1
            matched |= {("true", true_id), ("predicted", predicted_id)}
    for true_id, label in truth.labels.items():
        counts[label, 3] += ("true", true_id) not in matched
    for predicted_id, label in prediction.labels.items():
        void_share = overlaps.get((VOID, predicted_id), 0) / areas[predicted_id]
        counts[label, 2] += ("predicted", predicted_id) not in matched and void_share <= 0.5
    return counts


def read_by_pillow(path: Path) -> np.ndarray:
    """An id map as panopticapi reads it."""
    with Image.open(path) as image:
        rgb = np.array(image, dtype=np.uint32).astype(np.int32)
    return rgb[..., 0] + 256 * rgb[..., 1] + 256 * 256 * rgb[..., 2]


def make_sides(size: tuple[int, int], things: int) -> tuple[Scene, Scene]:
    """A truth, and a prediction: the same moved a little, with frayed edges, some classes wrong."""
    random = np.random.default_rng(0)
    truth = draw(size, things, random)
    moved = np.roll(truth, 3, axis=1)
    edges = moved != np.roll(moved, 1, axis=0)
    moved[edges & (random.random(size) < 0.3)] = VOID
    true_labels = {int(i): int(i) % NUM_CLASSES for i in np.unique(truth) if i != VOID}
    wrong = {int(i): int(i + (random.random() < 0.2)) % NUM_CLASSES for i in np.unique(moved)}
    predicted_labels = {i: label for i, label in wrong.items() if i != VOID}
    return scene(truth, true_labels), scene(moved, predicted_labels)


def draw(size: tuple[int, int], things: int, random: np.random.Generator) -> np.ndarray:
    """Ellipses of all sizes before bands; a strip at the bottom is void, as in Cityscapes."""
    height, width = size
    id_map = np.repeat(1 + np.arange(height) * 4 // height, width).reshape(size).astype(np.int32)
    for number in range(things):
        centre = int(random.integers(width)), int(random.integers(height))
        axes = [int(side) for side in random.integers(max(2, height // 100), height // 5, 2)]
        angle = float(random.integers(180))
        cv2.ellipse(id_map, centre, axes, angle, 0, 360, 1000 * (number + 5) + number, -1)
    id_map[-height // 12 :] = VOID
    return id_map


def scene(id_map: np.ndarray, labels: dict[int, int]) -> Scene:
    areas = zip(*(a.tolist() for a in np.unique(id_map, return_counts=True)), strict=True)
    return Scene(id_map, labels, dict(areas))


if __name__ == "__main__":
    main()
