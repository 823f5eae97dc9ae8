"""Items of a panoptic dataset, made of arrays when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmproscale.datasets.formats.panoptic_columns import PanopticColumns

ABSENT = -1


@dataclass(frozen=True)
class PanopticItems(Sequence[dict]):
    """Some of a panoptic file's images, each of which becomes an item when it is read.

    Workers share the arrays, since reading writes nothing into them.

    Args:
        columns: The file's content.
        parse: Makes an item of `image` and `annotations`, each with its place in the file.
        images: (M,) places of the images in the file.
        annotations: (M,) places of their annotations, ABSENT for an image without one.
    """

    columns: PanopticColumns
    parse: Callable[[dict], dict]
    images: np.ndarray
    annotations: np.ndarray

    @classmethod
    def of_file(cls, columns: PanopticColumns, parse: Callable[[dict], dict]) -> PanopticItems:
        """Return the items of all images of a file."""
        order = np.argsort(columns.annotated_ids)
        places = np.searchsorted(columns.annotated_ids, columns.image_ids, sorter=order)
        places = order[np.minimum(places, len(order) - 1)]
        found = columns.annotated_ids[places] == columns.image_ids
        annotations = np.where(found, places, ABSENT).astype(np.int32)
        return cls(columns, parse, np.arange(len(found), dtype=np.int32), annotations)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        """Return one item, or the items of a slice, of a list of indices or of a mask."""
        if isinstance(index, (slice, Sequence, np.ndarray)):
            images, annotations = self.images[index], self.annotations[index]
            return replace(self, images=images, annotations=annotations)
        columns, image, place = self.columns, self.images[index], int(self.annotations[index])
        height, width = columns.sizes[image].tolist()
        entry = dict(
            id=int(columns.image_ids[image]),
            file_name=columns.image_names[image],
            height=height,
            width=width,
        )
        own = [] if place == ABSENT else [(place, self._annotation(place))]
        return self.parse(dict(image=entry, annotations=own))

    def _annotation(self, place: int) -> dict[str, Any]:
        columns = self.columns
        start, end = columns.ends[place : place + 2]
        values = (
            columns.segment_ids,
            columns.segment_categories,
            columns.areas,
            columns.boxes,
            columns.crowds,
        )
        keys = ("id", "category_id", "area", "bbox", "iscrowd")
        rows = zip(*(column[start:end].tolist() for column in values), strict=True)
        return dict(
            image_id=int(columns.annotated_ids[place]),
            file_name=columns.png_names[place],
            segments_info=[dict(zip(keys, row, strict=True)) for row in rows],
        )

    def image_names(self) -> Iterator[str]:
        """Yield each image's file name."""
        return (self.columns.image_names[image] for image in self.images)

    def png_names(self) -> Iterator[str]:
        """Yield the name of each annotated image's PNG."""
        return (self.columns.png_names[a] for a in self.annotations if a != ABSENT)

    def num_segments(self) -> np.ndarray:
        """Return each image's number of segments, (M,); ABSENT without an annotation."""
        counts = np.diff(self.columns.ends)[self.annotations]
        return np.where(self.annotations == ABSENT, ABSENT, counts)

    def shorter_sides(self) -> np.ndarray:
        """Return the smaller one of each image's height and width, (M,) pixels."""
        return self.columns.sizes[self.images].min(axis=1)
