"""Conversion of other tools' annotations into COCO panoptic and instance files."""
