"""Panoptic ground truth, to draw next to predictions."""

from pathlib import Path

from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.panoptic_png import png_name, read_png
from mmproscale.errors import InputError
from mmproscale.inference.pictures.panoptic_picture import Panel
from mmproscale.inference.results import Result
from mmproscale.utils.faults import refuse


class PanopticTruth:
    """Annotations of images in COCO's panoptic format, found by the names of image files.

    Args:
        ann_file: The JSON.
        seg_prefix: Folder of the PNGs; by default the JSON's path without ``.json``.

    Raises:
        InputError: The JSON can't be read, or has a fault.
    """

    def __init__(self, ann_file: str | Path, seg_prefix: str | Path | None = None) -> None:
        content = read_coco_json(str(ann_file), mend="the ground truth")
        refuse(panoptic_faults(content, str(ann_file)))
        self.ann_file = ann_file
        self._folder = Path(seg_prefix or Path(ann_file).with_suffix(""))
        self._classes = {entry["id"]: entry["name"] for entry in content["categories"]}
        images = {image["id"]: image for image in content["images"]}
        pairs = [(images[one["image_id"]], one) for one in content["annotations"]]
        self._found = {Path(image["file_name"]).name: (image, one) for image, one in pairs}

    def panel(self, result: Result) -> Panel | None:
        """Return the panel of a result's image; None for an image without ground truth.

        Raises:
            InputError: The model lacks a class; the PNG can't be read or has another size.
        """
        name = Path(result.path or result.name).name
        if name not in self._found:
            return None
        image, annotation = self._found[name]
        png = self._folder / png_name(image, annotation)
        ids = read_png(png)
        if ids.shape != result.image.shape[:2]:
            raise InputError(f"{png} has another size than {result.path}: give its own PNG")
        known = {category["name"]: category["id"] for category in result.categories}
        return "ground truth", ids, [self._segment(s, known) for s in annotation["segments_info"]]

    def _segment(self, segment: dict, known: dict[str, int]) -> dict:
        name = self._classes[segment["category_id"]]
        if name not in known:
            raise InputError(f"{self.ann_file}: the model has no class '{name}'")
        return segment | {"category_id": known[name]}
