"""File formats: images, COCO's JSON and panoptic PNGs, run-length masks, colours."""
