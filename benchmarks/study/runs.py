"""Runs of a study, as its YAML file lists them: a model, its options and a seed each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.config import load_config

MODEL_KEYS = {"label", "config", "options", "seeds"}
CLAIM_KEYS = {"says", "models", "expected", "paper"}
EXPECTED = ("better", "worse", "as good")


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Args:
        model: The model's key in the study's file.
        label: The model's name for people.
        config: Name of a config.
        options: Its ``--cfg-options``, the seed included.
        seed: Seed of weights and data.
        folder: Folder of all that the run writes.
    """

    model: str
    label: str
    config: str
    options: Mapping[str, Any]
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.model}-seed{self.seed}"

    @property
    def config_file(self) -> Path:
        """Config with the options merged."""
        return self.folder / "config.py"

    @property
    def training(self) -> Path:
        """Folder of the training's log and checkpoints."""
        return self.folder / "train"

    @property
    def log_file(self) -> Path:
        """Output of the tools that train and test the run."""
        return self.folder / "run.log"

    @property
    def figures_file(self) -> Path:
        """JSON of the run's figures."""
        return self.folder / "run.json"

    @property
    def is_finished(self) -> bool:
        return self.figures_file.is_file()

    def is_that_of(self, figures: Mapping[str, Any]) -> bool:
        """Tell whether figures that were kept are of a run with this config, options and seed."""
        return (self.config, dict(self.options)) == (figures["config"], figures["options"])

    @property
    def last_checkpoint(self) -> str:
        """Path of the last checkpoint; empty before there is one."""
        file = self.training / "last_checkpoint"
        return file.read_text(encoding="utf-8").strip() if file.is_file() else ""

    def write_config(self) -> None:
        """Write :attr:`config_file`.

        Raises:
            InputError: An unknown config or option; the folder has the config of other options.
        """
        text = load_config(self.config, self.options).pretty_text
        if self.config_file.is_file():
            if self.config_file.read_text(encoding="utf-8") != text:
                raise InputError(
                    f"{self.folder} has a run with other options: give another --out, or remove it"
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write_text(self.config_file, text)


def read_study(path: Path) -> dict[str, Any]:
    """Return the content of a study's file.

    Raises:
        InputError: It can't be read, or a model lacks a key or has an unknown one.
    """
    try:
        study = yaml.safe_load(path.read_text(encoding="utf-8"))
        models = study["models"].items()
        missing = {"title", "steps", "size"} - set(study)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError) as e:
        raise InputError(f"{path} is no study: a YAML file with `models` ({e})") from e
    if missing:
        raise InputError(f"{path} lacks {', '.join(sorted(missing))}")
    for name, model in models:
        wrong = set(model) - MODEL_KEYS or MODEL_KEYS - {"options"} - set(model)
        if wrong:
            raise InputError(f"{path}: model {name} lacks or should not have {sorted(wrong)}")
    for claim in study.get("claims", []):
        if claim.keys() != CLAIM_KEYS or claim["expected"] not in EXPECTED:
            raise InputError(
                f"{path}: a claim has {', '.join(sorted(CLAIM_KEYS))}, and expects one of "
                f"{', '.join(EXPECTED)}: {claim}"
            )
        if unknown := set(claim["models"]) - study["models"].keys():
            raise InputError(f"{path}: a claim is about unknown models {sorted(unknown)}")
    return study


def runs_of(study: Mapping[str, Any], out: Path, models: Sequence[str] | None) -> list[Run]:
    """Return the runs of all models, or of some; first seeds come first.

    Raises:
        InputError: A model that the study does not have.
    """
    unknown = set(models or ()) - set(study["models"])
    if unknown:
        raise InputError(
            f"unknown models {', '.join(sorted(unknown))}: there are {', '.join(study['models'])}"
        )
    steps = study["steps"]
    schedule = {"train_cfg.max_iters": steps, "param_scheduler.1.end": steps}
    found = []
    for name in models or study["models"]:
        model = study["models"][name]
        for seed in model["seeds"]:
            options = schedule | study.get("options", {}) | model.get("options", {})
            options |= {"randomness.seed": seed}
            folder = out / f"{name}-seed{seed}"
            found.append(Run(name, model["label"], model["config"], options, seed, folder))
    order = list(study["models"])
    return sorted(found, key=lambda run: (run.seed, order.index(run.model)))
