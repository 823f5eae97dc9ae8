"""Conversion of annotations in other formats to COCO panoptic and instance files."""
