"""Shared parts of the benchmarks. Import this before mmcv and mmdet."""

import mmproscale  # noqa: F401  (its stand-ins come before mmcv.ops)
