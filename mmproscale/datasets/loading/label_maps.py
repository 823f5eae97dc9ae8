"""mmseg's datasets of images and label maps, which refuse missing or broken files in one line.

This module imports mmseg, so none of our modules imports it. A config that names its types imports
it by ``custom_imports``.
"""

import os.path as osp
from collections.abc import Iterator

import numpy as np
from mmseg.datasets import ADE20KDataset as StockADE20KDataset
from mmseg.datasets import BaseSegDataset
from mmseg.datasets import CityscapesDataset as StockCityscapesDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image, UnidentifiedImageError

from mmproscale.datasets.checks.missing_files import is_local, missing_files
from mmproscale.datasets.formats.images import size_faults, unreadable
from mmproscale.errors import InputError
from mmproscale.registry import DATASETS, TRANSFORMS
from mmproscale.utils.faults import Fault, refuse

# Pillow's modes that hold labels of 8 bits: grey, a palette, black and white.
LABEL_MODES = ("L", "P", "1")


@DATASETS.register_module()
class SemanticDataset(BaseSegDataset):
    """mmseg's `BaseSegDataset`, which refuses missing files when it is built (on local disks).

    Items also have `num_classes`, which `LoadLabelMap` compares with the labels.

    Args:
        hint: advice on getting the data, printed if `data_root` does not exist.
        kwargs: arguments of `BaseSegDataset`; `data_prefix` is dict(img_path=...,
            seg_map_path=...).

    Raises:
        InputError: the root, a folder, the list of names, an image or a label map is missing; there
            are no images or no classes.
    """

    def __init__(self, *args, hint: str = "", **kwargs) -> None:
        self._hint = hint
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return mmseg's list with a dict for each image; check folders and files."""
        classes = self._metainfo.get("classes")
        if not classes:
            raise InputError("metainfo.classes is not set: name the classes in the order of labels")
        self._check_folders()
        items = super().load_data_list()
        if not items:
            raise InputError(
                f"'{self.data_prefix['img_path']}' has no image whose name ends in "
                f"'{self.img_suffix}': check data_prefix.img_path and img_suffix"
            )
        self._check_files(items)
        return [item | {"num_classes": len(classes)} for item in items]

    def _check_folders(self) -> None:
        root = self.data_root
        if root and is_local(root, self.backend_args) and not osp.isdir(root):
            hint = f", or {self._hint}" if self._hint else ""
            raise InputError(f"dataset root '{root}' does not exist: set data_root{hint}")
        for key in self._prefixes():
            folder = self.data_prefix.get(key)
            if not folder:
                raise InputError(f"data_prefix.{key} is not set: name the folder of its files")
            if is_local(folder, self.backend_args) and not osp.isdir(folder):
                raise InputError(f"folder '{folder}' does not exist: check data_prefix.{key}")
        if self.ann_file and not osp.isfile(self.ann_file):
            raise InputError(f"ann_file '{self.ann_file}' does not exist: check ann_file")

    def _check_files(self, items: list[dict]) -> None:
        for key, what in zip(self._prefixes(), ("image", "map"), strict=False):
            folder = self.data_prefix[key]
            if is_local(folder, self.backend_args):
                names = (osp.relpath(item[key], folder) for item in items)
                named_in = self.ann_file or self.data_prefix["img_path"]
                refuse(missing_files(folder, names, what, named_in))

    def _prefixes(self) -> tuple[str, ...]:
        """Return the keys of the folders that are needed: a test set may have no maps."""
        without_maps = self.test_mode and not self.data_prefix.get("seg_map_path")
        return ("img_path",) if without_maps else ("img_path", "seg_map_path")


@DATASETS.register_module()
class CityscapesSemanticDataset(SemanticDataset, StockCityscapesDataset):
    """mmseg's Cityscapes: 19 classes, label maps `*_gtFine_labelTrainIds.png`."""


@DATASETS.register_module()
class ADE20KSemanticDataset(SemanticDataset, StockADE20KDataset):
    """mmseg's ADE20K: 150 classes, in whose label maps 0 is void."""


@TRANSFORMS.register_module()
class LoadLabelMap(LoadAnnotations):
    """mmseg's `LoadAnnotations`: adds `gt_seg_map` (H, W) uint8, 255 where nothing is annotated.

    Raises:
        InputError: the map is missing, unreadable, not of one channel of 8 bits, of another size
            than the image, or has a label above the classes.
    """

    def _load_seg_map(self, results: dict) -> None:
        path = results.get("seg_map_path")
        if path is None:
            raise InputError(
                f"'{results['img_path']}' has no label map: set data_prefix.seg_map_path"
            )
        if "://" not in path:
            refuse(_form_faults(path))
        super()._load_seg_map(results)
        refuse(_content_faults(results))


def _form_faults(path: str) -> Iterator[Fault]:
    """Yield the fault of a file that is not grey or that mmseg would cut to 8 bits."""
    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        yield unreadable("map", path, error)
        return
    if mode not in LABEL_MODES:
        problem = f"is an image of mode {mode}"
        yield Fault("map-form", path, "", problem, "write labels as a grey PNG of 8 bits")


def _content_faults(results: dict) -> Iterator[Fault]:
    path, labels = results["seg_map_path"], results["gt_seg_map"]
    image = f"its image '{results['img_path']}'"
    yield from size_faults("map", path, labels.shape, results["ori_shape"], image)
    num_classes = results.get("num_classes", 255)
    pixels = np.bincount(labels.ravel(), minlength=256)[num_classes:255]
    if pixels.any():
        wrong = num_classes + int(pixels.nonzero()[0][0])
        problem = (
            f"has label {wrong} ({pixels.sum()} pixels), but classes are 0 to {num_classes - 1}"
        )
        action = "make it a class or 255, or add it to metainfo.classes"
        yield Fault("map-label", path, "", problem, action)
