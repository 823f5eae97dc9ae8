"""Contract of models with early exits, which ECO's steps A and B run exit by exit."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from mmdet.models import BaseDetector
from mmdet.structures import DetDataSample
from torch import Tensor

Samples = Sequence[DetDataSample]


class EarlyExitModel(BaseDetector):
    """Mixin of a segmentor or detector that predicts at several exits of its encoder."""

    @abstractmethod
    def gate_input(self, feats: Sequence[Tensor], batch_data_samples: Samples) -> Tensor:
        """Return the gate's input of each image, (B, C).

        Args:
            feats: Maps (B, C_i, H_i, W_i) of ``extract_feat``, high resolution first.
            batch_data_samples: One for each image.
        """

    @abstractmethod
    def decode_exits(
        self, feats: Sequence[Tensor], batch_data_samples: Samples, exits: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (exit, decoder's output) where all images leave at one exit, ascending.

        The encoder runs once, the decoder once for each exit.
        """

    @abstractmethod
    def results_of(self, decoded: Any, batch_data_samples: Samples) -> Sequence[Any]:
        """Return each image's results, at its original size, of a :meth:`decode_exits` output."""

    def predict_exits(
        self, feats: Sequence[Tensor], batch_data_samples: Samples, exits: Sequence[int]
    ) -> Iterator[tuple[int, Samples]]:
        """Yield (exit, copies of the data samples with results) at each exit, ascending.

        Args:
            feats: Maps (B, C_i, H_i, W_i) of ``extract_feat``, high resolution first.
            batch_data_samples: One for each image.
            exits: Some of the model's exits.
        """
        for exit_, decoded in self.decode_exits(feats, batch_data_samples, exits):
            samples = copy.deepcopy(list(batch_data_samples))
            results = self.results_of(decoded, samples)
            yield exit_, self.add_pred_to_datasample(samples, results)


def record_exits(exits: Sequence[int], batch_data_samples: Samples) -> None:
    """Write each image's exit into its data sample's metainfo, as ``encoder_exit``."""
    for sample, exit_ in zip(batch_data_samples, exits, strict=True):
        sample.set_field(exit_, "encoder_exit", field_type="metainfo")
