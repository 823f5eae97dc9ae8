"""Results of one image: panoptic segments, instances or boxes, and a label map."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmproscale.datasets.formats.panoptic_png import encode_png
from mmproscale.datasets.formats.rle import (
    decode_mask,
    encode_mask,
    mask_fields,
    with_text_counts,
)
from mmproscale.errors import InputError
from mmproscale.inference.encoded_images import encode_category_png, encode_jpg
from mmproscale.inference.pictures.box_picture import box_picture
from mmproscale.inference.pictures.panoptic_picture import Panel, panoptic_picture
from mmproscale.utils.atomic_files import atomic_write_bytes, ensure_writable_dir
from mmproscale.utils.words import plural

if TYPE_CHECKING:
    from PIL.Image import Image

Category = dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """Panoptic segment: a thing, or all of one stuff class in an image.

    Attributes:
        id: Its value in :attr:`Result.panoptic`, from 1 on.
        label: Index of its class in the model's classes.
        name: Its class.
        is_thing: True for a thing, False for stuff.
        score: Class probability in 0..1; None if the model's fusion head gives none.
        area: In pixels.
        box: x1, y1, x2, y2 in pixels; the lower right corner is outside the segment.
        category_id: Id of its class in the dataset's files.
    """

    id: int
    label: int
    name: str
    is_thing: bool
    score: float | None
    area: int
    box: tuple[int, int, int, int]
    category_id: int

    @classmethod
    def from_coco(cls, entry: dict[str, Any], categories: Sequence[Category]) -> Segment:
        """Return the segment of :func:`~mmproscale.datasets.formats.panoptic_png.segments_of`."""
        x, y, width, height = entry["bbox"]
        return cls(
            id=entry["id"],
            label=entry["label"],
            name=categories[entry["label"]]["name"],
            is_thing=bool(entry["isthing"]),
            score=entry.get("score"),
            area=entry["area"],
            box=(x, y, x + width, y + height),
            category_id=entry["category_id"],
        )

    def to_coco(self) -> dict[str, Any]:
        """Return the entry of ``segments_info`` in COCO's panoptic format, with the score."""
        x1, y1, x2, y2 = self.box
        entry: dict[str, Any] = dict(
            id=self.id,
            category_id=self.category_id,
            isthing=int(self.is_thing),
            iscrowd=0,
            area=self.area,
            bbox=[x1, y1, x2 - x1, y2 - y1],
        )
        return entry if self.score is None else entry | dict(score=round(self.score, 4))


@dataclass(frozen=True)
class Instances:
    """Objects of one image with scores, the highest first.

    Attributes:
        labels: (N,) int64, indices of the model's classes.
        names: N class names.
        scores: (N,) float32 in 0..1.
        boxes: (N, 4) float32: x1, y1, x2, y2 in pixels.
        category_ids: N ids of the classes in the dataset's files.
        rles: N masks as COCO's RLE; None for a detector.
    """

    labels: np.ndarray
    names: Sequence[str]
    scores: np.ndarray
    boxes: np.ndarray
    category_ids: Sequence[int]
    rles: Sequence[dict[str, Any]] | None = None

    @cached_property
    def masks(self) -> np.ndarray | None:
        """Masks (N, H, W) bool; None for a detector."""
        if self.rles is None:
            return None
        return np.stack([decode_mask(rle) for rle in self.rles]) if self.rles else np.zeros(0, bool)

    def keep(self, chosen: np.ndarray) -> Instances:
        """Return some of the instances: ``chosen`` is (N,) bool, or indices in their new order."""
        places = np.arange(len(self))[chosen].tolist()
        return Instances(
            self.labels[places],
            [self.names[i] for i in places],
            self.scores[places],
            self.boxes[places],
            [self.category_ids[i] for i in places],
            None if self.rles is None else [self.rles[i] for i in places],
        )

    def to_coco(self) -> list[dict[str, Any]]:
        """Return COCO's detections, without image ids; RLE counts are text, as JSON needs them."""
        found = []
        for index, (x1, y1, x2, y2) in enumerate(self.boxes.tolist()):
            one: dict[str, Any] = dict(
                category_id=self.category_ids[index],
                score=float(self.scores[index]),
                bbox=[x1, y1, x2 - x1, y2 - y1],
            )
            if self.rles is not None:
                one = with_text_counts(one | mask_fields(self.rles[index]))
            found.append(one)
        return found

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        kind = "boxes" if self.rles is None else "masks"
        return f"Instances({len(self)} with {kind}: {_counted(self.names)})"


@dataclass(frozen=True)
class Result:
    """Results of one image; None for each kind that the model was not asked for.

    Attributes:
        image: (H, W, 3) RGB uint8.
        name: Name of the image without its suffix; of a video's frame, the video's and a number.
        path: File of the image or video; None for an image in memory.
        categories: The model's classes, each with ``id``, ``name``, ``isthing`` and maybe
            ``color``.
        panoptic: (H, W) int32 id map; 0 is void.
        segments: Segments of the id map.
        instances: Objects with masks, or a detector's with boxes only.
        semantic: (H, W) int64 label map, indices of the model's classes.
    """

    image: np.ndarray
    name: str
    path: Path | None
    categories: Sequence[Category]
    panoptic: np.ndarray | None = None
    segments: Sequence[Segment] | None = None
    instances: Instances | None = None
    semantic: np.ndarray | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of results that there are: panoptic, semantic, instance or boxes."""
        kinds = [kind for kind in ("panoptic", "semantic") if getattr(self, kind) is not None]
        if self.instances is not None:
            kinds.append("boxes" if self.instances.rles is None else "instance")
        return tuple(kinds)

    def above(self, score: float) -> Result:
        """Return the result without instances below a score and without empty masks."""
        if self.instances is None:
            return self
        found = self.instances
        chosen = found.scores >= score
        if found.rles is not None:
            chosen &= (found.boxes[:, 2:] > found.boxes[:, :2]).all(1)
        order = np.argsort(-found.scores, kind="stable")
        return replace(self, instances=found.keep(order[chosen[order]]))

    def plot(
        self,
        kind: str | None = None,
        least_score: float = 0.3,
        scores: bool = False,
        short_side: int = 480,
        truth: Panel | None = None,
    ) -> Image:
        """Draw the result over the image.

        Args:
            kind: panoptic, semantic, instance or boxes; by default the first that there is.
            least_score: Instances and boxes with a lower score are not drawn.
            scores: Write scores into the labels.
            short_side: Smaller images are enlarged to this many pixels on their short side.
            truth: Panel of the ground truth, drawn at the right of segments; see
                :class:`~mmproscale.inference.pictures.panoptic_truth.PanopticTruth`.

        Returns:
            A Pillow image; notebooks show it, ``numpy.asarray`` gives (H', W', 3) RGB uint8.

        Raises:
            InputError: The result is not of that kind.
        """
        from PIL import Image

        kind = self._kind(kind)
        if kind == "boxes":
            assert self.instances is not None
            boxes = self.instances.to_coco()
            picture = box_picture(self.image, boxes, self.categories, short_side, least_score)
        else:
            panel, void = self.panel(kind, least_score), 0.8 if kind == "instance" else 1 / 3
            options = (self.categories, short_side, scores, void)
            picture = panoptic_picture(self.image, [panel, truth] if truth else [panel], *options)
        return Image.fromarray(picture)

    def panel(self, kind: str = "panoptic", least_score: float = 0.3) -> Panel:
        """Return the panel of a picture: title, id map and segments.

        Args:
            kind: panoptic, semantic (one segment for each class) or instance (the highest score on
                top).
            least_score: Instances with a lower score are left out.
        """
        if kind == "panoptic":
            assert self.panoptic is not None
            return "prediction", self.panoptic, [s.to_coco() for s in self.segments or ()]
        if kind == "semantic":
            assert self.semantic is not None
            labels = np.unique(self.semantic).tolist()
            ids = [dict(id=n + 1, category_id=self.categories[n]["id"]) for n in labels]
            return "prediction", self.semantic + 1, ids  # 0 is void
        return "prediction", *self._painted_instances(least_score)

    def _painted_instances(self, least_score: float) -> tuple[np.ndarray, list[dict]]:
        ids = np.zeros(self.image.shape[:2], np.int32)
        found = self.above(least_score).instances
        assert found is not None and found.rles is not None
        segments = []
        for index in reversed(range(len(found))):  # the lowest score first
            ids[decode_mask(found.rles[index])] = index + 1
            segment = dict(id=index + 1, category_id=found.category_ids[index])
            segments.append(segment | dict(score=float(found.scores[index])))
        visible = np.unique(ids)
        return ids, [segment for segment in segments[::-1] if segment["id"] in visible]

    def to_coco(self, kind: str | None = None) -> Any:
        """Return the result in COCO's form, ready for JSON.

        Args:
            kind: panoptic, instance or boxes; by default the first of them that there is.

        Returns:
            For panoptic an annotation, ``file_name`` (of the PNG) and ``segments_info``; otherwise
            the list of detections. The image id is for the caller to add.

        Raises:
            InputError: The result is not of that kind.
        """
        if self._kind(kind, without="semantic") == "panoptic":
            segments = [segment.to_coco() for segment in self.segments or ()]
            return dict(file_name=f"{self.name}.png", segments_info=segments)
        assert self.instances is not None
        return self.instances.to_coco()

    def to_supervision(self) -> Any:
        """Return ``supervision.Detections`` of the instances, else of the segments.

        Raises:
            InputError: supervision is not installed; there are neither instances nor segments.
        """
        try:
            from supervision import Detections
        except ImportError as error:
            raise InputError("to_supervision needs: pip install supervision") from error
        found = self._segments_as_instances() if self.instances is None else self.instances
        return Detections(
            xyxy=found.boxes,
            mask=found.masks,
            confidence=found.scores,
            class_id=found.labels,
            data={"class_name": np.array(found.names)},
        )

    def _segments_as_instances(self) -> Instances:
        if self.panoptic is None:
            raise InputError("a semantic result has no objects: ask for panoptic or instance")
        segments = self.segments or ()
        scores = [1.0 if s.score is None else s.score for s in segments]
        return Instances(
            np.array([s.label for s in segments], np.int64),
            [s.name for s in segments],
            np.array(scores, np.float32),
            np.array([s.box for s in segments], np.float32).reshape(-1, 4),
            [s.category_id for s in segments],
            [encode_mask(self.panoptic == s.id) for s in segments],
        )

    def category_map(self) -> np.ndarray:
        """Return the semantic result as ids of the dataset's files, (H, W) int64."""
        assert self.semantic is not None
        return np.array([category["id"] for category in self.categories])[self.semantic]

    def save(self, folder: str | Path) -> list[Path]:
        """Write the picture, the maps as PNGs and the rest as JSON, all under the image's name.

        Args:
            folder: Made if it does not exist.

        Returns:
            The files: ``NAME.jpg``, ``NAME.panoptic.png`` in COCO's form, ``NAME.semantic.png``
            with category ids, ``NAME.json`` with :meth:`to_coco` of each kind, whose ``file_name``
            is that of the PNG.

        Raises:
            InputError: The folder can't be written.
        """
        folder = ensure_writable_dir(folder)
        contents = {".jpg": encode_jpg(np.asarray(self.plot()))}
        if self.panoptic is not None:
            contents[".panoptic.png"] = encode_png(self.panoptic)
        if self.semantic is not None:
            contents[".semantic.png"] = encode_category_png(self.category_map())
        found = {kind: self.to_coco(kind) for kind in self.kinds if kind != "semantic"}
        if "panoptic" in found:
            found["panoptic"]["file_name"] = f"{self.name}.panoptic.png"
        if found:
            contents[".json"] = (json.dumps(found) + "\n").encode()
        for suffix, content in contents.items():
            atomic_write_bytes(folder / f"{self.name}{suffix}", content)
        return [folder / f"{self.name}{suffix}" for suffix in contents]

    def _kind(self, kind: str | None, without: str = "") -> str:
        kinds = [one for one in self.kinds if one != without]
        if not kinds or kind not in (None, *kinds):
            wanted = f"no {kind} result" if kind else "neither segments nor objects"
            raise InputError(f"{self.name} has {wanted}; it has: {', '.join(self.kinds)}")
        return kind or kinds[0]

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        parts = [f"{width}x{height}"]
        if self.segments is not None:
            names = [segment.name for segment in self.segments]
            parts.append(f"{plural(len(names), 'segment')} ({_counted(names)})")
        if self.instances is not None:
            parts.append(repr(self.instances))
        if self.semantic is not None:
            parts.append(f"semantic map of {len(np.unique(self.semantic))} classes")
        return f"Result({self.name}: {', '.join(parts)})"


def _counted(names: Sequence[str]) -> str:
    """Return at most five class names with their counts, the most frequent first."""
    counts = Counter(names).most_common()
    listed = ", ".join(f"{count} {name}" for name, count in counts[:5])
    return f"{listed} and {len(counts) - 5} more classes" if len(counts) > 5 else listed or "none"
