"""File formats: panoptic PNGs and JSON, COCO run-length masks, colours."""
