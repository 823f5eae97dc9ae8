"""Panoptic quality of an image: ours against counting pixel by pixel.

python benchmarks/panoptic_quality.py measures street-like maps of 1024x2048 pixels. Ours compares
id maps in memory by runs, and PNG files, decoding included, with hotcoco. The reference works like
panopticapi: numpy's unique over the pixels, then a loop over the pairs. The benchmark stops unless
all counts agree.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from common.benchmark import make_parser, run_benchmark
from PIL import Image

from mmproscale.cli.command_line import add_image_size, at_least, command_line
from mmproscale.datasets.formats.panoptic_png import encode_png
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import LabelledMap, predicted_segments
from mmproscale.evaluation.panoptic_quality import (
    IOU_UNIT,
    Segments,
    count_pairs,
    match_segments,
    positions,
)
from mmproscale.evaluation.stored_predictions import PanopticResults
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import set_up
from mmproscale.timing.measurement import Stopwatch

REFERENCE = "pixel by pixel"
NAMES = "truth", "prediction"
NUM_CLASSES, VOID, PAIR_BASE = 19, 0, 1 << 24
TINY = (32, 64)


@dataclass(frozen=True)
class Scene:
    """An id map (H, W) with the class (``labels``) and the area of each id."""

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
    add_image_size(parser, "--size", (1024, 2048), least=16)
    parser.add_argument("--segments", type=at_least(1), default=40, help="things in an image")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    if args.threads:
        cv2.setNumThreads(args.threads)
        os.environ["RAYON_NUM_THREADS"] = str(args.threads)  # hotcoco's
    with TemporaryDirectory(prefix="panoptic_quality_") as folder:
        cases = [
            make_case("id maps in memory", args, {REFERENCE: pixels_of_maps, "by runs": by_runs}),
            make_case(
                "PNG files",
                args,
                {REFERENCE: pixels_of_files, "by hotcoco": by_hotcoco},
                folder,
            ),
        ]
        run_benchmark(__file__, args, cases, "Panoptic quality: one image")


Sides = tuple[Scene, Scene]
# From both sides, and a folder for their files, to a function that counts.
Candidate = Callable[[Sides, Path], Callable[[], np.ndarray]]


def make_case(
    name: str,
    args: argparse.Namespace,
    candidates: Mapping[str, Candidate],
    folder: str = "",
) -> Case:
    height, width = args.size
    return Case(
        name=f"{name}, {height}x{width}, {args.segments} things",
        settings={"size": args.size, "segments": args.segments},
        candidates={
            name: partial(prepare, candidate, args, Path(folder))
            for name, candidate in candidates.items()
        },
    )


def prepare(candidate: Candidate, args: argparse.Namespace, folder: Path) -> Prepared:
    """Prepare the comparison of a truth with a prediction, and check its counts once."""
    sides = make_sides(tuple(args.size), args.segments)
    count = candidate(sides, folder / "full")
    np.testing.assert_allclose(count(), pixel_by_pixel(*sides, *maps_of(sides)), atol=1e-9)

    def run(watch: Stopwatch) -> None:
        with watch.part("whole"):
            count()

    return Prepared(run=run, warm_up=candidate(make_sides(TINY, 3), folder / "tiny"))


def maps_of(sides: Sides) -> list[np.ndarray]:
    return [side.id_map for side in sides]


def pixels_of_maps(sides: Sides, folder: Path) -> Callable[[], np.ndarray]:
    """Return the reference on maps in memory."""
    return partial(pixel_by_pixel, *sides, *maps_of(sides))


def by_runs(sides: Sides, folder: Path) -> Callable[[], np.ndarray]:
    """Return our comparison of maps in memory, as in UniversalSegMetric."""
    truth, prediction = sides
    segments = truth.segments()
    ids, labels = (np.array(part) for part in zip(*prediction.labels.items(), strict=True))
    predicted = LabelledMap(
        prediction.id_map, lambda values: np.append(labels, -1)[positions(ids, values)]
    )

    def count() -> np.ndarray:
        pairs = count_pairs(truth.id_map, predicted.values)
        found = predicted_segments(predicted, pairs)
        return match_segments(segments, found, pairs, NUM_CLASSES) * [IOU_UNIT, 1, 1, 1]

    return count


def pixels_of_files(sides: Sides, folder: Path) -> Callable[[], np.ndarray]:
    """Return the reference on PNG files."""
    paths = [write(side, folder / name) for name, side in zip(NAMES, sides, strict=True)]
    return lambda: pixel_by_pixel(*sides, *(read_by_pillow(path) for path in paths))


def by_hotcoco(sides: Sides, folder: Path) -> Callable[[], np.ndarray]:
    """Return our comparison of PNG files, as in tools/evaluate.py."""
    for name, side in zip(NAMES, sides, strict=True):
        write(side, folder / name)
    truth = PanopticGroundTruth(folder / "truth.json")
    results = PanopticResults(folder / "prediction.json", None, truth)
    return lambda: results.count(0) * [IOU_UNIT, 1, 1, 1]


def write(side: Scene, folder: Path) -> Path:
    """Write ``FOLDER.json`` and a PNG in the folder; return the PNG's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0.png").write_bytes(encode_png(side.id_map))
    segments = [
        dict(id=i, category_id=label, area=side.areas[i], iscrowd=0, bbox=[0, 0, 1, 1])
        for i, label in side.labels.items()
    ]
    content = {
        "images": [{"id": 0, "file_name": "0.jpg"}],
        "annotations": [{"image_id": 0, "file_name": "0.png", "segments_info": segments}],
        "categories": [dict(id=c, name=f"class {c}", isthing=1) for c in range(NUM_CLASSES)],
    }
    folder.with_suffix(".json").write_text(json.dumps(content))
    return folder / "0.png"


def pixel_by_pixel(
    truth: Scene, prediction: Scene, true_map: np.ndarray, predicted_map: np.ndarray
) -> np.ndarray:
    """Return the counts (C, 4) of panoptic quality over all pixels; these maps have no crowds."""
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
    """Read an id map as panopticapi does."""
    with Image.open(path) as image:
        rgb = np.array(image, dtype=np.uint32)
    return rgb[..., 0] + 256 * rgb[..., 1] + 256 * 256 * rgb[..., 2]


def make_sides(size: tuple[int, int], things: int) -> tuple[Scene, Scene]:
    """Return a truth, and a prediction that is shifted, has frayed edges and wrong classes."""
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
    """Draw ellipses in front of bands; a strip at the bottom is void, as in Cityscapes."""
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
