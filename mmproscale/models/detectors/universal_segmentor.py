"""A Mask2Former whose masks grow to the image's size in fusion alone, for all three kinds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from mmdet.models import Mask2Former
from mmdet.structures import DetDataSample
from torch import Tensor

from mmproscale.models.criterion import QueryPredictions
from mmproscale.registry import MODELS

Samples = Sequence[DetDataSample]


@MODELS.register_module()
class UniversalSegmentor(Mask2Former):
    """In the place of mmdet's ``Mask2Former``, with our head and fusion head.

    Panoptic, instance and semantic results come from one forward pass, and only the masks that a
    result needs are resized.
    """

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: Samples,
        rescale: bool = True,
    ) -> Samples:
        """The data samples with ``pred_panoptic_seg``, ``pred_instances``, ``pred_sem_seg``, as the
        test_cfg asks for them, and in their metainfo ``encoder_exit``, the layers of the encoder
        that each image took.

        Args:
            batch_inputs: (B, 3, H, W), normalised and padded.
            batch_data_samples: One for each image.
            rescale: Whether results have the original images' size.

        Raises:
            FloatingPointError: Logits that are not finite numbers.
        """
        predictions = self.query_predictions(batch_inputs)
        for sample, exit_ in zip(batch_data_samples, predictions.exits or (), strict=False):
            sample.set_field(exit_, "encoder_exit", field_type="metainfo")
        results = self.panoptic_fusion_head.predict(
            predictions.class_logits[-1], predictions.masks(), batch_data_samples, rescale
        )
        return self.add_pred_to_datasample(batch_data_samples, results)

    def query_predictions(self, batch_inputs: Tensor) -> QueryPredictions:
        """What the queries predict for images (B, 3, H, W), normalised and padded."""
        return self.panoptic_head.decode(self.extract_feat(batch_inputs))

    def predict_exits(
        self, feats: Sequence[Tensor], batch_data_samples: Samples, exits: Sequence[int]
    ) -> Iterator[tuple[int, Samples]]:
        """Yield (exit, copies of the data samples with results) at each exit, ascending.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            batch_data_samples: One for each image.
            exits: Some of the pixel decoder's.
        """
        for exit_, predictions in self.panoptic_head.decode_exits(feats, exits):
            samples = copy.deepcopy(batch_data_samples)
            results = self.panoptic_fusion_head.predict(
                predictions.class_logits[-1], predictions.masks(), samples, rescale=True
            )
            yield exit_, self.add_pred_to_datasample(samples, results)

    def gate_input(self, feats: Sequence[Tensor], batch_data_samples: Samples) -> Tensor:
        """What a gate sees of each image, (B, C). Arguments are :meth:`predict_exits`'s."""
        return self.panoptic_head.pixel_decoder.gate_input(feats)

    def layer_costs(self, feats: Sequence[Tensor]) -> tuple[int, ...]:
        """Multiply-accumulates of each layer of the encoder, for one image's backbone maps."""
        decoder = self.panoptic_head.pixel_decoder
        shapes = {
            stride: (feat.shape[-2], feat.shape[-1])
            for stride, feat in zip(decoder.strides, feats, strict=True)
        }
        return decoder.encoder.layer_costs(shapes)

    def add_pred_to_datasample(
        self, data_samples: Samples, results_list: Sequence[dict]
    ) -> Samples:
        """Put each image's results into its data sample; mmdet's refuses semantic ones."""
        for sample, results in zip(data_samples, results_list, strict=True):
            if "sem_results" in results:
                sample.pred_sem_seg = results.pop("sem_results")
        return super().add_pred_to_datasample(data_samples, results_list)
