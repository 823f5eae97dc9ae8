"""Video of pictures, which may differ in size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmproscale.utils.atomic_files import atomic_path


def write_video(path: Path, pictures: Sequence[Path], rate: float) -> None:
    """Write pictures as an MP4 video; smaller ones get a white edge.

    Args:
        path: The video.
        pictures: Files, in order.
        rate: Frames per second.
    """
    sizes = []
    for picture in pictures:
        with Image.open(picture) as header:
            sizes.append(header.size)
    width, height = (side + side % 2 for side in np.max(sizes, axis=0).tolist())
    with atomic_path(path) as temporary:
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(temporary), code, rate, (width, height))
        for picture in pictures:
            pixels = np.asarray(Image.open(picture).convert("RGB"))[..., ::-1]
            frame = np.full((height, width, 3), 255, np.uint8)
            frame[: pixels.shape[0], : pixels.shape[1]] = pixels
            writer.write(frame)
        writer.release()
