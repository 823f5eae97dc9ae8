"""Ground truth on disk, checked before anything is scored: COCO panoptic, and instances for AP."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.categories import order_categories
from mmproscale.datasets.checks.instance_faults import instance_faults, mask_faults
from mmproscale.datasets.checks.lenient_instances import read_leniently
from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.checks.png_faults import map_segments, segment_faults
from mmproscale.datasets.formats.coco_json import list_faults, read_coco_json, read_json
from mmproscale.datasets.formats.images import size_faults
from mmproscale.datasets.formats.panoptic_png import VOID, png_name, png_shape, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import Segments, StoredMap, count_pairs, is_consistent
from mmproscale.utils.faults import Fault, is_finite, refuse

UNREAD_KEYS = {"bbox", "color"}
"""Keys of segments and annotations that no figure reads."""


class PanopticGroundTruth:
    """COCO panoptic ground truth: a JSON and its folder of PNGs.

    Attributes:
        categories: In the order of labels, things first.
        things: The categories that are things.
        thing_ids: Their ids.
        label_of: Category id -> label.
        images: Image id -> its dict, in the file's order.
        annotations: Image id -> its dict, with a ``file_name``.

    Args:
        ann_file: The JSON.
        seg_prefix: The folder; by default the JSON's path without ``.json``.

    Raises:
        InputError: The JSON or the folder is missing; the JSON has a fault that affects figures.
    """

    def __init__(self, ann_file: str | Path, seg_prefix: str | Path | None = None) -> None:
        self.ann_file = Path(ann_file)
        self.folder = Path(seg_prefix) if seg_prefix else self.ann_file.with_suffix("")
        content = read_coco_json(str(ann_file))
        refuse(_panoptic_truth_faults(content, str(ann_file)))
        if not self.folder.is_dir():
            raise InputError(f"seg_prefix {self.folder} is not a folder: name the PNGs' folder")
        self.categories = order_categories(content["categories"], str(ann_file))
        self.things = [category for category in self.categories if category["isthing"]]
        self.thing_ids = {thing["id"] for thing in self.things}
        self.label_of = {c["id"]: label for label, c in enumerate(self.categories)}
        self.images: dict[Any, dict] = {image["id"]: image for image in content["images"]}
        self.annotations: dict[Any, dict] = {
            a["image_id"]: a | {"file_name": png_name(self.images[a["image_id"]], a)}
            for a in content["annotations"]
        }

    def shape_of(self, image_id: Any) -> tuple[int, int]:
        """Return (H, W) of an annotated image, from the JSON or else from the PNG.

        Raises:
            InputError: The JSON has no size, and the PNG is missing or not 8-bit RGB.
        """
        image = self.images[image_id]
        if {"height", "width"} <= image.keys():
            return image["height"], image["width"]
        return png_shape(self.stored(image_id).path)

    def stored(self, image_id: Any) -> StoredMap:
        """Return the PNG of an annotated image, and its segments as the JSON has them."""
        annotation = self.annotations[image_id]
        return StoredMap(self.folder, annotation["file_name"], annotation["segments_info"])

    def check_image(self, image_id: Any, shape: tuple[int, ...]) -> None:
        """Check that an image is annotated and that a prediction has its size.

        Args:
            image_id: As in the JSON.
            shape: (H, W) of the prediction.

        Raises:
            InputError: The image is not annotated, or has another size.
        """
        if image_id not in self.annotations:
            raise InputError(
                f"image {image_id} is predicted but not annotated in {self.ann_file}: "
                "use one ann_file in dataloader and evaluator"
            )
        image = self.images[image_id]
        expected = (image.get("height", shape[0]), image.get("width", shape[1]))
        if tuple(shape) != expected:
            raise InputError(
                f"prediction for {image.get('file_name', image_id)} is {shape[0]}x{shape[1]} but "
                f"{self.ann_file} says {expected[0]}x{expected[1]} (height x width): correct the "
                "file, or rescale predictions to the original size"
            )

    def read(self, image_id: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, Segments]:
        """Read one image's id map, (H, W) int32, and its segments.

        Args:
            image_id: One that :meth:`check_image` accepts.
            shape: (H, W) of the prediction, which must be the PNG's.

        Raises:
            InputError: The PNG is missing, not 8-bit RGB, or of another size; PNG and JSON differ
                in the segments or their areas.
        """
        stored = self.stored(image_id)
        id_map = read_png(stored.path)
        if id_map.shape != tuple(shape):
            raise InputError(
                f"panoptic PNG {stored.path} is {id_map.shape[0]}x{id_map.shape[1]} but the "
                f"prediction is {shape[0]}x{shape[1]} (height x width): correct the file"
            )
        segments = self._segments(stored.segments)
        _check_segments(id_map, segments, str(stored.path))
        return id_map, segments

    def check_png(self, image_id: Any) -> None:
        """Check an annotated image's PNG as :meth:`read` does, in less time.

        Raises:
            InputError: As :meth:`read`; the PNG's size must be that of the JSON, if stated there.
        """
        stored = self.stored(image_id)
        shape, path = png_shape(stored.path), str(stored.path)
        refuse(size_faults("png", path, shape, self.shape_of(image_id), "its image in the JSON"))
        if not is_consistent(stored, self.categories):
            self.read(image_id, shape)

    def _segments(self, infos: Sequence[dict[str, Any]]) -> Segments:
        return Segments(
            ids=np.array([info["id"] for info in infos], np.int64),
            labels=np.array([self.label_of[info["category_id"]] for info in infos], np.int64),
            areas=np.array([info["area"] for info in infos], np.int64),
            crowds=np.array([info.get("iscrowd", 0) for info in infos], bool),
        )


class InstanceGroundTruth:
    """Ground truth of AP in a COCO instances JSON.

    Args:
        path: The JSON.
        truth: The panoptic ground truth, whose images and things are scored. The JSON must have
            each of its things; other categories of the JSON are left out.

    Raises:
        InputError: The file is missing, is not a COCO instances JSON, or lacks a thing; the JSON
            or one of its masks has a fault that affects AP.
    """

    def __init__(self, path: str | Path, truth: PanopticGroundTruth) -> None:
        self.path, self.truth = Path(path), truth
        content = read_json(path, "the file's name")
        refuse(list_faults(content, str(path)))
        content, _ = read_leniently(content, str(path))
        unread = UNREAD_KEYS | {"file_name"}
        refuse(faults_in_read_keys(instance_faults(content, str(path)), unread))
        self._check_things(content["categories"])
        refuse(self._mask_faults(content["annotations"]))
        self._of_image: dict[Any, list[dict]] = {i["id"]: [] for i in content["images"]}
        for annotation in content["annotations"]:
            self._of_image[annotation["image_id"]].append(annotation)

    def _check_things(self, categories: list[dict]) -> None:
        names = {category["id"]: category["name"] for category in categories}
        for thing in self.truth.things:
            if names.get(thing["id"]) != thing["name"]:
                raise InputError(
                    f"instances file {self.path} has no category {thing['id']} named "
                    f"{thing['name']!r}, which the panoptic ground truth has: use its instances"
                )

    def _mask_faults(self, annotations: list[dict]) -> Iterator[Fault]:
        """Find faults of scored masks; their sizes are those of the panoptic ground truth."""
        for place, annotation in enumerate(annotations):
            image_id = annotation["image_id"]
            is_thing = annotation["category_id"] in self.truth.thing_ids
            if not is_thing or image_id not in self.truth.annotations:
                continue
            mask = {"segmentation": annotation.get("segmentation")}
            height, width = self.truth.shape_of(image_id)
            record = f"annotations[{place}]"
            for fault in mask_faults(mask, height, width, str(self.path), record):
                # Training leaves such an object out, but here no detection could match it.
                yield replace(fault, note=False)

    def of_image(self, image_id: Any) -> list[dict[str, Any]]:
        """Return the annotations of one image's things.

        Raises:
            InputError: The file does not have the image.
        """
        if image_id not in self._of_image:
            raise InputError(
                f"image {image_id} is not in {self.path}: give the instances of all scored images"
            )
        things = self.truth.thing_ids
        return [a for a in self._of_image[image_id] if a["category_id"] in things]


def _check_segments(id_map: np.ndarray, segments: Segments, path: str) -> None:
    """Check that an id map (H, W) holds exactly the JSON's segments, with their areas.

    Raises:
        InputError: It does not; the message names ``path``, its PNG.
    """
    values, _, pixels = count_pairs(id_map, id_map)
    drawn = dict(zip(values.tolist(), pixels.tolist(), strict=True))
    drawn.pop(VOID, None)
    stated = dict(zip(segments.ids.tolist(), segments.areas.tolist(), strict=True))
    if drawn == stated:
        return
    found = map_segments(id_map, list(stated))
    of_json = [{"id": segment_id, "area": area} for segment_id, area in stated.items()]
    refuse(segment_faults(id_map, found, of_json, path))


def _panoptic_truth_faults(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    """Find the faults of a panoptic JSON that has its three lists (see `list_faults`)."""
    yield from faults_in_read_keys(panoptic_faults(content, file), UNREAD_KEYS)
    for record, segment in segments_with_place(content["annotations"]):
        if is_finite(segment.get("area")) and segment["area"] % 1:
            problem = f"is {segment['area']}, not a whole number of pixels"
            yield Fault("area-value", file, f"{record}.area", problem, "count its pixels again")


def faults_in_read_keys(faults: Iterable[Fault], unread: set[str]) -> Iterator[Fault]:
    """Leave out the faults of ``unread`` keys, and of sizes that are not stated."""
    for fault in faults:
        key = fault.field.rpartition(".")[2]
        # The PNG has the size, too.
        unstated = fault.kind == "image-key-missing" and key in ("height", "width")
        if key not in unread and not unstated:
            yield fault


def segments_with_place(annotations: Sequence[dict]) -> Iterator[tuple[str, dict]]:
    """Yield every segment that is a dict, with its place in the JSON."""
    for place, annotation in enumerate(annotations):
        segments = annotation.get("segments_info")
        for index, segment in enumerate(segments if isinstance(segments, list) else ()):
            if isinstance(segment, dict):
                yield f"annotations[{place}].segments_info[{index}]", segment
