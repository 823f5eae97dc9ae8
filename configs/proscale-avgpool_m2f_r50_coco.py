# The light pixel embedding with average in the place of maximum pooling.
_base_ = "./proscale_m2f_r50_coco.py"
embedding = dict(type="LPE", pooling="average")
model = dict(panoptic_head=dict(pixel_decoder=dict(pixel_embedding=embedding)))
del embedding
