"""Test-time augmentation of a universal model with several views of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.detectors.batch_independence import predict_by_size
from mmproscale.models.detectors.universal_segmentor import UniversalSegmentor
from mmproscale.models.fusion.fusion_head import check_numbers
from mmproscale.models.fusion.view_merging import ViewPlace, merge_views
from mmproscale.registry import MODELS


@MODELS.register_module()
class UniversalTTA(BaseTTAModel):
    """Test-time augmentation that merges the queries of all views to one set and fuses it once.

    Use it with ``tools/test.py --tta``, ours or mmdet's, where mmdet's needs
    ``tta_model=dict(type="mmproscale.UniversalTTA")``. Each view is padded to its own size.

    Args:
        module: A ``UniversalSegmentor`` or its config.

    Raises:
        InputError: The model is not a ``UniversalSegmentor``.
    """

    def __init__(self, module: dict | nn.Module) -> None:
        super().__init__(module)
        if not isinstance(self.module, UniversalSegmentor):
            raise InputError(
                f"test-time augmentation needs mmproscale.UniversalSegmentor as the config's "
                f"model, not {type(self.module).__name__}"
            )

    def test_step(self, data: Mapping[str, Sequence[Any]]) -> list[DetDataSample]:
        """Return the results of each image, merged from its views.

        Args:
            data: ``inputs`` and ``data_samples``, each a list of views, each view a list of images,
                as ``TestTimeAug`` and ``pseudo_collate`` make them.

        Raises:
            FloatingPointError: Logits are not finite.
            InputError: A view's metainfo lacks ``flip``.
        """
        views = [dict(zip(data, view, strict=True)) for view in zip(*data.values(), strict=True)]
        preprocess = self.module.data_preprocessor
        samples = [predict_by_size(preprocess, self._predict_view, view) for view in views]
        return self.merge_preds(list(zip(*samples, strict=True)))

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[DetDataSample]]
    ) -> list[DetDataSample]:
        """Return each image's first data sample, with results of the merged queries of its views.

        Args:
            data_samples_list: For each image its views' samples with ``pred_queries``, which is
                removed: ``classes`` (Q, classes + 1) and ``masks`` (Q, h, w), both logits.
        """
        return [self._merge(samples) for samples in data_samples_list]

    def _predict_view(self, view: Mapping[str, Any]) -> Sequence[DetDataSample]:
        samples: Sequence[DetDataSample] = view["data_samples"]
        predictions = self.module.query_predictions(view["inputs"])
        logits = predictions.class_logits[-1], predictions.masks()
        for sample, classes, masks in zip(samples, *logits, strict=True):
            check_numbers(classes, masks, sample.metainfo)
            sample.pred_queries = InstanceData(classes=classes, masks=masks)
        return samples

    def _merge(self, samples: Sequence[DetDataSample]) -> DetDataSample:
        places = [ViewPlace.from_metainfo(sample.metainfo) for sample in samples]
        queries = [sample.pop("pred_queries") for sample in samples]
        classes, masks = merge_views([(q.classes, q.masks) for q in queries], places)
        fusion = self.module.panoptic_fusion_head
        results = fusion.predict(classes[None], masks[None], samples[:1], rescale=True)
        return self.module.add_pred_to_datasample(samples[:1], results)[0]
