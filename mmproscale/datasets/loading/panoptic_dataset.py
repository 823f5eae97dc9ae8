"""Panoptic dataset in COCO format, with the classes, files and images of its JSON."""

import os.path as osp
from collections.abc import Iterable, Sequence
from typing import ClassVar

from mmdet.datasets import CocoPanopticDataset

from mmproscale.datasets.checks.categories import class_metainfo, order_categories
from mmproscale.datasets.checks.class_agreement import stated_class_faults
from mmproscale.datasets.checks.column_faults import is_sound
from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.checks.png_faults import map_segments, segment_faults
from mmproscale.datasets.formats.panoptic_columns import read_panoptic_columns
from mmproscale.datasets.formats.panoptic_png import png_name, read_png
from mmproscale.datasets.loading.coco_dataset import Folder, LocalCocoDataset
from mmproscale.datasets.loading.panoptic_items import PanopticItems
from mmproscale.registry import DATASETS
from mmproscale.utils.faults import refuse


@DATASETS.register_module()
class PanopticDataset(LocalCocoDataset, CocoPanopticDataset):
    """Dataset of COCO panoptic annotations, with the labels that mmdet's panoptic heads expect.

    It differs from mmdet's class in four ways:

    - Classes come from the annotation file: things first by `isthing`, in the file's order within
      things and within stuff. `metainfo` has `classes`, `thing_classes`, `stuff_classes` and
      `palette` in that order. Names in the config's `metainfo` are only checked against them.
    - A panoptic PNG is found by the annotation's own `file_name`.
    - With `filter_cfg=dict(filter_empty_gt=True)`, images that show only stuff stay. Images without
      a segment are left out, and their PNGs must be void.
    - Faults of the file are refused by name when the dataset is built: see `panoptic_faults`. Every
      image and PNG that it names must be there (local disks).

    An item has mmdet's keys: `img_path`, `img_id`, `height`, `width`, `seg_map_path`, `instances`
    (things that are not a crowd: `bbox` (x1, y1, x2, y2) in pixels, `bbox_label`, `ignore_flag`)
    and `segments_info` (`id` in the PNG, `category` = label, `is_thing`, False for a crowd). The
    JSON's `area` and `bbox` (x, y, w, h) are added so that `LoadPanoptic` can check the PNG.

    A JSON in COCO's own form is kept as arrays, which workers share (`PanopticItems`). This does
    not depend on `serialize_data`.

    Args:
        hint: advice on getting the data, printed if `data_root` does not exist.
        kwargs: arguments of `CocoPanopticDataset`; `data_prefix` is dict(img=..., seg=...).

    Raises:
        InputError: the root, a folder, the annotation file, an image or a PNG is missing; the
            annotation file has a fault; a PNG is not void where the file has no segment; the
            classes are not those of the config; no image has a segment.
    """

    FIND_FAULTS = staticmethod(panoptic_faults)
    JSON: ClassVar[str] = "panoptic JSON"
    FOLDERS: ClassVar[dict[str, Folder]] = dict(
        LocalCocoDataset.FOLDERS, seg=Folder("seg_map_path", "png", "panoptic PNGs", False)
    )

    def load_data_list(self) -> Sequence[dict]:
        """Read the annotation file and set `metainfo` and `cat2label`; return an item per image."""
        # A subclass may make items of keys that the arrays lack.
        if type(self).parse_data_info is not PanopticDataset.parse_data_info:
            return super().load_data_list()
        self._check_root()
        columns = read_panoptic_columns(self.ann_file, self.backend_args)
        if columns is None or not is_sound(columns):
            return super().load_data_list()
        self._set_classes(columns.categories)
        items = PanopticItems.of_file(columns, self.parse_data_info)
        self._check_files(items)
        self.serialize_data = False
        return items

    def get_data_info(self, idx: int) -> dict:
        """Return an item of the caller's own, with its index as `sample_idx`."""
        items = getattr(self, "data_list", None)  # subsets of serialised items have none
        if not isinstance(items, PanopticItems):
            return super().get_data_info(idx)
        # It is made here and now, so it needs no copy as stock's does.
        return items[idx] | dict(sample_idx=idx if idx >= 0 else len(self) + idx)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Turn one image and its annotation, if it has one, into an item's dict."""
        image = raw_data_info["image"]
        annotation = next((entry for _, entry in raw_data_info["annotations"]), None)
        item = dict(
            img_path=osp.join(self.data_prefix["img"], image["file_name"]),
            img_id=image["id"],
            seg_map_path=self._seg_map_path(image, annotation),
            height=image["height"],
            width=image["width"],
            instances=[],
            segments_info=[],
        )
        if self.return_classes:
            item.update(
                text=self._metainfo["thing_classes"],
                stuff_text=self._metainfo["stuff_classes"],
                custom_entities=True,
            )
        for segment in annotation["segments_info"] if annotation else ():
            self._add_segment(item, segment)
        return item

    def filter_data(self) -> Sequence[dict]:
        """Return the images to train on; see the class for `filter_empty_gt`.

        Raises:
            InputError: no image is left, or one that is dropped has a PNG with segments.
        """
        if not self.test_mode and (self.filter_cfg or {}).get("filter_empty_gt", False):
            items = self.data_list
            if isinstance(items, PanopticItems):
                items = items[items.num_segments() == 0]
            for item in items:
                if item["seg_map_path"] is not None and not item["segments_info"]:
                    self._check_void(item["seg_map_path"])
        return super().filter_data()

    def _items_to_train_on(self, min_size: int, drop_empty: bool) -> Sequence[dict]:
        items = self.data_list
        if not isinstance(items, PanopticItems):
            return super()._items_to_train_on(min_size, drop_empty)
        least = 1 if drop_empty else 0
        has_truth = (items.num_segments() >= least) & bool(self.data_prefix.get("seg"))
        return items[has_truth & (items.shorter_sides() >= min_size)]

    def _file_names(self, data_list: Sequence[dict], folder: str, item_key: str) -> Iterable[str]:
        if not isinstance(data_list, PanopticItems):
            return super()._file_names(data_list, folder, item_key)
        return data_list.image_names() if item_key == "img_path" else data_list.png_names()

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> Sequence[dict]:
        if isinstance(indices, int) or not isinstance(self.data_list, PanopticItems):
            return super()._get_unserialized_subset(indices)
        return self.data_list[indices]

    def _check_void(self, path: str) -> None:
        """Refuse a dropped image whose PNG has segments; loading would not find this fault."""
        ids = read_png(path, self.backend_args)
        refuse(segment_faults(ids, map_segments(ids, []), [], path))

    def _is_trained_on(self, item: dict, drop_empty: bool) -> bool:
        # Without ground truth there is nothing to learn.
        return item["seg_map_path"] is not None and bool(item["segments_info"] or not drop_empty)

    def _used_categories(self, categories: list[dict]) -> list[dict]:
        ordered = order_categories(categories, self.ann_file)
        refuse(stated_class_faults(self._metainfo, class_metainfo(ordered), self.ann_file))
        return ordered

    def _seg_map_path(self, image: dict, annotation: dict | None) -> str | None:
        if annotation is None or not self.data_prefix.get("seg"):
            return None
        return osp.join(self.data_prefix["seg"], png_name(image, annotation))

    def _add_segment(self, item: dict, segment: dict) -> None:
        x, y, w, h = segment["bbox"]
        label = self.cat2label[segment["category_id"]]
        is_thing = label < len(self._metainfo["thing_classes"]) and not segment.get("iscrowd", 0)
        stated = dict(area=segment["area"], bbox=segment["bbox"])
        known = dict(id=segment["id"], category=label, is_thing=is_thing)
        item["segments_info"].append(known | stated)
        if is_thing:
            box = [x, y, x + w, y + h]
            item["instances"].append(dict(bbox=box, bbox_label=label, ignore_flag=0))
