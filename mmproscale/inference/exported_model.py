"""Model whose network is an exported file, with preprocessing and results of the package's own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.inference.exported_file import ExportedFile
from mmproscale.models.criterion import QueryPredictions
from mmproscale.models.detectors.early_exit_model import record_exits
from mmproscale.models.encoders.exit_gate import EarlyExits


@dataclass(frozen=True)
class GivenMasks(QueryPredictions):
    """Predictions with mask logits (B, Q, H, W) that are already computed."""

    given: Tensor | None = None

    def masks(self, layer: int = -1) -> Tensor:
        """Return the mask logits; there are none of earlier layers."""
        assert self.given is not None
        return self.given


class Network:
    """Network of an exported file, or of a gate's file and those of its exits.

    Args:
        file: The whole model, or the gate's graph.
        part: Part of the model that has exits; None without a gate.
        device: Device of the files of the exits.
    """

    def __init__(self, file: ExportedFile, part: EarlyExits | None, device: str) -> None:
        self.file, self.part, self.device = file, part, device
        self._exits: dict[int, ExportedFile] = {}

    def __call__(self, images: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Return the outputs for a batch, and each image's exit if there is a gate.

        Args:
            images: (B, 3, H, W) from the data preprocessor.

        Raises:
            InputError: The file can't take this size or batch; an exit's file is missing.
        """
        if self.file.info.photos:
            images = images.permute(0, 2, 3, 1).byte().contiguous()
        outputs = self.file(images)
        if not self.file.info.exits:
            return outputs, ()
        logits, *maps = outputs
        forced = self.part.exit if self.part else None
        chosen = [self.file.info.exits[index] for index in logits.argmax(1).tolist()]
        exits = tuple(chosen if forced is None else [forced] * len(chosen))
        found: dict[int, tuple[Tensor, ...]] = {}
        for exit_ in sorted(set(exits)):
            members = [image for image, own in enumerate(exits) if own == exit_]
            results = self._file_of(exit_)(*(m[members] for m in maps))
            rows = zip(*(result.unbind() for result in results), strict=True)
            found |= dict(zip(members, rows, strict=True))
        rows = zip(*(found[image] for image in range(len(exits))), strict=True)
        return tuple(torch.stack(row) for row in rows), exits

    def _file_of(self, exit_: int) -> ExportedFile:
        if exit_ not in self._exits:
            self._exits[exit_] = ExportedFile(exit_path(self.file.path, exit_), self.device)
        return self._exits[exit_]


def exit_path(gate: Any, exit_: int) -> Any:
    """Return the path of an exit's file next to that of its gate."""
    return gate.with_name(f"{gate.stem}.exit{exit_}{gate.suffix}")


def exported_model(file: ExportedFile, config: Any, device: str) -> nn.Module:
    """Build the model of a file, with its network in place of the modules.

    The modules are built without memory for weights. Preprocessing and fusion are the model's own,
    except for a file with results.

    Args:
        file: The exported file.
        config: Its config, with the kinds of results to give.
        device: ``cpu`` or ``cuda``.
    """
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        model = MODELS.build(copy.deepcopy(config.model))  # mmdet changes it
    model.data_preprocessor = MODELS.build(config.model.data_preprocessor)
    part = next((part for part in model.modules() if isinstance(part, EarlyExits)), None)
    network = Network(file, part, device)
    model.network = network
    model.extract_feat = lambda images: images
    if file.info.fused:
        give = {"boxes": _boxes, "panoptic": _panoptic, "semantic": _semantic}
        model.predict = partial(_predict, network, give.get(file.info.kind, _instances))
    elif file.info.kind == "boxes":
        model.forward_transformer = partial(_detect, network)
        model.bbox_head.predict = partial(_head_boxes, model.bbox_head)
    else:
        head = getattr(model, "decode_head", None) or model.panoptic_head
        head.decode = partial(_decode, network)
    return model.eval()


def _decode(network: Network, images: Tensor, *_: Any) -> GivenMasks:
    (classes, masks), exits = network(images)
    if frame := network.file.info.frame:
        padded, (height, width) = frame
        masks = F.interpolate(masks, padded, mode="bilinear")[..., :height, :width]
    nothing = classes.new_empty(0)
    return GivenMasks(classes[None], nothing, nothing, exits=exits or None, given=masks)


def _detect(network: Network, images: Tensor, samples: Sequence[Any] | None = None) -> dict:
    (classes, boxes), exits = network(images)
    if exits and samples is not None:
        record_exits(exits, samples)
    return dict(classes=classes, boxes=boxes)


def _head_boxes(
    head: Any, classes: Tensor, boxes: Tensor, batch_data_samples: Sequence[Any], rescale: bool
) -> Any:
    metas = [sample.metainfo for sample in batch_data_samples]
    return head.predict_by_feat(classes[None], boxes[None], batch_img_metas=metas, rescale=rescale)


def _predict(
    network: Network, give: Any, images: Tensor, samples: Sequence[Any], rescale: bool = True
) -> Sequence[Any]:
    """Put a fused file's results into the data samples, at the original images' size."""
    outputs, exits = network(images)
    if exits:
        record_exits(exits, samples)
    for sample, *parts in zip(samples, *outputs, strict=True):
        give(sample, *parts)
    return samples


def _panoptic(sample: Any, values: Tensor, segment_values: Tensor, scores: Tensor) -> None:
    meta = dict(segment_values=segment_values, segment_scores=scores)
    sample.pred_panoptic_seg = PixelData(metainfo=meta, sem_seg=_original(values, sample)[None])


def _semantic(sample: Any, labels: Tensor) -> None:
    sample.pred_sem_seg = PixelData(sem_seg=_original(labels, sample)[None].long())


def _instances(sample: Any, boxes: Tensor, scores: Tensor, labels: Tensor, masks: Tensor) -> None:
    kept = scores > 0
    _boxes(sample, boxes[kept], scores[kept], labels[kept])
    sample.pred_instances.masks = _original(masks[kept].byte(), sample).bool()


def _boxes(sample: Any, boxes: Tensor, scores: Tensor, labels: Tensor) -> None:
    scale = boxes.new_tensor(sample.metainfo.get("scale_factor", (1.0, 1.0))).repeat(2)
    sample.pred_instances = InstanceData(bboxes=boxes / scale, scores=scores, labels=labels.long())


def _original(maps: Tensor, sample: Any) -> Tensor:
    """Cut maps (..., H, W) of labels to the image and give them its original size (nearest)."""
    height, width = sample.metainfo["img_shape"][:2]
    size = tuple(sample.metainfo["ori_shape"][:2])
    maps = maps[..., :height, :width]
    if tuple(maps.shape[-2:]) == size:
        return maps
    flat = maps.reshape(1, -1, height, width).float()
    resized = F.interpolate(flat, size, mode="nearest-exact")
    return resized.to(maps.dtype).view(*maps.shape[:-2], *size)


def check_use(file: ExportedFile, kinds: Sequence[str] | None, averaged: bool) -> None:
    """Check that a file can give what is asked of it.

    Raises:
        InputError: A file with results has another kind, or is to average over views.
    """
    if not file.info.fused:
        return
    if kinds and tuple(kinds) != (file.info.kind,):
        raise InputError(
            f"{file.path} gives only {file.info.kind} results: leave kinds out, or export without "
            "--with-fusion"
        )
    if averaged:
        raise InputError(
            f"{file.path} gives results, which can't be averaged over views: export without "
            "--with-fusion"
        )
