"""mmseg's datasets of images and label maps, which refuse missing or broken files in one line.

This module imports mmseg, so none of our modules imports it. A config that names its types imports
it by ``custom_imports``.
"""

import os.path as osp
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.fileio import get
from mmseg.datasets import ADE20KDataset as StockADE20KDataset
from mmseg.datasets import BaseSegDataset
from mmseg.datasets import CityscapesDataset as StockCityscapesDataset
from mmseg.datasets.transforms import LoadAnnotations

from mmproscale.datasets.checks.categories import MAX_CLASSES
from mmproscale.datasets.checks.missing_files import is_local, missing_files
from mmproscale.datasets.formats.images import size_faults, unreadable
from mmproscale.datasets.formats.label_values import label_values
from mmproscale.errors import InputError
from mmproscale.registry import DATASETS, TRANSFORMS
from mmproscale.utils.faults import Fault, accept, refuse
from mmproscale.utils.image_inputs import visible


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
        if len(classes) > MAX_CLASSES:
            raise InputError(
                f"metainfo.classes has {len(classes)} names: label maps of 8 bits hold "
                f"{MAX_CLASSES} classes"
            )
        self._check_folders()
        folder = Path(self.data_prefix["img_path"])
        items = [i for i in super().load_data_list() if any(visible([Path(i["img_path"])], folder))]
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
        labels = accept(_read_labels(path, self.backend_args))
        zero_is_void = results.get("reduce_zero_label", self.reduce_zero_label)
        if zero_is_void:  # 0 becomes 255, and the others go down by one; 255 stays
            labels = np.where((labels == 0) | (labels == 255), 255, labels - 1).astype(np.uint8)
        kept = labels.copy()
        for old, new in (results.get("label_map") or {}).items():
            labels[kept == old] = new
        results["gt_seg_map"] = labels
        results["seg_fields"].append("gt_seg_map")
        refuse(_content_faults(results))


def _read_labels(path: str, backend_args: dict | None) -> np.ndarray | Fault:
    """Return the labels (H, W) uint8 of a grey file, or the fault of another one."""
    try:
        values = label_values(get(path, backend_args=backend_args))
    except OSError as error:
        return unreadable("map", path, error)
    except ValueError as error:
        return Fault("map-form", path, "", f"is of another form ({error})", "draw it again")
    if values.ndim != 2 or values.dtype != np.uint8:
        problem = f"has values of {values.dtype} in {values.ndim} dimensions"
        return Fault("map-form", path, "", problem, "write labels as a grey PNG of 8 bits")
    return values.copy()


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
