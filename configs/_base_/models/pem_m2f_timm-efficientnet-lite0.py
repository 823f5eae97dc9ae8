_base_ = ["./m2f_r50.py", "../backbones/timm-efficientnet-lite0.py", "../methods/pem-small.py"]
small, pem = _base_.small_model, _base_.panoptic_head
decoder = dict(small.panoptic_head.transformer_decoder)
decoder["layer_cfg"] = dict(decoder["layer_cfg"], **pem.transformer_decoder.layer_cfg)
head = dict(small.panoptic_head, pixel_decoder=pem.pixel_decoder, transformer_decoder=decoder)
model = dict(small, backbone=_base_.backbone, panoptic_head=head)
del small, pem, decoder, head
