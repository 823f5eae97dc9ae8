"""A pixel decoder that has done its work: what a mask decoder is measured behind."""

from __future__ import annotations

from torch import Tensor, nn


class Encoded(nn.Module):
    """In a pixel decoder's place: what it would return, made once."""

    def __init__(self, projection: nn.Module, maps: list[Tensor], embedding: Tensor) -> None:
        super().__init__()
        self.mask_feature, self.maps, self.embedding = projection, maps, embedding
        self.mask_features = projection(embedding)

    def forward(self, feats: None) -> tuple[Tensor, list[Tensor]]:
        return self.mask_features, self.maps

    def embed(self, feats: None) -> tuple[None, list[Tensor], Tensor]:
        return None, self.maps, self.embedding
