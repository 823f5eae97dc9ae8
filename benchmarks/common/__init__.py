"""What the benchmarks share. Import it before anything of mmcv or mmdet."""

import mmproscale  # noqa: F401  (its stand-ins come before mmcv.ops)
