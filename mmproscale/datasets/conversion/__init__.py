"""From the layouts that datasets come in to COCO's panoptic format."""
