"""The values of a training recipe, read from a config of ours or of mmdet's or mmseg's.

Each value is a short text, the same for two configs that train alike: `docs/recipes.md` shows it,
and `tests/configs/recipe_sources.yaml` states what papers and authors' code have in the same words.
"""

import contextlib
import copy
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

# Images that a source counts in epochs: COCO's train2017, and those of them with boxes.
COCO_IMAGES = {True: 117266, False: 118287}
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
NORMS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm, torch.nn.GroupNorm)
# Parameters by what is in their names; norms, and the rest, are not here.
KINDS = {
    "the backbone's relative positions": "relative_position_bias_table|attn.rel_pos",
    "the encoder's level embedding": "level_encoding",
    "level embeddings": "level_embed",
    "queries": r"query_(embed|feat|embedding)\b",
}
# Rows that depend on the backbone; any other is one value for all configs of a recipe.
BACKBONE_ROWS = (
    "norms",
    "frozen stages",
    "drop path",
    "starting weights",
    "decay of the backbone's norms",
    "decay of the backbone's relative positions",
)


def config_values(config: Config) -> dict[str, str]:
    """Return every value of a recipe that a config states, by its row's name."""
    values = {}
    for part in (_optimizer, _schedule, _data, _test, _backbone, _model):
        values |= part(config)
    return {row: value for row, value in values.items() if value is not None}


def effective_rates(config: Config) -> dict[str, str]:
    """Return the rates and decays that parameters really get, from a model on the meta device."""
    model = _build_on_meta(config)
    settings = config.optim_wrapper.to_dict()
    settings["optimizer"].pop("fused", None)
    with _quiet():
        groups = build_optim_wrapper(model, settings).optimizer.param_groups
    rates, decays = defaultdict(set), defaultdict(set)
    of_parameter = {id(p): group for group in groups for p in group["params"]}
    for name, kind, parameter in _trained(model):
        group = of_parameter[id(parameter)]
        factor = _number(group["lr"] / settings["optimizer"]["lr"])
        part = re.search("^backbone|sampling_offsets|reference_points", name)
        rates[factor].add(part.group() if part else name)
        decays[f"decay of {kind}"].add(_number(group["weight_decay"]))
    del decays["decay of other weights"]
    slower = [f"{p} {r}" for r, parts in rates.items() if r != "1" for p in sorted(parts)]
    values = {kind: " and ".join(sorted(found)) for kind, found in sorted(decays.items())}
    return {"rate multipliers": ", ".join(slower) or "none"} | values


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep mmengine from logging a line for each parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _build_on_meta(config: Config) -> torch.nn.Module:
    init_default_scope(config.default_scope)
    model = copy.deepcopy(config.model)  # some heads write into their config
    model.backbone.init_cfg = None
    linspace = torch.linspace  # mmdet's Swin reads numbers from it
    torch.linspace = lambda *args: linspace(*args, device="cpu")
    try:
        with torch.device("meta"):
            return MODELS.build(model)
    finally:
        torch.linspace = linspace


def _trained(model: torch.nn.Module) -> Iterator[tuple[str, str, torch.nn.Parameter]]:
    """Yield name, kind and parameter of all that is trained."""
    for prefix, module in model.named_modules():
        norms = "the backbone's norms" if prefix.startswith("backbone") else "norms"
        for name, parameter in module.named_parameters(prefix, recurse=False):
            kind = next((kind for kind, p in KINDS.items() if re.search(p, name)), "other weights")
            if parameter.requires_grad:
                yield name, norms if isinstance(module, NORMS) else kind, parameter


def _optimizer(config: Config) -> dict:
    wrapper = config.optim_wrapper
    optimizer, clip = wrapper.optimizer, wrapper.clip_grad
    betas = optimizer.get("betas", (0.9, 0.999))
    amp = wrapper.get("type") == "AmpOptimWrapper"
    return {
        "optimizer": optimizer.type,
        "betas": f"{betas[0]} and {betas[1]}",
        "learning rate": _number(optimizer.lr),
        "weight decay": _number(optimizer.weight_decay),
        "gradient clipping": f"norm {_number(clip.max_norm)}",
        "precision": "mixed" if amp else "single",
    }


def _schedule(config: Config) -> dict:
    schedulers = config.param_scheduler
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    batch = config.auto_scale_lr.base_batch_size
    loader = config.train_dataloader
    filtered = (loader.dataset.get("filter_cfg") or {}).get("filter_empty_gt", False)
    epoch = math.ceil(COCO_IMAGES[filtered] / batch)
    loop = config.train_cfg
    steps = loop.max_iters if "max_iters" in loop else loop.max_epochs * epoch
    warm_up = "none"
    if len(schedulers) == 2:
        first = schedulers[0]
        warm_up = f"{first.end} steps from {_number(first.start_factor)} of the rate"
    last = schedulers[-1]
    milestones = [m * (epoch if last.by_epoch else 1) for m in last.get("milestones", ())]
    fall = {
        "MultiStepLR": f"divided by 10 at {' and '.join(map(str, milestones))}",
        "PolyLR": f"polynomial, power {last.get('power')}",
        "CosineAnnealingLR": "cosine",
    }
    return {
        "warm-up": warm_up,
        "decrease of the rate": fall[last.type],
        "steps": str(steps),
        "batch": str(batch),
        "images per device": str(loader.batch_size),
    }


def _data(config: Config) -> dict:
    pipeline = config.train_dataloader.dataset.pipeline
    found = {_plain(step.type): step for step in pipeline}
    filter_cfg = config.train_dataloader.dataset.get("filter_cfg")
    empty = filter_cfg and ("left out" if filter_cfg.filter_empty_gt else "kept")
    preprocessor = config.model.data_preprocessor
    # None means those of timm's weights, which for the configs' model are ImageNet's.
    known = {key: preprocessor[key] or IMAGENET[key] for key in IMAGENET}
    mean, std = (" ".join(map(_number, known[key])) for key in ("mean", "std"))
    limit = found.get("RandomCrop", {}).get("cat_max_ratio", 1.0)
    return {
        "images without objects": empty,
        "flip": _number(found["RandomFlip"].prob),
        "sizes": _sizes(pipeline),
        "crop": _crop(found["RandomCrop"], config) if "RandomCrop" in found else None,
        "largest share of a class in a crop": "any" if limit == 1.0 else str(limit),
        "colours": _colours(pipeline, config.default_scope),
        "padding": _padding(preprocessor),
        "mean and deviation": f"{mean}; {std}",
    }


def _sizes(pipeline: list) -> str | None:
    """Return the sizes that training images get, in the order of the transforms."""
    texts = []
    for step in pipeline:
        name = _plain(step.type)
        if name == "RandomResize":
            width, height = step.scale
            low, high = step.ratio_range
            texts.append(f"{low} to {high} times {width}x{height}")
        elif name == "Resize":
            texts.append("x".join(map(str, step.scale)))
        elif name == "RandomChoiceResize":
            pairs = [(s, step.get("max_size")) if isinstance(s, int) else s for s in step.scales]
            longest = {max(pair) for pair in pairs}
            shortest = " ".join(str(min(pair)) for pair in pairs)
            texts.append(f"shorter side {shortest}, longer at most {longest.pop()}")
            assert not longest, step
        elif name == "RandomChoice":
            texts.append(" or ".join(_sizes(choice) for choice in step.transforms))
        elif name == "RandomCrop" and step.get("crop_type") == "absolute_range":
            texts.append(f"crop of {' to '.join(map(str, step.crop_size))}")
    return ", then ".join(texts) or None


def _crop(step: Mapping, config: Config) -> str:
    """Return width x height: mmdet states a crop so, mmseg the other way round."""
    size = step["crop_size"]
    return "x".join(map(str, size if config.default_scope == "mmdet" else size[::-1]))


def _colours(pipeline: list, scope: str) -> str:
    for step in pipeline:
        if _plain(step.type) == "PhotoMetricDistortion":
            assert set(step) == {"type"}, "another strength than the transform's default"
            text = "brightness 32, contrast and saturation 0.5 to 1.5, hue 18"
            named = step.type.rpartition(".")[0] or scope
            return text + (", channels permuted" if named == "mmdet" else "")
    return "unchanged"


def _padding(preprocessor: Mapping) -> str:
    if "size" in preprocessor:  # mmseg
        height, width = preprocessor["size"]
        return f"to {width}x{height}, mean colour"
    for augment in preprocessor.get("batch_augments") or ():
        height, width = augment["size"]
        return f"to {width}x{height}, mean colour"
    return "to the batch's largest, mean colour"


def _test(config: Config) -> dict:
    (resize,) = (s for s in config.test_dataloader.dataset.pipeline if _plain(s.type) == "Resize")
    test_cfg = config.model.test_cfg
    values = {"test size": f"shorter side {min(resize.scale)}, longer at most {max(resize.scale)}"}
    if test_cfg.get("panoptic_on"):
        object_score = _number(test_cfg.get("object_mask_thr", 0.8))
        low = "dropped" if test_cfg.get("filter_low_score") else "kept"
        overlap = _number(test_cfg.iou_thr)
        values["fusion"] = f"score {object_score}, overlap {overlap}, pixels under 0.5 {low}"
    results = test_cfg.get("max_per_img", test_cfg.get("max_per_image"))
    return values | {"results per image, at most": str(results) if results else None}


def _backbone(config: Config) -> dict:
    backbone = config.model.backbone
    init_cfg = backbone.get("init_cfg")
    norm_cfg = backbone.get("norm_cfg")
    norms = "timm's, trained" if _plain(backbone.type) == "TimmBackbone" else "layer, trained"
    if norm_cfg:
        stock_default = config.default_scope == "mmdet"  # mmseg's ResNet has norm_eval=False
        kept = backbone.get("norm_eval", stock_default and _plain(backbone.type) == "ResNet")
        synchronised = _plain(norm_cfg.type) == "SyncBN" or config.get("sync_bn")
        statistics = "frozen" if kept else f"over {'all devices' if synchronised else 'a device'}"
        affine = "trained" if norm_cfg.requires_grad else "frozen"
        norms = f"batch, {affine}, statistics {statistics}"
    frozen = backbone.get("frozen_stages", -1)
    return {
        "norms": norms,
        "frozen stages": "none" if frozen < 0 else f"stem and {frozen}",
        "drop path": _number(backbone.get("drop_path_rate", 0.0)),
        "starting weights": _weights(init_cfg.checkpoint) if init_cfg else "none",
    }


def _weights(checkpoint: str) -> str:
    """Return a checkpoint's name without its folder, ending, date and hash."""
    name = checkpoint.rpartition("/")[2].removesuffix(".pth") or "timm's"
    return re.sub(r"_(3rdparty_in1k_)?\d{8}-[0-9a-f]+$", "", name)


def _model(config: Config) -> dict:
    model = config.model
    head = next(model[k] for k in ("panoptic_head", "decode_head", "bbox_head") if k in model)
    decoder = head.get("transformer_decoder") or model.decoder
    train_cfg = head.get("train_cfg") or model.train_cfg
    queries = head.get("num_queries") or model.num_queries
    values = {
        "queries": str(queries),
        "decoder layers": str(decoder.num_layers),
        "dropout": _dropout(head, model),
        "matching weights": ", ".join(
            f"{_plain(cost.type).removesuffix('Cost')} {_number(cost.weight)}"
            for cost in train_cfg.assigner.match_costs
        ),
    }
    if "num_points" in train_cfg:
        oversampled = _number(train_cfg.oversample_ratio)
        share = train_cfg.importance_sample_ratio
        values["points per mask in the losses"] = (
            f"{train_cfg.num_points}, oversampled {oversampled}, {share} uncertain"
        )
    if "dn_cfg" in model:
        noise = model.dn_cfg
        values["denoising"] = (
            f"{noise.group_cfg.num_dn_queries} queries, noise of labels "
            f"{_number(noise.label_noise_scale)}, of boxes {_number(noise.box_noise_scale)}"
        )
    return values | _losses(head)


def _dropout(head: Mapping, model: Mapping) -> str:
    """Return the dropout of encoder and decoder layers, of which a stock default is 0.1."""
    decoder = head.get("transformer_decoder") or model["decoder"]
    rates = {0.1} if "decoder" in model and "dropout" not in str(decoder) else set()
    rates |= set(re.findall(r"'(?:dropout|ffn_drop|attn_drop|proj_drop)': ([\d.]+)", str(decoder)))
    return ", ".join(sorted({_number(float(rate)) for rate in rates}))


def _losses(head: Mapping) -> dict:
    parts = {"loss_cls": "class", "loss_mask": "mask", "loss_dice": "dice", "loss_bbox": "box"}
    parts["loss_iou"] = "GIoU"
    weights = [f"{name} {_number(head[k].loss_weight)}" for k, name in parts.items() if k in head]
    classes = head["loss_cls"].get("class_weight")
    background = head["loss_cls"].get("bg_cls_weight")
    if isinstance(classes, list):
        assert set(classes[:-1]) == {1.0}
        background = classes[-1]
    background = None if background is None else _number(background)
    return {"loss weights": ", ".join(weights), "weight of 'no object'": background}


def _plain(name: str) -> str:
    """Return a type's name without its scope."""
    return name.rpartition(".")[2]


def _number(value: float) -> str:
    return f"{float(value):.6g}"
