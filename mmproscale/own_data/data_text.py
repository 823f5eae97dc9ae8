"""Text of a new config's data: paths, pipelines, loaders and metric."""

from __future__ import annotations

import json
import os
from pathlib import Path

from mmproscale.own_data.choices import Choices
from mmproscale.own_data.dataset_reading import CheckedData
from mmproscale.own_data.layouts import INSTANCE, PANOPTIC, SEMANTIC, SplitFiles

WIDTH = 100

ROOT = """\
# --cfg-options data_root=DIR moves every path below it.
data_root = {root}
metainfo = dict(classes={classes})
image_size = ({width}, {height})  # width, height: the median of the images
crop_size = {crop}
"""
COCO_PIPELINES = """\
train_pipeline = [
    dict(type="mmproscale.LoadImage"),
    {load},
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(
        type="RandomCrop",
        crop_size=crop_size,
        crop_type="absolute",
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
{filter}    dict(type="PackDetInputs"),
]
# The metric reads the ground truth itself, so testing loads images only.
test_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="Resize", scale=image_size, keep_ratio=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
"""
LOAD = {
    PANOPTIC: 'dict(type="mmproscale.LoadPanoptic")',
    INSTANCE: 'dict(type="mmproscale.LoadInstances")',
}
FILTER = """\
    # Drops instances outside the crop; an image without instances is replaced by another.
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
"""
SEMANTIC_PIPELINES = """\
train_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmproscale.LoadLabelMap"),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# Maps are loaded after the resize: results are compared at the original size.
test_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="Resize", scale=image_size, keep_ratio=True),
    dict(type="mmproscale.LoadLabelMap"),
    dict(type="PackSegInputs"),
]
"""
LOADERS = """\
train_dataloader = dict(
    _delete_=True,
    batch_size={batch},
    num_workers={workers},
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type={type},
        data_root=data_root,
{train}
        metainfo=metainfo,
{filter}        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers={workers},
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type={type},
        data_root=data_root,
{val}
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
{metric}
)
test_evaluator = val_evaluator
"""
TYPES = {
    PANOPTIC: "mmproscale.PanopticDataset",
    INSTANCE: "mmproscale.InstanceDataset",
    SEMANTIC: "mmproscale.SemanticDataset",
}
WORKERS_OF_GPU, WORKERS_OF_CPU = 4, 2


def literal(value: str | float | int | None) -> str:
    """Return a value as ruff formats it: strings in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def data_text(chosen: Choices) -> str:
    """Return the paths, pipelines, loaders and metric of a config."""
    kind = chosen.data.facts.kind
    pipelines = SEMANTIC_PIPELINES
    if kind != SEMANTIC:
        instance_filter = FILTER if kind == INSTANCE else ""
        pipelines = COCO_PIPELINES.format(load=LOAD[kind], filter=instance_filter)
    return "\n".join([_sizes(chosen), pipelines, _loaders(chosen)])


def _sizes(chosen: Choices) -> str:
    classes = {PANOPTIC: "things + stuff", INSTANCE: "things", SEMANTIC: "classes"}
    kind, (width, height) = chosen.data.facts.kind, chosen.fit.crop
    crop = f"({width}, {height})"
    if kind == SEMANTIC:
        crop = f"({height}, {width})  # height, width: mmsegmentation's order"
    return ROOT.format(
        root=_folder(_root(chosen.data)),
        classes=classes[kind],
        width=chosen.image_size[0],
        height=chosen.image_size[1],
        crop=crop,
    )


def _loaders(chosen: Choices) -> str:
    data, kind = chosen.data, chosen.data.facts.kind
    assert data.found.val is not None
    return LOADERS.format(
        batch=chosen.batch.per_gpu,
        workers=WORKERS_OF_GPU if chosen.options.gpus else WORKERS_OF_CPU,
        type=literal(TYPES[kind]),
        train=_split(data, data.found.train),
        val=_split(data, data.found.val),
        filter="" if kind == SEMANTIC else "        filter_cfg=dict(filter_empty_gt=True),\n",
        metric=_metric(data, data.found.val),
    )


def _split(data: CheckedData, files: SplitFiles) -> str:
    if data.facts.kind == SEMANTIC:
        return _semantic_split(data, files)
    folders = dict(img=files.img) | ({} if files.seg is None else dict(seg=files.seg))
    ann = literal(_relative(data, files.ann))
    return f"        ann_file={ann},\n{_data_prefix(data, folders)}"


def _semantic_split(data: CheckedData, files: SplitFiles) -> str:
    assert data.endings is not None
    lines = [
        _data_prefix(data, dict(img_path=files.img, seg_map_path=files.ann)),
        f"        img_suffix={literal(data.endings.image)},",
        f"        seg_map_suffix={literal(data.endings.map)},",
    ]
    if files.names is not None:
        names = literal(_relative(data, files.names))
        lines.insert(0, f"        ann_file={names},  # names of images")
    if data.zero_is_void:
        lines.append("        reduce_zero_label=True,  # 0 is no class, 1 is the first")
    return "\n".join(lines)


def _data_prefix(data: CheckedData, folders: dict[str, Path]) -> str:
    """Return the folders of a split, in one line if they fit."""
    items = [f"{key}={_folder(_relative(data, path))}" for key, path in folders.items()]
    line = f"        data_prefix=dict({', '.join(items)}),"
    if len(line) <= WIDTH:
        return line
    inner = [f"            {item}," for item in items]
    return "\n".join(["        data_prefix=dict(", *inner, "        ),"])


def _metric(data: CheckedData, files: SplitFiles) -> str:
    if data.facts.kind == SEMANTIC:
        return '    type="IoUMetric",\n    iou_metrics=["mIoU"],'
    ann = _from_root(data, files.ann)
    if data.facts.kind == INSTANCE:
        return f'    type="CocoMetric",\n    ann_file={ann},\n    metric=["bbox", "segm"],'
    assert files.seg is not None
    seg = _from_root(data, files.seg, folder=True)
    return f'    type="mmproscale.UniversalSegMetric",\n    ann_file={ann},\n    seg_prefix={seg},'


def _root(data: CheckedData) -> str:
    return data.found.root.absolute().as_posix()


def _relative(data: CheckedData, path: Path) -> str:
    """Return a path relative to the root of the data; an absolute one outside the root."""
    relative = os.path.relpath(path.absolute(), _root(data))
    return path.absolute().as_posix() if relative.startswith("..") else Path(relative).as_posix()


def _from_root(data: CheckedData, path: Path, folder: bool = False) -> str:
    relative = _relative(data, path)
    text = _folder(relative) if folder else literal(relative)
    return text if Path(relative).is_absolute() else f"data_root + {text}"


def _folder(path: str) -> str:
    """Return a folder as configs write it: with a slash at the end."""
    return literal(path.rstrip("/") + "/") if path not in ("", ".") else literal("")
