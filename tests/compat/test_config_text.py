"""Text of a config: what stock mmengine writes, formatted once as long as the config stays."""

from importlib import import_module

import pytest
from mmengine.config import Config

import mmproscale.compat


@pytest.fixture
def formatted(monkeypatch) -> list[str]:
    """Texts that yapf has formatted."""
    texts = []
    for name in ("yapf.yapflib.yapf_api", "mmengine.config.config"):
        if hasattr(module := import_module(name), "FormatCode"):
            stock = module.FormatCode
            record = lambda text, *args, stock=stock, **options: (  # noqa: E731
                texts.append(text) or stock(text, *args, **options)
            )
            monkeypatch.setattr(module, "FormatCode", record)
    return texts


def test_an_unchanged_config_is_formatted_once(formatted):
    config = Config(dict(model=dict(type="A", channels=[1, 2]), name="unchanged"))
    text = config.pretty_text
    assert text.endswith("    ], type='A')\nname = 'unchanged'\n")
    mmproscale.compat.apply()  # it may be called more than once
    assert Config(config.to_dict()).pretty_text == config.pretty_text == text
    assert len(formatted) == 1


def test_every_change_is_in_the_text(formatted):
    config = Config(dict(model=dict(depth=1), kept="1"))
    for value in (2, True, "2", 2.0, None, [2], (2,)):
        config.model.depth = value
        depth = Config.fromstring(config.pretty_text, ".py").model.depth
        assert (type(depth), depth) == (type(value), value)
    plain = Config(config.to_dict(), format_python_code=False)
    assert plain.pretty_text == "kept='1'\nmodel=dict(\n    depth=(\n        2,\n        ))"
    assert len(formatted) == 7


def test_a_config_that_cannot_be_formatted_is_refused_each_time():
    config = Config(dict(model=object()))
    for _ in range(2):
        with pytest.raises(SyntaxError, match="Failed to format the config"):
            config.pretty_text  # noqa: B018
