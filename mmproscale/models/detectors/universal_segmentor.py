"""Mask2Former with panoptic, instance and semantic results, whose masks are resized in fusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmdet.models import Mask2Former
from torch import Tensor

from mmproscale.models.criterion import QueryPredictions
from mmproscale.models.detectors.batch_independence import BatchIndependent
from mmproscale.models.detectors.early_exit_model import EarlyExitModel, Samples, record_exits
from mmproscale.registry import MODELS


@MODELS.register_module()
class UniversalSegmentor(BatchIndependent, EarlyExitModel, Mask2Former):
    """Segmentor to use instead of mmdet's ``Mask2Former``, with our head and fusion head.

    Panoptic, instance and semantic results come from one forward pass, and only the masks that a
    result needs are resized.
    """

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: Samples,
        rescale: bool = True,
    ) -> Samples:
        """Return the data samples with results and exits.

        They get those of ``pred_panoptic_seg``, ``pred_instances`` and ``pred_sem_seg`` that the
        test_cfg switches on, and in their metainfo ``encoder_exit``, the number of encoder layers.

        Args:
            batch_inputs: (B, 3, H, W), normalised and padded.
            batch_data_samples: One for each image.
            rescale: Give results the original images' size.

        Raises:
            FloatingPointError: Logits are not finite.
        """
        predictions = self.query_predictions(batch_inputs)
        if predictions.exits:
            record_exits(predictions.exits, batch_data_samples)
        results = self.results_of(predictions, batch_data_samples, rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def query_predictions(self, batch_inputs: Tensor) -> QueryPredictions:
        """Return the queries' predictions for images (B, 3, H, W), normalised and padded."""
        return self.panoptic_head.decode(self.extract_feat(batch_inputs))

    def gate_input(self, feats: Sequence[Tensor], batch_data_samples: Samples) -> Tensor:
        """Return the gate's input of each image, (B, C), as :meth:`EarlyExitModel.gate_input`."""
        return self.panoptic_head.pixel_decoder.gate_input(feats)

    def decode_exits(
        self, feats: Sequence[Tensor], batch_data_samples: Samples, exits: Sequence[int]
    ) -> Iterator[tuple[int, QueryPredictions]]:
        """Yield (exit, query predictions), as :meth:`EarlyExitModel.decode_exits`."""
        return self.panoptic_head.decode_exits(feats, exits)

    def results_of(
        self, decoded: QueryPredictions, batch_data_samples: Samples, rescale: bool = True
    ) -> Sequence[dict]:
        """Fuse query predictions to each image's results, by kind."""
        return self.panoptic_fusion_head.predict(
            decoded.class_logits[-1], decoded.masks(), batch_data_samples, rescale
        )

    def add_pred_to_datasample(
        self, data_samples: Samples, results_list: Sequence[dict]
    ) -> Samples:
        """Put each image's results into its data sample; mmdet's method takes no semantic ones."""
        for sample, results in zip(data_samples, results_list, strict=True):
            if "sem_results" in results:
                sample.pred_sem_seg = results.pop("sem_results")
        return super().add_pred_to_datasample(data_samples, results_list)
