"""Test-time augmentation: a universal model over several views of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.detectors.universal_segmentor import UniversalSegmentor
from mmproscale.models.fusion.fusion_head import check_numbers
from mmproscale.models.fusion.view_merging import ViewPlace, merge_views
from mmproscale.registry import MODELS


@MODELS.register_module()
class UniversalTTA(BaseTTAModel):
    """Around a ``UniversalSegmentor``: queries of all views become one set, which is fused once.

    For ``tools/test.py --tta``, ours and, as ``tta_model=dict(type="mmproscale.UniversalTTA")``,
    mmdet's. A batch's views are padded together, as a batch is without augmentation.

    Args:
        module: The model or its config.

    Raises:
        InputError: The model is no ``UniversalSegmentor``.
    """

    def __init__(self, module: dict | nn.Module) -> None:
        super().__init__(module)
        if not isinstance(self.module, UniversalSegmentor):
            raise InputError(
                f"test-time augmentation needs mmproscale.UniversalSegmentor as the config's "
                f"model, not {type(self.module).__name__}"
            )

    def test_step(self, data: Mapping[str, Sequence[Any]]) -> list[DetDataSample]:
        """Results of each image, of all its views.

        Args:
            data: ``inputs`` and ``data_samples``, each a list of views, of which each is a list of
                images: what ``TestTimeAug`` and ``pseudo_collate`` make.

        Raises:
            FloatingPointError: Logits that are not finite numbers.
            InputError: Views that do not say whether they are mirrored.
        """
        views = [dict(zip(data, view, strict=True)) for view in zip(*data.values(), strict=True)]
        seen = [self._see(self.module.data_preprocessor(view, False)) for view in views]
        return self.merge_preds(list(zip(*seen, strict=True)))

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[DetDataSample]]
    ) -> list[DetDataSample]:
        """Each image's first data sample, with results of the queries of all.

        Args:
            data_samples_list: Of each image its views with ``pred_queries``: ``classes``
                (Q, classes + 1) and ``masks`` (Q, h, w), both logits. They are taken out.
        """
        return [self._merge(samples) for samples in data_samples_list]

    def _see(self, view: Mapping[str, Any]) -> Sequence[DetDataSample]:
        samples: Sequence[DetDataSample] = view["data_samples"]
        predictions = self.module.query_predictions(view["inputs"])
        logits = predictions.class_logits[-1], predictions.masks()
        for sample, classes, masks in zip(samples, *logits, strict=True):
            check_numbers(classes, masks, sample.metainfo)
            sample.pred_queries = InstanceData(classes=classes, masks=masks)
        return samples

    def _merge(self, samples: Sequence[DetDataSample]) -> DetDataSample:
        places = [ViewPlace.of(sample.metainfo) for sample in samples]
        queries = [sample.pop("pred_queries") for sample in samples]
        classes, masks = merge_views([(q.classes, q.masks) for q in queries], places)
        fusion = self.module.panoptic_fusion_head
        results = fusion.predict(classes[None], masks[None], samples[:1], rescale=True)
        return self.module.add_pred_to_datasample(samples[:1], results)[0]
