"""A pixel decoder whose output is given: mask decoders are measured behind it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder


class GivenMaps(PixelDecoder):
    """Pixel decoder that returns given maps, for our heads and for stock's.

    Args:
        projection: Mask projection.
        maps: Encoded maps (B, C, H_i, W_i), low resolution first.
        embedding: Finest map (B, C, H, W), before the projection.
    """

    def __init__(self, projection: nn.Module, maps: list[Tensor], embedding: Tensor) -> None:
        super().__init__((4, 8, 16, 32), (32, 16, 8), embedding.shape[1])
        self.mask_feature, self.maps, self.embedding = projection, maps, embedding
        self.mask_features = projection(embedding)

    def forward(self, feats: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Return mask features that are computed once, and the maps."""
        return self.mask_features, self.maps

    def embed(self, feats: Sequence[Tensor] | None) -> Encoded:
        """Return the given maps and embedding, without exits."""
        return Encoded((), self.maps, self.embedding)
