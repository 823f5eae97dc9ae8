"""Layout of a token sequence: strides, map sizes and order of its levels, as Python ints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenLayout:
    """Levels of a token sequence, in the sequence's order.

    The order is the framework's (Mask2Former: 32, 16, 8; mmdet's DINO: 8 to 64). It decides which
    level each of a layer's per-level weights belongs to. Schedules do not depend on it.

    Args:
        strides: Stride of each level, in order.
        shapes: Map size (H, W) of each level, in the same order.
        padding: (B, N) over all levels' tokens in order, True for padding, which is read as zero.
            None where padding is read like other tokens, as in Mask2Former.
        valid_ratios: (B, L, 2), the part (w, h) of each level's map that is image. A token's
            reference point is then its place in the image, on each level that it reads. None for
            the whole map.
    """

    strides: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    padding: Tensor | None = field(default=None, compare=False)
    valid_ratios: Tensor | None = field(default=None, compare=False)

    @classmethod
    def from_maps(cls, maps: Mapping[int, Tensor]) -> TokenLayout:
        """Return the layout of ``maps``: stride -> (B, C, H, W), in the mapping's order."""
        return cls(tuple(maps), tuple((m.shape[-2], m.shape[-1]) for m in maps.values()))

    def order(self, strides: Iterable[int]) -> tuple[int, ...]:
        """Return ``strides`` in this layout's order."""
        wanted = set(strides)
        return tuple(stride for stride in self.strides if stride in wanted)

    def shape(self, stride: int) -> tuple[int, int]:
        """Return the map size (H, W) of a level."""
        return self.shapes[self.strides.index(stride)]

    def num_tokens(self, stride: int) -> int:
        """Return the number of tokens of a level, H * W."""
        height, width = self.shape(stride)
        return height * width

    def shapes_of(self, strides: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Return the map sizes (H, W) of some levels."""
        return tuple(self.shape(stride) for stride in strides)

    def split(self, tokens: Tensor, strides: Sequence[int]) -> dict[int, Tensor]:
        """Split tokens (B, N, ...) of ``strides`` by level: stride -> (B, N_level, ...)."""
        parts = tokens.split([self.num_tokens(stride) for stride in strides], dim=1)
        return dict(zip(strides, parts, strict=True))

    def to_map(self, tokens: Tensor, stride: int) -> Tensor:
        """Return the map (B, C, H, W) of one level's tokens (B, N, C)."""
        # With these operations torch recognises a single image's map as channels_last.
        return tokens.unflatten(1, self.shape(stride)).permute(0, 3, 1, 2)

    def select_images(self, images: list[int] | slice) -> TokenLayout:
        """Return the layout of some images of the batch."""
        padding, ratios = self.padding, self.valid_ratios
        return replace(
            self,
            padding=None if padding is None else padding[images],
            valid_ratios=None if ratios is None else ratios[images],
        )

    def padding_of(self, strides: Sequence[int]) -> Tensor | None:
        """Return the padding (B, N) of ``strides``, one after the other, or None."""
        if self.padding is None:
            return None
        return concat(self.split(self.padding, self.strides), strides)

    def reference_points(self, queries: Sequence[int], keys: Sequence[int], like: Tensor) -> Tensor:
        """Return the places of the tokens of ``queries`` on the maps of ``keys``, (x, y) in 0..1.

        They are pixel centres, the same for every image and map: (1, N, 1, 2). With valid ratios,
        each centre's place in the image is transferred to each map: (B, N, L, 2). The result is in
        fp32 or wider, on ``like``'s device.
        """
        centres = [_pixel_centres(self.shape(stride), like) for stride in queries]
        points = torch.cat(centres)[None, :, None]  # Nx2 -> 1xNx1x2
        if self.valid_ratios is None:
            return points
        ratios = self.valid_ratios.to(points.dtype)
        own = torch.cat(
            [
                ratios[:, index, None].expand(-1, len(level), -1)
                for index, level in zip(self._indices(queries), centres, strict=True)
            ],
            dim=1,
        )  # BxNx2
        return points / own[:, :, None] * ratios[:, None, self._indices(keys)]

    def _indices(self, strides: Sequence[int]) -> list[int]:
        return [self.strides.index(stride) for stride in strides]


def to_tokens(feature_map: Tensor) -> Tensor:
    """Return the tokens (B, N, C) of a map (B, C, H, W), row-major."""
    return feature_map.flatten(2).transpose(1, 2)


def concat(levels: Mapping[int, Tensor], strides: Sequence[int]) -> Tensor:
    """Concatenate the tokens of ``strides``, (B, N, ...); a single level is not copied."""
    parts = [levels[stride] for stride in strides]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _pixel_centres(shape: tuple[int, int], like: Tensor) -> Tensor:
    height, width = shape
    # Half precision, as under autocast, would move a point by up to a 250th of the map.
    dtype = torch.promote_types(like.dtype, torch.float32)
    y = (torch.arange(height, device=like.device, dtype=dtype) + 0.5) / height
    x = (torch.arange(width, device=like.device, dtype=dtype) + 0.5) / width
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], dim=-1).flatten(0, 1)
