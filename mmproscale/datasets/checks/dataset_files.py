"""Which files a dataset has, and what its user expects of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFiles:
    """Where a dataset lies, and what its user expects of it.

    Args:
        ann_file: the JSON.
        img: folder of the images.
        seg: folder of the panoptic PNGs; None for instances, or where there is no ground truth.
        panoptic: whether it is COCO panoptic, else COCO instances.
        need_annotations: False where images without ground truth will do.
        name: what to call it; the JSON's name where empty.
        metainfo: names that a config states, as (key, names): 'classes', 'thing_classes', ...
        things_first: whether the reader puts things first itself, as mmdet's does not.
        scored: whether a metric needs every image's panoptic ground truth.
        model_classes: the config's model's numbers of thing and stuff classes, if it tells.
        box_classes: the number of classes of a detector.
    """

    ann_file: str
    img: str
    seg: str | None = None
    panoptic: bool = True
    need_annotations: bool = True
    name: str = ""
    metainfo: tuple[tuple[str, tuple[str, ...]], ...] = ()
    things_first: bool = True
    scored: bool = False
    model_classes: tuple[int, int] | None = None
    box_classes: int | None = None
