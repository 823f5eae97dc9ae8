"""Registries under scope ``mmproscale``; modules are imported when one of their types is built."""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

MODELS = Registry(
    "model",
    parent=MMENGINE_MODELS,
    scope="mmproscale",
    locations=[
        "mmproscale.backbones",
        "mmproscale.pixel_decoders.context_modulation",
        "mmproscale.pixel_decoders.deformable_convolution",
        "mmproscale.pixel_decoders.deformable_pixel_decoder",
        "mmproscale.pixel_decoders.exit_gate",
        "mmproscale.pixel_decoders.hybrid_pixel_decoder",
        "mmproscale.pixel_decoders.pem_pixel_decoder",
        "mmproscale.pixel_decoders.pixel_embedding",
        "mmproscale.pixel_decoders.token_recalibration",
        "mmproscale.transformer_decoders",
        "mmproscale.heads",
        "mmproscale.fusion",
        "mmproscale.detectors",
    ],
)
DATASETS = Registry(
    "dataset", parent=MMENGINE_DATASETS, scope="mmproscale", locations=["mmproscale.datasets"]
)
TRANSFORMS = Registry(
    "transform", parent=MMENGINE_TRANSFORMS, scope="mmproscale", locations=["mmproscale.datasets"]
)
METRICS = Registry(
    "metric",
    parent=MMENGINE_METRICS,
    scope="mmproscale",
    locations=["mmproscale.evaluation", "mmproscale.evaluation.encoder_exits"],
)
HOOKS = Registry("hook", parent=MMENGINE_HOOKS, scope="mmproscale", locations=["mmproscale.engine"])
