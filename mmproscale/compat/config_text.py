"""Text of a config, formatted once: mmengine has yapf format it for each log, file and checkpoint.

That takes two seconds for a Swin, five times until the first step and again with each checkpoint.
"""

from types import ModuleType
from typing import Any

from mmproscale.compat.import_hooks import call_after_import


def format_configs_once() -> None:
    """Have mmengine keep the text of the last config when its configs are imported."""
    call_after_import("mmengine.config.config", _keep_last_text)


def _keep_last_text(module: ModuleType) -> None:
    stock = module.Config.pretty_text
    if stock.fget.__module__ == __name__:
        return
    kept: dict[str, str] = {}

    def pretty_text(config: Any) -> str:
        content = f"{config._format_python_code} {config.to_dict()}"
        if content not in kept:
            text = stock.fget(config)
            kept.clear()
            kept[content] = text
        return kept[content]

    module.Config.pretty_text = property(pretty_text, doc=stock.__doc__)
