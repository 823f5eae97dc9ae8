"""Misspelt keys of a config are named at any depth, with the nearest right one."""

import re
from collections.abc import Iterator
from pathlib import Path

import mmdet
import mmseg
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmproscale.errors import InputError
from mmproscale.models.config_keys import REGISTRIES, arguments, check_keys
from mmproscale.utils.config import CONFIGS, load_config

# Keys that name something of the user's, or that nothing reads.
FREE = re.compile(r"\.custom_keys\.[^/]+$|dist_cfg\.\w+$|\.strides$|\.(type|_scope_)$")


def places(value: object, path: str) -> Iterator[tuple[dict, str, str]]:
    """Yield each dict below a value, each of its keys, and the key's path."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield value, key, f"{path}.{key}"
            yield from places(part, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for place, part in enumerate(value):
            yield from places(part, f"{path}.{place}")


def misspelt(config: dict, holder: dict, key: str) -> str | None:
    """Return what is said of a config whose key ``key`` in ``holder`` is misspelt."""
    before = dict(holder)
    holder.clear()
    holder.update({(f"{k[:-1]}zq" if k == key else k): v for k, v in before.items()})
    try:
        check_keys(config, "a.py")
    except InputError as error:
        return str(error)
    finally:
        holder.clear()
        holder.update(before)
    return None


@pytest.mark.slow
def test_each_key_of_each_config_misspelt_once():
    seen, tried, named, nearest = set(), 0, 0, 0
    for file in sorted(CONFIGS.glob("*.py")):
        config = Config.fromfile(file)._cfg_dict.to_dict()
        check_keys(config, file)
        for top in REGISTRIES:
            whole = dict(model=dict(type="mmproscale.UniversalSegmentor"))
            whole |= {key: config[key] for key in (top, "default_scope") if key in config}
            for holder, key, path in list(places(whole.get(top), top)):
                place = (re.sub(r"\.\d+", "", path), str(holder.get("type")))
                if place in seen or FREE.search(path):
                    continue
                seen.add(place)
                tried += 1
                said = misspelt(whole, holder, key) or ""
                named += f"{key[:-1]}zq" in said
                nearest += f"did you mean {key}?" in said
    print(f"{tried} keys misspelt: {named} named, {nearest} with the right key")
    assert tried > 650 and named == tried and nearest >= 0.98 * tried


@pytest.mark.parametrize(
    "key, right",
    [
        ("train_cfg.max_iter", "max_iters"),
        ("train_dataloader.batchsize", "batch_size"),
        ("val_evaluator.class_wise", "classwise"),
        ("model.train_cfg.num_point", "num_points"),
        ("model.test_cfg.object_mask_thresh", "object_mask_thr"),
        ("model.panoptic_head.num_querys", "num_queries"),
        ("model.panoptic_head.transformer_decoder.layer_cfg.ffn_cfg.ffn_dropout", "ffn_drop"),
        ("model.panoptic_head.pixel_decoder.encoder.schedule.repeat", "repeats"),
        ("optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mul", "lr_mult"),
        ("default_hooks.checkpoint.intervall", "interval"),
    ],
)
def test_a_misspelt_key_is_named_with_the_right_one(key, right):
    config = load_config("proscale_m2f_r18_shapes")
    config.merge_from_dict({key: 1})
    with pytest.raises(InputError, match=rf"{key.rpartition('.')[0]}.*did you mean {right}\?"):
        check_keys(config, "a.py")


@pytest.mark.parametrize(
    "key, value, text",
    [
        ("pixel_decoder.modulation", "CSM", "modulation='CSM': expected dict"),
        ("pixel_decoder.conv_cfg", "DCN", "conv_cfg='DCN': expected dict"),
        ("pixel_decoder.channels", -4, "channels=-4: expected a number of at least 0"),
        ("transformer_decoder.num_layers", "three", "num_layers='three': expected int"),
        ("transformer_decoder.layer_cfg.cross_attn_cfg.num_heads", 7, "a divisor of embed_dims=64"),
    ],
)
def test_an_impossible_value_is_named(key, value, text):
    config = load_config("pem_m2f_r18_shapes")
    config.merge_from_dict({f"model.panoptic_head.{key}": value})
    with pytest.raises(InputError, match=re.escape(text)):
        check_keys(config, "a.py")


@pytest.mark.parametrize(
    "package, name",
    [
        (mmdet, "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic"),
        (mmdet, "dino/dino-4scale_r50_8xb2-12e_coco"),
        (mmdet, "htc/htc_r50_fpn_20e_coco"),
        (mmseg, "mask2former/mask2former_swin-s_8xb2-90k_cityscapes-512x1024"),
        (mmseg, "pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-769x769"),
    ],
)
def test_stock_configs_have_only_known_keys(package, name):
    config = Config.fromfile(Path(package.__file__).parent / f".mim/configs/{name}.py")
    config.merge_from_dict({"model._mark": "mmproscale."})  # so that a fault is an error
    with pytest.raises(InputError, match=r"model has no key '_mark' that \w+ reads: it has [^(]*$"):
        check_keys(config, name)


def test_a_stock_config_only_gets_a_warning(monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "warning", said.append)
    config = dict(train_cfg=dict(by_epoch=False, max_iter=2), model=dict(type="mmdet.DINO"))
    check_keys(config, "a.py")
    assert len(said) == 1 and "did you mean max_iters?" in said[0]


class _Ignores:
    def __init__(self, a, **kwargs):
        self.a = a


class _PassesOn:
    def __init__(self, a, **kwargs):
        self.part = dict(**kwargs)


class _Names(_Ignores):
    def __init__(self, *args, b=1, **kwargs):
        self.c = kwargs.pop("c", None)
        super().__init__(*args, **kwargs)


def test_arguments_of_a_class():
    assert set(arguments(_Ignores)) == {"a"}
    assert arguments(_PassesOn) is None
    assert set(arguments(_Names)) == {"a", "b", "c"}
