"""Proof of an exported file: its outputs and results next to those of PyTorch, on images."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import ImagePrediction, ImageScorer, LabelledMap
from mmproscale.evaluation.panoptic_quality import panoptic_quality
from mmproscale.export.export_run import network_input
from mmproscale.export.graph import early_exits, graph_of, traceable
from mmproscale.inference.image_sources import InputImage, read_image
from mmproscale.inference.predictor import Predictor
from mmproscale.inference.results import Instances, Result
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.image_inputs import find_images
from mmproscale.utils.json_values import nan_to_null
from mmproscale.utils.words import plural

BOX_TOLERANCE = 1.0
"""Pixels by which the sides of equal boxes may differ."""

LEAST_SCORE = 0.05
"""Score from which on a box or instance counts in a comparison."""


@dataclass
class Figures:
    """Figures of one image after the other.

    Attributes:
        differences: Output's name -> largest difference of each image.
        flipped: Share of mask logits of the other sign, of each image.
        equal: Share of equal pixels or boxes, of each image.
        seconds: Seconds of PyTorch and of the file, for each image.
        counts: Counts (2, C, 4) of PQ of both sides, summed; None without ground truth.
    """

    differences: dict[str, list[float]] = field(default_factory=dict)
    flipped: list[float] = field(default_factory=list)
    equal: list[float] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    counts: np.ndarray | None = None


def prove(
    predictor: Predictor,
    exported: Predictor,
    images: Iterable[InputImage],
    truth: GroundTruth | None = None,
) -> dict[str, Any]:
    """Compare an exported file with PyTorch and return the figures, for JSON.

    Args:
        predictor: The model in PyTorch, on the CPU.
        exported: The exported file.
        images: Images to compare on; those that the file can't take are counted.
        truth: Ground truth of these images; None for no PQ.

    Raises:
        InputError: The file takes none of the images; an image can't be read.
    """
    figures, refused, reason = Figures(), 0, ""
    for number, image in enumerate(images):
        loaded = InputImage(image.name, image.path, read_image(image))
        try:
            _compare(predictor, exported, loaded, figures, first=number % 2, truth=truth)
        except InputError as error:
            refused, reason = refused + 1, str(error)
    if not figures.equal:
        raise InputError(f"there is no proof, since the file takes none of the images: {reason}")
    compared = "pixels" if {"panoptic", "semantic"} & {*exported.kinds} else "boxes"
    return _report(figures, refused, truth, compared)


def write_proof(out: Path, report: Mapping[str, Any]) -> Path:
    """Write the figures as JSON next to the exported file, and return the path."""
    path = out.with_name(f"{out.name}.proof.json")
    atomic_write_text(path, json.dumps(nan_to_null(dict(report)), indent=1) + "\n")
    return path


def proof_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the figures as lines for a person."""
    lines = [f"compared on {plural(report['images'], 'image')}, {report['refused']} were not taken"]
    lines += [f"largest difference of {k}: {v:.2g}" for k, v in report["difference"].items()]
    lines.append(f"equal {report['compared']}: {report['equal']:.4%}")
    if report["pq"]:
        lines.append(
            "PQ: {pytorch:.2%} in PyTorch, {exported:.2%} in the file".format(**report["pq"])
        )
    lines.append("ms: {pytorch:.0f} in PyTorch, {exported:.0f} in the file".format(**report["ms"]))
    return lines


class GroundTruth:
    """Panoptic ground truth of the images of a config's test dataset.

    Args:
        dataset: The dataset, built.
    """

    def __init__(self, dataset: Any) -> None:
        truth = PanopticGroundTruth(dataset.ann_file, dataset.data_prefix.get("seg"))
        self.categories = truth.categories
        self._scorer = ImageScorer(truth, ["panoptic"])
        self._ids = {}
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            self._ids[Path(info["img_path"]).resolve()] = info["img_id"]

    def counts(self, result: Result) -> np.ndarray | None:
        """Return the counts (C, 4) of PQ of a result; None for an image without annotation."""
        image_id = self._ids.get(result.path.resolve()) if result.path else None
        if image_id is None or result.panoptic is None:
            return None
        labels = {segment.id: segment.label for segment in result.segments or ()}
        found = LabelledMap(result.panoptic, partial(_labels_of, labels))
        prediction = ImagePrediction(result.panoptic.shape, {"panoptic": found})
        return self._scorer.score(image_id, prediction).counts["panoptic"]


def _labels_of(labels: Mapping[int, int], values: np.ndarray) -> np.ndarray:
    return np.array([labels.get(value, -1) for value in values.tolist()], dtype=np.int64)


def proof_images(
    config: Config, folder: str | None, most: int
) -> tuple[list[InputImage], GroundTruth | None]:
    """Return images for a proof, and their ground truth if they are the config's.

    Args:
        config: The model's config.
        folder: Folder of images; None for the config's test dataset.
        most: Largest number of images.

    Raises:
        InputError: The folder has no image; the config's test dataset can't be read.
    """
    if folder is not None:
        return [InputImage(path.stem, path) for path in find_images(folder)[:most]], None
    init_default_scope(config.get("default_scope", "mmdet"))
    settings = config.get("test_dataloader", {}).get("dataset")
    try:
        dataset = DATASETS.build(settings)
        paths = [Path(dataset.get_data_info(i)["img_path"]) for i in range(min(most, len(dataset)))]
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the test dataset of the config can't be read ({error}): name images by --images DIR"
        ) from error
    has_truth = hasattr(dataset, "ann_file") and bool(
        getattr(dataset, "data_prefix", {}).get("seg")
    )
    is_panoptic = has_truth and "panoptic" in type(dataset).__name__.lower()
    truth = GroundTruth(dataset) if is_panoptic else None
    return [InputImage(path.stem, path) for path in paths], truth


def _compare(
    predictor: Predictor,
    exported: Predictor,
    image: InputImage,
    figures: Figures,
    first: int,
    truth: GroundTruth | None,
) -> None:
    """Add the figures of one image; ``first`` says which side predicts first."""
    sides = [predictor, exported]
    results: dict[int, Result] = {}
    seconds: dict[int, float] = {}
    batch = [image] * (exported.model.network.file.batch or 1)
    if not figures.equal:
        exported.predict(batch)  # a session's first run allocates its memory
    for side in (first, 1 - first):
        started = time.perf_counter()
        results[side] = sides[side].predict(batch)[0]
        seconds[side] = (time.perf_counter() - started) / len(batch)
    figures.equal.append(equal_share(results[0], results[1]))
    figures.seconds.append((seconds[0], seconds[1]))
    for name, ours, theirs in _outputs(predictor, exported, image):
        difference = float((ours - theirs).abs().max())
        figures.differences.setdefault(name, []).append(difference)
        if name == "mask_logits":
            figures.flipped.append(float(((ours >= 0) != (theirs >= 0)).double().mean()))
    counts = [truth.counts(results[side]) for side in (0, 1)] if truth else [None, None]
    if counts[0] is not None and counts[1] is not None:
        found = np.stack([counts[0], counts[1]])
        figures.counts = found if figures.counts is None else figures.counts + found


def _outputs(
    predictor: Predictor, exported: Predictor, image: InputImage
) -> list[tuple[str, Tensor, Tensor]]:
    """Return (name, PyTorch's output, the file's output), nothing for a file with results.

    With a gate, an image can take another exit in the file; then the outputs differ.
    """
    network = exported.model.network
    if network.file.info.fused:
        return []
    theirs, _ = network(network_input(exported, image).repeat(network.file.batch or 1, 1, 1, 1))
    graph = graph_of(predictor.model).eval()
    with traceable(predictor.model):
        ours = _whole(graph, network_input(predictor, image))
    return list(zip(graph.outputs, ours, (part[:1] for part in theirs), strict=True))


def _whole(graph: Any, images: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs at the exit that the model's gate chooses."""
    part = early_exits(graph.model)
    maps = graph.model.extract_feat(images)
    if part is None or not part.gate_chooses:
        return graph.decode(*maps)
    chosen = part.image_exits(len(images), lambda: graph.gate_input(maps))
    part.exit = chosen[0]
    try:
        return graph.decode(*maps)
    finally:
        part.exit = None


def equal_share(ours: Result, theirs: Result) -> float:
    """Return the share of equal pixels of a map, or of equal boxes of ours, in 0..1."""
    for name in ("panoptic", "semantic"):
        if (first := getattr(ours, name)) is not None:
            return float((first == getattr(theirs, name)).mean())
    assert ours.instances is not None and theirs.instances is not None
    return _equal_boxes(ours.instances, theirs.instances)


def _equal_boxes(ours: Instances, theirs: Instances) -> float:
    kept = np.flatnonzero(ours.scores >= LEAST_SCORE)
    if not len(kept):
        return 1.0
    near = np.abs(ours.boxes[kept, None] - theirs.boxes[None]).max(-1) <= BOX_TOLERANCE
    same = ours.labels[kept, None] == theirs.labels[None]
    return float((near & same).any(1).mean())


def _report(
    figures: Figures, refused: int, truth: GroundTruth | None, compared: str
) -> dict[str, Any]:
    pq = None
    if figures.counts is not None and truth is not None:
        both = [panoptic_quality(counts, truth.categories) for counts in figures.counts]
        names = ("pytorch", "exported")
        pq = {name: one["all"]["pq"] for name, one in zip(names, both, strict=True)}
    medians = [1000 * statistics.median(column) for column in zip(*figures.seconds, strict=True)]
    return {
        "images": len(figures.equal),
        "refused": refused,
        "difference": {name: max(values) for name, values in figures.differences.items()},
        "median_difference": {
            name: statistics.median(values) for name, values in figures.differences.items()
        },
        "flipped_mask_logits": max(figures.flipped) if figures.flipped else None,
        "compared": compared,
        "equal": statistics.fmean(figures.equal),
        "least_equal": min(figures.equal),
        "pq": pq,
        "ms": {"pytorch": medians[0], "exported": medians[1]},
        "threads": torch.get_num_threads(),
    }
