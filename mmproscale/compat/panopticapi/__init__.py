"""Stand-in for `panopticapi`, which is not on PyPI: the parts that mmdet imports."""
