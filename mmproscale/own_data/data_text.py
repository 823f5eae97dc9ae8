"""The text of a new config's data: pipelines, loaders, metric."""

from __future__ import annotations

import os
from pathlib import Path

from mmproscale.own_data.coco_layout import INSTANCE, PANOPTIC, SEMANTIC, SplitFiles
from mmproscale.own_data.new_config import NewConfig
from mmproscale.own_data.python_text import call, folder_text, literal

ROOT = """\
# --cfg-options data_root=DIR moves every path that is below it.
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
    # Instances of which the crop left no pixel; an image without any is replaced by another.
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
# Maps are loaded after the image is resized: results are compared at the original size.
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


def data_text(new: NewConfig) -> str:
    """Paths, pipelines, loaders and metric of a config."""
    pipelines = SEMANTIC_PIPELINES if new.facts.kind == SEMANTIC else _coco_pipelines(new)
    return "\n".join([_root(new), pipelines, _loaders(new)])


def _root(new: NewConfig) -> str:
    names = {PANOPTIC: "things + stuff", INSTANCE: "things", SEMANTIC: "classes"}
    return ROOT.format(
        root=folder_text(_root_of(new)),
        classes=names[new.facts.kind],
        width=new.image_size[0],
        height=new.image_size[1],
        crop=_crop(new),
    )


def _crop(new: NewConfig) -> str:
    """Each of the two states it in its own order."""
    width, height = new.fit.crop
    if new.facts.kind == SEMANTIC:
        return f"({height}, {width})  # height, width, as mmsegmentation has it"
    return f"({width}, {height})"


def _root_of(new: NewConfig) -> str:
    return new.data.root.absolute().as_posix()


def _coco_pipelines(new: NewConfig) -> str:
    kind = new.facts.kind
    return COCO_PIPELINES.format(load=LOAD[kind], filter=FILTER if kind == INSTANCE else "")


def _loaders(new: NewConfig) -> str:
    filter_cfg = "        filter_cfg=dict(filter_empty_gt=True),\n"
    assert new.data.val is not None
    return LOADERS.format(
        batch=new.batch.per_gpu,
        workers=WORKERS_OF_GPU if new.wishes.gpus else WORKERS_OF_CPU,
        type=literal(TYPES[new.facts.kind]),
        train=_split(new, new.data.train),
        val=_split(new, new.data.val),
        filter="" if new.facts.kind == SEMANTIC else filter_cfg,
        metric=_metric(new, new.data.val),
    )


def _split(new: NewConfig, files: SplitFiles) -> str:
    if new.facts.kind == SEMANTIC:
        return _semantic_split(new, files)
    ann, img = _below(new, files.ann), folder_text(_below(new, files.img))
    prefix = [f"img={img}"]
    if files.seg is not None:
        prefix.append(f"seg={folder_text(_below(new, files.seg))}")
    return f"        ann_file={literal(ann)},\n{call('data_prefix=dict', prefix, indent=8)}"


def _semantic_split(new: NewConfig, files: SplitFiles) -> str:
    assert new.pairs is not None
    folders = dict(img_path=files.img, seg_map_path=files.ann)
    prefix = [f"{key}={folder_text(_below(new, path))}" for key, path in folders.items()]
    lines = [
        call("data_prefix=dict", prefix, indent=8),
        f"        img_suffix={literal(new.pairs.image_ending)},",
        f"        seg_map_suffix={literal(new.pairs.map_ending)},",
    ]
    if files.names is not None:
        lines.insert(0, f"        ann_file={literal(_below(new, files.names))},  # names of images")
    if new.wishes.zero_is_void:
        lines.append("        reduce_zero_label=True,  # 0 is no class, 1 is the first")
    return "\n".join(lines)


def _metric(new: NewConfig, files: SplitFiles) -> str:
    if new.facts.kind == SEMANTIC:
        return '    type="IoUMetric",\n    iou_metrics=["mIoU"],'
    ann = _from_root(new, files.ann)
    if new.facts.kind == INSTANCE:
        return f'    type="CocoMetric",\n    ann_file={ann},\n    metric=["bbox", "segm"],'
    assert files.seg is not None
    seg = _from_root(new, files.seg, folder=True)
    return f'    type="mmproscale.UniversalSegMetric",\n    ann_file={ann},\n    seg_prefix={seg},'


def _below(new: NewConfig, path: Path) -> str:
    """A path from the root of the data where it is in there, else whole."""
    root = _root_of(new)
    relative = os.path.relpath(path.absolute(), root)
    return path.absolute().as_posix() if relative.startswith("..") else Path(relative).as_posix()


def _from_root(new: NewConfig, path: Path, folder: bool = False) -> str:
    below = _below(new, path)
    text = folder_text(below) if folder else literal(below)
    return text if Path(below).is_absolute() else f"data_root + {text}"
