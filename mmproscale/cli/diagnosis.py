"""Diagnosis of an installation: what is there, what works, and what to do about the rest."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from mmproscale.compat import describe_stack, stack
from mmproscale.compat.mmcv_ext import HOW_TO_COMPILE
from mmproscale.errors import InputError
from mmproscale.models.config_keys import check_keys
from mmproscale.ops.multi_scale_deformable_attention import (
    BACKENDS,
    fastest_backend,
    multi_scale_deformable_attention,
)
from mmproscale.utils.config import CONFIGS, load_config
from mmproscale.utils.processes import cpu_has_bf16, usable_cores
from mmproscale.version import __version__

OPTIONAL = {
    "mmpretrain": "backbones of mmpretrain",
    "huggingface_hub": "weights by hf:// names",
    "supervision": "Result.to_supervision",
}
"""Optional package -> what it is for."""

SMALL_CONFIG = "proscale_m2f_r18_shapes"


@dataclass(frozen=True)
class Check:
    """One line of a diagnosis.

    Attributes:
        name: What was looked at.
        found: What was found.
        works: False if it has to be mended, None if it is optional and absent.
        remedy: What to do; empty if it works.
    """

    name: str
    found: str
    works: bool | None = True
    remedy: str = ""


def diagnose(
    config: str | None = None, options: Mapping[str, Any] | None = None
) -> Iterator[Check]:
    """Yield all checks of this installation.

    Args:
        config: A config whose data is looked for; None for none.
        options: Dotted key -> value, merged into the config.
    """
    yield Check("mmproscale", f"{__version__} on Python {platform.python_version()}")
    yield Check("system", f"{platform.platform()}, {usable_cores()} cores")
    yield Check("stack", describe_stack())
    yield from _optional_packages()
    yield from _devices()
    yield from _compiled_ops()
    for device in _device_names():
        yield from _attention(device)
    yield _configs()
    yield _small_model()
    if config is not None:
        yield from _data(config, options)


def _optional_packages() -> Iterator[Check]:
    for name, use in OPTIONAL.items():
        try:
            yield Check(name, version(name))
        except PackageNotFoundError:
            yield Check(name, f"not installed; for {use}", None, f"pip install {name}")


def _device_names() -> list[str]:
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]


def _devices() -> Iterator[Check]:
    capability = torch.backends.cpu.get_cpu_capability()
    yield Check("CPU", f"{capability}, {torch.get_num_threads()} threads of PyTorch")
    bf16 = "by its own instructions" if cpu_has_bf16() else "emulated, so slow"
    yield Check("bf16 on the CPU", bf16)
    if not torch.cuda.is_available():
        built = torch.version.cuda or "none"
        remedy = "" if torch.version.cuda is None else "check the driver with nvidia-smi"
        yield Check("GPU", f"none found; PyTorch's CUDA: {built}", None, remedy)
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        yield Check(f"GPU {index}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {bf16}")


def _compiled_ops() -> Iterator[Check]:
    import mmcv._ext

    if mmcv._ext.__file__.endswith(".so"):
        yield Check("mmcv's compiled ops", mmcv._ext.__file__)
    else:
        found = "absent; mmproscale's own in PyTorch are used"
        yield Check("mmcv's compiled ops", found, None, HOW_TO_COMPILE[stack()])


def _attention(device: str) -> Iterator[Check]:
    """Run each backend on a map of 16 x 16 and compare it with grid_sample, all in fp32."""
    generator = torch.Generator().manual_seed(0)
    value, places, weights = (
        torch.rand(*shape, generator=generator).to(device)
        for shape in ((1, 256, 8, 32), (1, 256, 8, 1, 4, 2), (1, 256, 8, 1, 4))
    )
    arguments = (value, [(16, 16)], places, weights)
    expected = multi_scale_deformable_attention(*arguments, backend="grid_sample")
    for name in BACKENDS:
        try:
            found = multi_scale_deformable_attention(*arguments, backend=name)
        except InputError as refusal:
            yield Check(f"attention '{name}' on {device}", str(refusal), None)
            continue
        difference = float((found - expected).abs().max())
        agrees = difference < 1e-4 * float(expected.abs().max())
        yield Check(
            f"attention '{name}' on {device}",
            "works" if agrees else f"gives wrong values (difference {difference:.1e})",
            agrees,
            "" if agrees else "set attention_backend='grid_sample', and report it",
        )
    chosen = fastest_backend(value, ((16, 16),), places, weights)
    yield Check(f"attention chosen on {device}", f"{chosen} for a map of 16 x 16")


def _configs() -> Check:
    count = len(list(CONFIGS.glob("*.py")))
    remedy = "" if count else "install the package again: its configs are missing"
    return Check("configs", f"{count} in {CONFIGS}", count > 0, remedy)


def _small_model() -> Check:
    """Build a small model and predict an image: what most commands need."""
    from mmengine.registry import MODELS, init_default_scope

    try:
        init_default_scope("mmdet")
        model = MODELS.build(load_config(SMALL_CONFIG).model).eval()
        with torch.no_grad():
            model(torch.zeros(1, 3, 64, 64), mode="tensor")
    except Exception as error:  # any failure is what the diagnosis is for
        remedy = "report it with the output of --json"
        return Check("a small model", f"{type(error).__name__}: {error}", False, remedy)
    return Check("a small model", f"{SMALL_CONFIG} predicts 64 x 64 pixels")


def _data(config: str, options: Mapping[str, Any] | None = None) -> Iterator[Check]:
    """Look for the files of a config's datasets."""
    cfg = load_config(config, options)
    check_keys(cfg, config)
    for part in ("train", "val", "test"):
        dataset = (cfg.get(f"{part}_dataloader") or {}).get("dataset") or {}
        root = dataset.get("data_root") or ""
        places = [dataset.get("ann_file"), *(dataset.get("data_prefix") or {}).values()]
        for place in dict.fromkeys(os.path.join(root, place) for place in places if place):
            there = os.path.exists(place)
            remedy = "" if there else "give its folder by --cfg-options data_root=DIR"
            yield Check(f"{part} data", place if there else f"{place} not found", there, remedy)
