"""Peers of the package, from an image to its panoptic map, each by its own code.

Weights are random. The class layer is replaced by :class:`GivenClasses`, so that every model keeps
the same number of queries, as a trained one does: random weights would keep all or none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import Tensor, nn

from common.models import build, stock_twin
from mmproscale.cost.random_model import model_without_weights, random_model
from mmproscale.export.export_run import ExportOptions, export
from mmproscale.export.formats import trace, write
from mmproscale.inference.exported_file import ExportedFile, open_session
from mmproscale.inference.predictor import Predictor
from mmproscale.models.encoders.schedule import lite, mask2former, pro_scale
from mmproscale.planning.published import CITYSCAPES, COCO, CONV, LPE, PUBLISHED
from mmproscale.timing.conditions import stock_attention
from mmproscale.timing.measurement import Stopwatch
from mmproscale.utils.config import load_config

Size = tuple[int, int]
QUERIES_KEPT = 20
THINGS, STUFF = 80, 53
LOGIT = 10.0
"""Logit of a query's class, which gives it a probability of 0.99."""
LEAST_SCORE, LEAST_SHARE = 0.8, 0.0
"""Thresholds of every post-processing. Random masks overlap, so that no share is too small."""


@dataclass(frozen=True)
class Setting:
    """Setting in which a model is built.

    Args:
        size: Height and width of the image.
        device: Device on which it runs.
        precision: Precision in PyTorch, as the Predictor names it.
        tiny: True for few layers.
    """

    size: Size
    device: str = "cpu"
    precision: str = "fp32"
    tiny: bool = False


@dataclass(frozen=True)
class Peer:
    """One model to compare.

    Args:
        make: Builds it for a setting. Only models of ours heed its precision; others are run
            under autocast.
        pq: Published panoptic quality in percent, by dataset.
        source: Where it is published.
        only: The only size that its published weights take; None for any size.
        exports: False if its package has no export.
        ours: True for a model of this package.
    """

    make: Callable[[Setting], Built]
    pq: Mapping[str, float]
    source: str
    only: Size | None = None
    exports: bool = True
    ours: bool = False


@dataclass(frozen=True)
class Built:
    """A model in memory.

    Args:
        module: The PyTorch model.
        run: From an image (H, W, 3) of bytes to its panoptic map (H, W), with a stopwatch.
        write: Writes the network as an ONNX file for a size.
        open_file: Returns what ``run`` does by such a file, or by its form in OpenVINO.
        context: Context of a run in PyTorch.
    """

    module: nn.Module
    run: Callable[[np.ndarray, Stopwatch], Any]
    write: Callable[[Size, Path], object] | None = None
    open_file: Callable[[Path], Callable[[np.ndarray, Stopwatch], Any]] | None = None
    context: Callable[[], AbstractContextManager] = field(default=nullcontext)


class GivenClasses(nn.Module):
    """Class layer that gives the first queries classes of things and stuff in turn, others none.

    Args:
        queries: Number of queries.
        things: Number of thing classes, which come first.
        stuff: Number of stuff classes.
    """

    def __init__(self, queries: int, things: int, stuff: int) -> None:
        super().__init__()
        logits = torch.zeros(queries, things + stuff + 1)
        labels = torch.full((queries,), things + stuff)
        for query in range(min(QUERIES_KEPT, queries)):
            number = query // 2
            labels[query] = number % things if query % 2 else things + number % stuff
        self.register_buffer("logits", logits.scatter(1, labels[:, None], LOGIT))

    def forward(self, queries: Tensor) -> Tensor:
        """Return the logits (..., queries, classes + 1) for queries (..., queries, channels)."""
        return self.logits.expand(*queries.shape[:-1], -1)


def ours(name: str, setting: Setting) -> Built:
    """Build a config of ours, which the Predictor runs in PyTorch."""
    config = _config(name, setting.tiny)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        model = random_model(model_without_weights(config))
        torch.save({"state_dict": model.state_dict()}, weights)
        predictor = Predictor(config, weights, setting.device, precision=setting.precision)
    head = predictor.model.panoptic_head
    head.cls_embed = _classes_of(head)

    def run(found: Predictor, image: np.ndarray, watch: Stopwatch) -> np.ndarray:
        fusion = found.model.panoptic_fusion_head
        with watch.part("whole"), watch.method(fusion, "predict", "results"):
            return found(image).panoptic

    return Built(
        predictor.model,
        partial(run, predictor),
        lambda size, out: export(predictor, out, ExportOptions(size=size)),
        lambda path: partial(run, Predictor(ExportedFile(path))),
    )


def mmdet(name: str, setting: Setting) -> Built:
    """Build the twin of a Mask2Former config from mmdet's own parts."""
    model = build(stock_twin(model_without_weights(_config(name, setting.tiny)))).eval()
    model.panoptic_head.cls_embed = _classes_of(model.panoptic_head)

    def run(image: np.ndarray, watch: Stopwatch) -> Tensor:
        shape = image.shape[:2]
        sample = DetDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1, 1)))
        with watch.part("whole"), watch.method(model.panoptic_fusion_head, "predict", "results"):
            pixels = torch.from_numpy(image.transpose(2, 0, 1))
            (found,) = model.test_step({"inputs": [pixels], "data_samples": [sample]})
            return found.pred_panoptic_seg.sem_seg[0]

    return Built(model, run, context=stock_attention)


def transformers_mask2former(name: str, setting: Setting) -> Built:
    """Build transformers' Mask2Former with the sizes of a config of ours."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
    from transformers.models.mask2former.image_processing_pil_mask2former import (
        Mask2FormerImageProcessorPil,
    )

    from mmproscale.checkpoints.foreign.export import hub_config

    config = _config(name, setting.tiny)
    weights = random_model(model_without_weights(config)).state_dict()
    theirs = Mask2FormerConfig.from_dict(hub_config(weights, config, None))
    torch.manual_seed(0)
    model = Mask2FormerForUniversalSegmentation(theirs).eval()
    model.class_predictor = GivenClasses(theirs.num_queries, THINGS, STUFF)
    processor = Mask2FormerImageProcessorPil(do_resize=False)
    return _transformers(
        model, processor, dict(label_ids_to_fuse=set(range(THINGS, THINGS + STUFF)))
    )


def eomt(layers: int, width: int, heads: int, blocks: int, setting: Setting) -> Built:
    """Build transformers' EoMT with a plain ViT; all published ones have 200 queries."""
    from transformers import EomtConfig, EomtForUniversalSegmentation
    from transformers.models.eomt.image_processing_pil_eomt import EomtImageProcessorPil

    config = EomtConfig(
        hidden_size=width,
        num_hidden_layers=blocks + 1 if setting.tiny else layers,
        num_attention_heads=heads,
        num_blocks=blocks,
        num_queries=200,
        image_size=setting.size[0],
        num_labels=THINGS + STUFF,
    )
    torch.manual_seed(0)
    model = EomtForUniversalSegmentation(config).eval()
    model.class_predictor = GivenClasses(config.num_queries, THINGS, STUFF)
    # Published models attend without masks at inference. A list, since no export follows a tensor.
    del model.attn_mask_probs
    model.attn_mask_probs = [0.0] * blocks
    sides = dict(shortest_edge=setting.size[0], longest_edge=setting.size[0])
    processor = EomtImageProcessorPil(do_resize=False, size=sides)
    return _transformers(model, processor, dict(stuff_classes=[*range(THINGS, THINGS + STUFF)]))


def _transformers(model: nn.Module, processor: Any, stuff: dict[str, Any]) -> Built:
    """Return a model of transformers with its processor before and after it."""
    graph = _Logits(model)

    def around(network: Callable[[Tensor], Any], image: np.ndarray, watch: Stopwatch) -> Tensor:
        with watch.part("whole"):
            pixels = processor(images=image, return_tensors="pt")["pixel_values"]
            device = next(model.parameters()).device
            classes, masks = (torch.as_tensor(t).float() for t in network(pixels.to(device)))
            with watch.part("results"):
                (found,) = processor.post_process_panoptic_segmentation(
                    SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks),
                    target_sizes=[image.shape[:2]],
                    threshold=LEAST_SCORE,
                    overlap_mask_area_threshold=LEAST_SHARE,
                    **stuff,
                )
            return found["segmentation"]

    def write_onnx(size: Size, out: Path) -> None:
        program = trace(graph, [torch.zeros(1, 3, *size)], None)
        write(program, out, (["images"], ["class_logits", "mask_logits"]), {})

    def open_file(path: Path) -> Callable[[np.ndarray, Stopwatch], Tensor]:
        session = open_session(path)
        return partial(around, lambda pixels: session.run(pixels.numpy()))

    return Built(model, partial(around, graph), write_onnx, open_file)


class _Logits(nn.Module):
    """Model of transformers that returns class logits and mask logits only."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model(pixel_values=pixels)
        return found.class_queries_logits, found.masks_queries_logits


def _classes_of(head: nn.Module) -> GivenClasses:
    return GivenClasses(head.num_queries, head.num_things_classes, head.num_stuff_classes)


def _config(name: str, tiny: bool) -> Config:
    """Return a config for images at their own size, with the thresholds of all peers."""
    config = load_config(name)
    config.model.test_cfg.update(object_mask_thr=LEAST_SCORE, iou_thr=LEAST_SHARE)
    dataset = config.test_dataloader.dataset
    dataset.pipeline = [step for step in dataset.pipeline if "Resize" not in step.type]
    dataset.pipeline[-1].meta_keys = ("img_path", "ori_shape", "img_shape")
    if tiny:
        config.model.panoptic_head.transformer_decoder.num_layers = 1
        if "depths" in config.model.backbone:
            config.model.backbone.depths = (1, 1, 1, 1)
    return config


def _published(schedule: Any, pixel_embedding: str, backbone: str = "swin-t") -> dict[str, float]:
    """Return the PQ of a model of ours by dataset; the first row of several counts."""
    wanted = backbone, schedule, pixel_embedding
    rows = [row for row in PUBLISHED if (row.backbone, row.schedule, row.pixel_embedding) == wanted]
    return {row.dataset: row.pq for row in reversed(rows)}


PAPER = "PRO-SCALE, Tables 1 and 2"
MASK2FORMER_ZOO = "Mask2Former's model zoo, whose weights transformers has"
EOMT_ZOO = "EoMT's model zoo, DINOv2"
SQUARE = (640, 640)
PEERS: dict[str, Peer] = {
    "transformers, M2F Swin-T": Peer(
        partial(transformers_mask2former, "m2f_swin-t_coco"),
        {COCO: 53.2, CITYSCAPES: 63.9},
        MASK2FORMER_ZOO,
    ),
    "transformers, M2F R50": Peer(
        partial(transformers_mask2former, "m2f_r50_coco"),
        {COCO: 51.9, CITYSCAPES: 62.1},
        MASK2FORMER_ZOO,
    ),
    "mmdet, M2F Swin-T": Peer(
        partial(mmdet, "m2f_swin-t_coco"), {COCO: 53.4}, "mmdet's model zoo", exports=False
    ),
    "mmdet, M2F R50": Peer(
        partial(mmdet, "m2f_r50_coco"), {COCO: 52.0}, "mmdet's model zoo", exports=False
    ),
    "transformers, EoMT-S": Peer(partial(eomt, 12, 384, 6, 3), {COCO: 46.7}, EOMT_ZOO, SQUARE),
    "transformers, EoMT-B": Peer(partial(eomt, 12, 768, 12, 3), {COCO: 51.6}, EOMT_ZOO, SQUARE),
    "transformers, EoMT-L": Peer(partial(eomt, 24, 1024, 16, 4), {COCO: 56.0}, EOMT_ZOO, SQUARE),
    "M2F Swin-T": Peer(
        partial(ours, "m2f_swin-t_coco"), _published(mask2former(6), CONV), PAPER, ours=True
    ),
    "(3,3,3) Swin-T": Peer(
        partial(ours, "proscale_m2f_swin-t_coco"),
        _published(pro_scale((3, 3, 3)), LPE),
        PAPER,
        ours=True,
    ),
    "(1,1,1) Swin-T": Peer(
        partial(ours, "proscale-111_m2f_swin-t_coco"),
        _published(pro_scale((1, 1, 1)), LPE),
        PAPER,
        ours=True,
    ),
    "Lite Swin-T": Peer(
        partial(ours, "lite_m2f_swin-t_coco"), _published(lite(5), CONV), PAPER, ours=True
    ),
    "PEM STDC1": Peer(
        partial(ours, "pem_m2f_stdc1_cityscapes"), {}, "no PQ is published", ours=True
    ),
}
"""Models to compare by name; ratios are to the first."""
