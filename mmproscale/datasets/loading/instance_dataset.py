"""Instance dataset in COCO format, with the classes, files and images of its JSON."""

from mmproscale.datasets.checks.class_agreement import unknown_class_faults
from mmproscale.datasets.checks.instance_faults import instance_faults
from mmproscale.datasets.checks.lenient_instances import read_leniently
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.loading.coco_dataset import LocalCocoDataset
from mmproscale.registry import DATASETS
from mmproscale.utils.command_names import command
from mmproscale.utils.faults import refuse


@DATASETS.register_module()
class InstanceDataset(LocalCocoDataset):
    """Dataset of COCO instance annotations: things, each with a polygon or RLE mask.

    It differs from mmdet's class in four ways:

    - Classes come from the annotation file, in its order. `classes` in the config's `metainfo`
      selects some of them, in the file's order too: objects of others are left out.
    - With `filter_cfg=dict(filter_empty_gt=True)`, images without objects or with crowds only are
      left out.
    - Slips of labelling tools are read as `read_leniently` says. A pipeline without masks takes
      objects that have only a box.
    - Faults of the file are refused by name when the dataset is built: see `instance_faults`.
      Every image that it names must be there (local disks).

    An item has mmdet's keys: `img_path`, `img_id`, `height`, `width`, `instances` (`bbox`
    (x1, y1, x2, y2) in pixels, `bbox_label`, `mask`, `ignore_flag` 1 for a crowd). It also has
    `ann_file`, and each instance its `area` and its `place` among the JSON's annotations, so that
    `LoadInstances` can check the mask.

    Args:
        hint: advice on getting the data, printed if `data_root` does not exist.
        kwargs: arguments of `CocoDataset`; `data_prefix` is dict(img=...).

    Raises:
        InputError: the root, a folder, the annotation file or an image is missing; the annotation
            file has a fault, or lacks a class that the config states; no image has an object.
    """

    JSON = "instance JSON"

    def _read_checked(self, need: bool) -> dict:
        mend = f"ann_file ({command('datasets panoptic-to-instances')} makes it of a panoptic JSON)"
        content = read_coco_json(self.ann_file, need, self.backend_args, mend)
        content, _ = read_leniently(content, self.ann_file)
        need_masks = any(getattr(step, "with_mask", False) for step in self.pipeline.transforms)
        refuse(instance_faults(content, self.ann_file, need, need_masks))
        return content

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Turn one image and its annotations, each with its place, into an item's dict."""
        image = raw_data_info["image"] | dict(img_id=raw_data_info["image"]["id"])
        item = super().parse_data_info(dict(raw_img_info=image, raw_ann_info=[]))
        item["ann_file"] = self.ann_file
        for place, annotation in raw_data_info["annotations"]:
            of_one = dict(raw_img_info=image, raw_ann_info=[annotation])
            for instance in super().parse_data_info(of_one)["instances"]:  # none: mmdet drops it
                item["instances"].append(instance | dict(place=place, area=annotation["area"]))
        return item

    def _used_categories(self, categories: list[dict]) -> list[dict]:
        stated = self._metainfo.get("classes")
        names = [stated] if isinstance(stated, str) else stated
        refuse(unknown_class_faults(names or (), categories, self.ann_file))
        return [c | dict(isthing=1) for c in categories if names is None or c["name"] in names]

    def _is_trained_on(self, item: dict, drop_empty: bool) -> bool:
        return not drop_empty or not all(i["ignore_flag"] for i in item["instances"])
