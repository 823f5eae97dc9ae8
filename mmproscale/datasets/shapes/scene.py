"""Drawing of one Shapes image: stuff, an unlabelled patch, a crowd, then overlapping objects.

Colour does not determine a class. A stuff class is a texture, a thing class an outline. Each class
draws its hue from half of the colour circle, so two thing classes and two stuff classes share every
hue. All classes share the ranges of contrasts, periods and object textures. Masks are painted
without anti-aliasing, so the id map and the image agree to the pixel.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

THINGS = ("disc", "square", "triangle", "star")
STUFF = ("stripes", "checks", "dots", "clouds")

OBJECTS = (2, 6)  # fewest and most objects of an image
OBJECT_SIDE = (0.06, 0.45)  # longer side of an object's box, as a share of the image's side
PERIOD = (0.07, 0.13)  # period of a texture, as a share of the image's side
CROWD_SHARE, VOID_SHARE = 0.15, 0.3  # shares of the images with a crowd, with a void patch
HUES = 180  # width of a class's range of hues in degrees; ranges begin 90 degrees apart
MIN_VISIBLE = 0.4  # share of an object's pixels that later objects must leave visible


@dataclass
class Segment:
    """Region of the id map: `index` is its value there, `category` a name of THINGS or STUFF."""

    index: int
    category: str
    is_crowd: bool = False
    side: int = 0  # longer side of an object's box in pixels, before other objects hide parts


@dataclass
class Scene:
    """Image in progress: `image` (S, S, 3) float32 BGR and `ids` (S, S) int32, 0 = unlabelled."""

    rng: np.random.Generator
    image: np.ndarray
    ids: np.ndarray
    segments: list[Segment] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the side of the image in pixels."""
        return self.ids.shape[0]

    def add(self, mask: np.ndarray, pixels: np.ndarray, category: str, **about) -> None:
        """Paint `pixels` (N, 3) on the N pixels of `mask` (S, S) and record the segment."""
        segment = Segment(len(self.segments) + 1, category, **about)
        self.segments.append(segment)
        self.image[mask] = pixels
        self.ids[mask] = segment.index


def draw_scene(rng: np.random.Generator, size: int) -> Scene:
    """Draw one scene of `size` x `size` pixels from `rng`.

    Returns:
        The scene; every segment in `segments` has pixels left in `ids`.
    """
    scene = Scene(rng, np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.int32))
    _paint_stuff(scene)
    if rng.random() < VOID_SHARE:
        _paint_void(scene)
    if rng.random() < CROWD_SHARE:
        _paint_crowd(scene)
    _paint_objects(scene)
    scene.image += 4 * rng.standard_normal(scene.image.shape, np.float32)
    pixels = np.bincount(scene.ids.ravel(), minlength=len(scene.segments) + 1)
    scene.segments = [segment for segment in scene.segments if pixels[segment.index]]
    return scene


def _paint_stuff(scene: Scene) -> None:
    """Cover the image with one to three regions: pixels join the nearest seed of a warped grid."""
    rng, size = scene.rng, scene.size
    kinds = rng.permutation(STUFF)[: rng.integers(1, 4)]
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    for axis in range(2):
        grid[..., axis] += size * 0.08 * _smooth_noise(rng, size, 4)
    seeds = (rng.uniform(0.1, 0.9, (len(kinds), 2)) * size).astype(np.float32)
    nearest = np.stack([((grid - seed) ** 2).sum(-1) for seed in seeds]).argmin(0)
    for region, kind in enumerate(kinds):
        mask = nearest == region
        if mask.any():
            pixels = _textured(rng, mask, str(kind), str(kind), contrast=rng.uniform(70, 130))
            scene.add(mask, pixels, str(kind))


def _paint_void(scene: Scene) -> None:
    """Cover a patch with grey grain, which no class has, and leave it unlabelled."""
    rng, size = scene.rng, scene.size
    axes = rng.uniform(0.08, 0.25, 2) * size
    mask = np.zeros(scene.ids.shape, np.uint8)
    center = rng.uniform(0, size, 2)
    cv2.ellipse(mask, (tuple(center), tuple(2 * axes), rng.uniform(0, 180)), 1, -1)
    grain = rng.uniform(60, 200) + rng.normal(0, 30, (size, size, 1))
    scene.image[mask > 0] = np.broadcast_to(grain, scene.image.shape)[mask > 0]
    scene.ids[mask > 0] = 0


def _paint_crowd(scene: Scene) -> None:
    """Paint a tight cluster of small instances of one class, annotated as one crowd."""
    rng, size = scene.rng, scene.size
    kind = str(rng.choice(THINGS))
    center = rng.uniform(0.2, 0.8, 2) * size
    union = np.zeros(scene.ids.shape, bool)
    for _ in range(rng.integers(7, 13)):
        where = center + rng.normal(0, 0.07, 2) * size
        mask = outline(kind, where, rng.uniform(0.06, 0.1) * size, rng.uniform(0, 360), size)
        if mask.any():
            scene.image[mask] = _object_pixels(rng, mask, kind, scene.image[mask].mean(0))
            union |= mask
    if union.any():
        scene.add(union, scene.image[union], kind, is_crowd=True)


def _paint_objects(scene: Scene) -> None:
    """Paint two to six objects, each over the earlier ones, which must stay visible."""
    rng, size = scene.rng, scene.size
    wanted = rng.integers(OBJECTS[0], OBJECTS[1] + 1)
    full_areas: dict[int, int] = {}  # index of an object -> its pixels before others hid any
    while len(full_areas) < wanted:
        kind = str(rng.choice(THINGS))
        # With whole bounds, rounding to pixels never leaves the range.
        low, high = math.ceil(OBJECT_SIDE[0] * size), math.floor(OBJECT_SIDE[1] * size)
        # Large objects are drawn more often than small ones, as in photographs.
        side = low + (high - low) * math.sqrt(rng.random())
        center = rng.uniform(side / 2, size - side / 2, 2)
        mask = outline(kind, center, side, rng.uniform(0, 360), size)
        if _hides_one(scene.ids, mask, full_areas):
            continue
        pixels = _object_pixels(rng, mask, kind, scene.image[mask].mean(0))
        scene.add(mask, pixels, kind, side=_longer_side(mask))
        full_areas[len(scene.segments)] = int(mask.sum())


def _hides_one(ids: np.ndarray, mask: np.ndarray, full_areas: dict[int, int]) -> bool:
    left = np.bincount(ids[~mask], minlength=max(full_areas, default=0) + 1)
    return any(left[index] < MIN_VISIBLE * area for index, area in full_areas.items())


def _longer_side(mask: np.ndarray) -> int:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1


def outline(kind: str, center: np.ndarray, side: float, angle: float, size: int) -> np.ndarray:
    """Return the mask (size, size) of one object.

    Args:
        kind: One of THINGS.
        center: Middle of its box (x, y) in pixels.
        side: Longer side of its box in pixels.
        angle: Its rotation in degrees.
        size: Side of the image in pixels.
    """
    count = dict(disc=48, square=4, triangle=3, star=10)[kind]
    turns = np.radians(angle) + np.arange(count) * 2 * np.pi / count
    radius = np.where(np.arange(count) % 2 == 1, 0.42, 1.0) if kind == "star" else np.ones(count)
    points = np.stack([np.cos(turns), np.sin(turns)], 1) * radius[:, None]
    low, high = points.min(0), points.max(0)
    points = (points - (low + high) / 2) / (high - low).max() * (side - 1) + center
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1, lineType=cv2.LINE_8)
    return mask > 0


def _object_pixels(
    rng: np.random.Generator, mask: np.ndarray, category: str, behind: np.ndarray
) -> np.ndarray:
    """Return an object's pixels (N, 3): a faint texture whose colour differs from `behind` (3,)."""
    texture = str(rng.choice(STUFF))
    return _textured(rng, mask, category, texture, contrast=rng.uniform(5, 30), unlike=behind)


def _textured(
    rng: np.random.Generator,
    mask: np.ndarray,
    category: str,
    texture: str,
    contrast: float,
    unlike: np.ndarray | None = None,
) -> np.ndarray:
    """Return a texture in a colour of a class, float32 BGR (N, 3) for the N pixels of `mask`.

    Args:
        rng: Source of colour, direction, period and phase.
        mask: Pixels to paint, (S, S).
        category: Class whose range of hues the colour comes from.
        texture: One of STUFF.
        contrast: Largest difference between its dark and its light values, of 255.
        unlike: Colour (3,) that the result must differ from.
    """
    color = color_of(rng, category)
    for _ in range(20):
        if unlike is None or np.abs(color - unlike).max() > 90:
            break
        color = color_of(rng, category)
    swing = (contrast / 2 * rng.uniform(0.6, 1, 3)).astype(np.float32)
    return color + _pattern(rng, mask, texture)[:, None] * swing


def color_of(rng: np.random.Generator, category: str) -> np.ndarray:
    """Draw a colour, float32 BGR (3,) from 0 to 255, in a class's range of hues."""
    group = THINGS if category in THINGS else STUFF
    hue = 90 * group.index(category) + rng.uniform(0, HUES)
    saturation, value = rng.uniform(0.35, 0.9), rng.uniform(0.45, 0.85)
    pixel = np.array([[[hue % 360, saturation, value]]], np.float32)
    return 255 * cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0]


def _pattern(rng: np.random.Generator, mask: np.ndarray, kind: str) -> np.ndarray:
    """Return a texture's pattern, (N,) from -1 to 1, at the N pixels of `mask`."""
    size = mask.shape[0]
    period = rng.uniform(*PERIOD) * size
    if kind == "clouds":
        return _smooth_noise(rng, size, max(2, round(size / period / 1.5)))[mask]
    angle, shift = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
    y, x = (axis.astype(np.float32) * np.float32(2 * np.pi / period) for axis in np.nonzero(mask))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = x * cos + y * sin + shift[0], y * cos - x * sin + shift[1]
    if kind == "stripes":
        return np.sign(np.sin(u))
    if kind == "checks":
        return np.sign(np.sin(u) * np.sin(v))
    spots = np.sign(np.cos(u) + np.cos(v) - np.float32(0.9))
    return spots if shift[0] < np.pi else -spots


def _smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    coarse = rng.normal(0, 0.6, (cells + 2, cells + 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).clip(-1, 1)
