"""Base of our COCO datasets: refuses missing files, and datasets without an image to train on."""

import functools
import gc
import os
import os.path as osp
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple

from mmdet.datasets import CocoDataset

from mmproscale.datasets.checks.categories import class_metainfo
from mmproscale.datasets.checks.missing_files import is_local, missing_files
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.errors import InputError
from mmproscale.utils.faults import Fault, refuse


class Folder(NamedTuple):
    """Folder of a dataset.

    Attributes:
        item_key: key of an item that holds the path of its file.
        what: name of one file in messages.
        content: name of all files in messages.
        for_tests: whether testing needs the folder.
    """

    item_key: str
    what: str
    content: str
    for_tests: bool


class LocalCocoDataset(CocoDataset):
    """mmdet's COCO dataset, which refuses missing files by name (on local disks).

    Args:
        hint: advice on getting the data, printed if `data_root` does not exist.
        kwargs: arguments of mmdet's class.

    Raises:
        InputError: the root, a folder, the annotation file or a file that it names is missing; the
            annotation file is not COCO; there is no image, or none to train on.
    """

    data_prefix: dict
    METAINFO: ClassVar[dict] = {}
    FIND_FAULTS: ClassVar[Callable[..., Iterator[Fault]]]  # unless `_read_checked` is overridden
    JSON: ClassVar[str] = "JSON"
    FOLDERS: ClassVar[dict[str, Folder]] = dict(img=Folder("img_path", "image", "images", True))

    def __init__(self, *args, hint: str = "", **kwargs) -> None:
        self._hint = hint
        _keep_memory_of_workers_shared()
        super().__init__(*args, **kwargs)

    def _join_prefix(self) -> None:
        self.data_prefix = {k: v for k, v in self.data_prefix.items() if v is not None}
        self._relative = dict(self.data_prefix, ann_file=self.ann_file)
        super()._join_prefix()

    def filter_data(self) -> Sequence[dict]:
        """Return the images to train on, without those that `filter_cfg` drops.

        Raises:
            InputError: no image is left.
        """
        if self.test_mode:
            if not self.data_list:
                raise InputError(f"'{self.ann_file}' has no image: name another ann_file")
            return self.data_list
        config = self.filter_cfg or {}
        min_size, drop_empty = config.get("min_size", 0), config.get("filter_empty_gt", False)
        kept = self._items_to_train_on(min_size, drop_empty)
        if not kept:
            raise InputError(
                f"'{self.ann_file}' has no image to train on: none of {len(self.data_list)} "
                f"is annotated and at least {min_size} pixels wide and high (filter_cfg.min_size)"
            )
        return kept

    def _items_to_train_on(self, min_size: int, drop_empty: bool) -> Sequence[dict]:
        """Return the items with ground truth whose images are at least `min_size` pixels wide."""
        return [
            item
            for item in self.data_list
            if self._is_trained_on(item, drop_empty)
            and min(item["width"], item["height"]) >= min_size
        ]

    def _is_trained_on(self, item: dict, drop_empty: bool) -> bool:
        """Tell whether an item has ground truth, and with `drop_empty` whether it has objects."""
        raise NotImplementedError

    def load_data_list(self) -> Sequence[dict]:
        """Read the annotation file and set `metainfo` and `cat2label`; return an item per image."""
        self._check_root()
        need = not self.test_mode
        content = self._read_checked(need)
        self._set_classes(content["categories"])
        annotations: dict = {image["id"]: [] for image in content["images"]}
        for place, annotation in enumerate(content["annotations"]):
            annotations[annotation["image_id"]].append((place, annotation))
        data_list = [
            self.parse_data_info(dict(image=image, annotations=annotations[image["id"]]))
            for image in content["images"]
        ]
        self._check_files(data_list)
        return data_list

    def _read_checked(self, need: bool) -> dict:
        """Return the annotation file's content, or refuse its faults."""
        content = read_coco_json(self.ann_file, need, self.backend_args)
        refuse(self.FIND_FAULTS(content, self.ann_file, need))
        return content

    def _set_classes(self, categories: list[dict]) -> None:
        used = self._used_categories(categories)
        self._metainfo.update(class_metainfo(used))
        self.cat_ids = [category["id"] for category in used]
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}

    def _used_categories(self, categories: list[dict]) -> list[dict]:
        """Return the categories that are classes, in the order of labels and with `isthing`."""
        raise NotImplementedError

    def _check_root(self) -> None:
        ann_file, root = self._relative["ann_file"], self.data_root
        if not ann_file:
            raise InputError(f"ann_file is not set: name the dataset's {self.JSON}")
        for key, folder in self.FOLDERS.items():
            if not self._relative.get(key) and (folder.for_tests or not self.test_mode):
                content = f"the dataset's {folder.content}" if key == "img" else folder.content
                raise InputError(f"data_prefix.{key} is not set: name the folder of {content}")
        if root and is_local(root, self.backend_args) and not osp.isdir(root):
            parts = [
                f"{self._relative[key]} ({folder.content})"
                for key, folder in self.FOLDERS.items()
                if self._relative.get(key)
            ]
            raise InputError(
                f"dataset root '{root}' does not exist: expected in it "
                f"{', '.join([ann_file, *parts])}; set data_root"
                + (f", or {self._hint}" if self._hint else "")
            )

    def _check_files(self, data_list: Sequence[dict]) -> None:
        """Refuse missing files that the items name."""
        for key, (item_key, what, _, _) in self.FOLDERS.items():
            folder = self.data_prefix.get(key)
            if not folder or not is_local(folder, self.backend_args):
                continue
            names = self._file_names(data_list, folder, item_key)
            refuse(missing_files(folder, names, what, self.ann_file))

    def _file_names(self, data_list: Sequence[dict], folder: str, item_key: str) -> Iterable[str]:
        """Return the names of files in a folder, which the items name by paths."""
        paths = (item[item_key] for item in data_list if item[item_key] is not None)
        return (path[len(folder) :].lstrip("/") for path in paths)


@functools.cache
def _keep_memory_of_workers_shared() -> None:
    """Have processes that are forked from now on exempt their parent's objects from collection.

    The garbage collector writes into every object that it visits. So each worker of a data loader
    would get its own copy of the parent's memory, more than 100 MiB.
    """
    os.register_at_fork(after_in_child=gc.freeze)
