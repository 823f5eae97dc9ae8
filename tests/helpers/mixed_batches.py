"""Untrained models of every family with results that differ, and images of mixed sizes for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from helpers.early_exit_detectors import GATE, early_exit
from helpers.families import panoptic, segmentor
from helpers.tiny_detectors import scheduled, stir
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmseg.structures import SegDataSample
from torch import Tensor, nn

SIZES = ((64, 96), (50, 70), (96, 64), (60, 90), (40, 40), (33, 95), (64, 96), (70, 50))
DECODER = "panoptic_head.pixel_decoder."
LAYERS = {DECODER + "encoder.schedule.layers": 4}
SLIDE = {"test_cfg.mode": "slide", "test_cfg.crop_size": (64, 64), "test_cfg.stride": (48, 48)}
GROWTH = dict(type="pro_scale", repeats=(1, 1, 1), levels=((64, 32), 16, 8))
DIRECTIONS = 4
COARSE = dict(type="lite", levels=(64, 32, 16, 8), coarse_layers=2)


def _segments(config: str, **options: Any) -> nn.Module:
    # Untrained queries have low scores: only these thresholds keep any result.
    kept = {"test_cfg.object_mask_thr": 0.0, "test_cfg.iou_thr": 0.0, "test_cfg.instance_on": True}
    return panoptic(config, **kept, **options)


def _boxes(schedule: dict, **options: Any) -> nn.Module:
    model = scheduled("DINO", dict(num_layers=None, schedule=schedule), **options)
    stir(model)
    return model


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "M2F": lambda: _segments("m2f"),
    "PRO-SCALE": lambda: _segments("proscale_m2f"),
    "Lite": lambda: _segments("lite_m2f"),
    "RT": lambda: _segments("rt_m2f"),
    "PEM": lambda: _segments("pem_m2f"),
    "ECO, gate": lambda: _segments("m2f", **LAYERS, **{DECODER + "exit_gate": GATE}),
    "ECO, exit 2": lambda: _segments("m2f", **LAYERS, **{DECODER + "exit": 2}),
    "M2F semantic": lambda: segmentor("m2f_r18_camvid-semantic"),
    "PEM semantic": lambda: segmentor("pem_m2f_r18_camvid-semantic"),
    "M2F semantic, crops": lambda: segmentor("m2f_r18_camvid-semantic", **SLIDE),
    "DINO": lambda: early_exit("DINO", exit_gate=None),
    "PRO-SCALE DINO": lambda: _boxes(GROWTH, recalibration=dict(type="TRC")),
    "Lite DINO": lambda: _boxes(COARSE),
    "Deformable DETR": lambda: early_exit("DeformableDETR", exit_gate=None),
    "DDQ": lambda: early_exit("DDQDETR", exit_gate=None),
    "DETR": lambda: early_exit("DETR", exit_gate=None),
    "ECO DINO, gate": lambda: early_exit("DINO"),
}


def build(family: str) -> nn.Module:
    """Return a model in evaluation mode whose classes, masks and exits depend on the image."""
    torch.manual_seed(0)
    model = BUILDERS[family]().eval()
    if mask_head(model) is not None:
        make_results_differ(model)
    return model


def make_results_differ(model: nn.Module) -> None:
    """Give an untrained segmentor weights with which images have several segments."""
    head = mask_head(model)
    _keep_queries_apart(head)
    _spread_masks(model, head)


def mask_head(model: nn.Module) -> Any:
    """Return the mask head, or None for a detector."""
    return getattr(model, "panoptic_head", None) or getattr(model, "decode_head", None)


@torch.no_grad()
def _keep_queries_apart(head: Any) -> None:
    """Damp the layers, which make all queries alike as long as they are not trained."""
    nn.init.normal_(head.cls_embed.weight, std=0.5)
    for key, parameter in head.transformer_decoder.layers.named_parameters():
        if "out_proj" in key or "ffn.layers.1" in key:
            parameter *= 0.2


@torch.no_grad()
def _spread_masks(model: nn.Module, head: Any) -> None:
    """Give mask logits a spread of about 1 among pixels, in more than one direction."""
    feats = _maps(model, 0)
    decoder = head.pixel_decoder
    embedding = decoder.embed(feats).embedding
    if decoder.projects_linearly:
        _whiten(decoder.mask_feature, embedding)
    else:
        _take_statistics(decoder.mask_feature, embedding)
    for _ in range(3):  # masks steer the attention from which the next ones come
        scale = 1 / head.decode(feats).masks().std((2, 3)).mean()
        head.mask_embed[-1].weight *= scale
        head.mask_embed[-1].bias *= scale
    if getattr(decoder, "exit_gate", None) is not None:
        features = [decoder.gate_input(_maps(model, image)) for image in range(len(SIZES))]
        _tell_apart(decoder.exit_gate.linear, torch.cat(features))


def _maps(model: nn.Module, image: int) -> Sequence[Tensor]:
    return model.extract_feat(model.data_preprocessor(batch([image]), False)["inputs"])


def _tell_apart(gate: nn.Linear, features: Tensor) -> None:
    """Give a gate logits that differ among images with features (B, C)."""
    nn.init.normal_(gate.weight, std=50)
    gate.bias.copy_(-gate.weight @ features.mean(0))


def _take_statistics(projection: nn.Module, embedding: Tensor) -> None:
    """Give a batch norm the statistics of an embedding (1, C, H, W)."""
    projection.bn.momentum = 1.0
    projection.train()(embedding)
    projection.eval()


def _whiten(projection: nn.Conv2d, embedding: Tensor) -> None:
    """Project an embedding (1, C, H, W) to its strongest directions, of equal spread."""
    pixels = embedding[0].flatten(1)
    mean = pixels.mean(1)
    directions, spreads, _ = torch.linalg.svd(pixels - mean[:, None], full_matrices=False)
    strongest = (directions / spreads)[:, :DIRECTIONS] * pixels.shape[1] ** 0.5
    mixed = torch.randn(projection.out_channels, DIRECTIONS) @ strongest.T
    projection.weight.copy_(mixed[:, :, None, None])
    projection.bias.copy_(-mixed @ mean)


def batch(images: Sequence[int], kind: type = DetDataSample) -> dict[str, Any]:
    """Return a dataloader's batch of some of the images, by their place in ``SIZES``."""
    return pseudo_collate([_item(image, *SIZES[image], kind) for image in images])


def _item(image: int, height: int, width: int, kind: type) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(image)
    cells = torch.randint(256, (3, height // 8 + 1, width // 8 + 1), generator=generator)
    pixels = cells.byte().repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
    size = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
    sample = kind(metainfo=dict(size, img_id=image, img_path=f"{image}.jpg"))
    return dict(inputs=pixels, data_samples=sample)


class Predictions:
    """Results of all images and their logits before the first attention mask.

    Args:
        model: A model of :func:`build`. A detector, which has no masks, has its encoder's tokens
            as logits.
        batch_size: Images in a batch; the last one may be smaller.

    Attributes:
        samples: Data samples, in the order of ``SIZES``.
        logits: Tensors of an image, by its place in ``SIZES``.
        sizes: Number of images of each forward pass.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, batch_size: int) -> None:
        self.samples: list[Any] = []
        self.logits: dict[int, list[Tensor]] = {}
        self.sizes: list[int] = []
        kind = SegDataSample if hasattr(model, "decode_head") else DetDataSample
        with self._watching(model):
            for start in range(0, len(SIZES), batch_size):
                images = range(start, min(start + batch_size, len(SIZES)))
                self.samples += model.test_step(batch(images, kind))

    @contextmanager
    def _watching(self, model: nn.Module) -> Iterator[None]:
        head, ids, predict = mask_head(model), [], model.predict
        holder, name = (model, "forward_encoder") if head is None else (head, "decode")
        method = getattr(holder, name)

        def watched_predict(inputs: Tensor, samples: Sequence[Any]) -> Sequence[Any]:
            ids[:] = [sample.img_id for sample in samples]
            self.sizes.append(len(ids))
            return predict(inputs, samples)

        def watched(*args: Any, **kwargs: Any) -> Any:
            found = method(*args, **kwargs)
            first = found["memory"] if head is None else found.masks(0)
            for image, logits in zip(ids, first, strict=True):
                self.logits.setdefault(image, []).append(logits)
            return found

        model.predict = watched_predict
        setattr(holder, name, watched)
        yield
        del model.predict
        delattr(holder, name)
