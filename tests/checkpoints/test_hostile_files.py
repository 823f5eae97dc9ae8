"""Hostile checkpoints and derived files are refused by name; no file of other folders changes.

All of them with MMPROSCALE_FULL_TESTS=1; otherwise a tenth.
"""

import copy
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import hostile_checkpoints as hostile
from helpers.hostile_tables import write_hostile
from helpers.toy_training import ToyModel, toy_runner
from helpers.tried_files import Tally, outcome, tree_of
from mmengine.model import BaseModule

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.early_exit.derived_file import read_table

pytestmark = pytest.mark.slow
SHARE = 1 if os.environ.get("MMPROSCALE_FULL_TESTS") else 0.1


class Backbone(BaseModule):
    """A layer whose weights come from a file."""

    def __init__(self, file: Path) -> None:
        super().__init__({"type": "Pretrained", "checkpoint": str(file)})
        self.linear = torch.nn.Linear(2, 1)


def runner_of(work_dir: Path, more_hooks: tuple[str, ...] = (), **options):
    """A run with a fused AdamW, EMA and the hooks of a real training.

    ResumeHook is left out where a schedule may be wrong: it would take the config's instead.
    """
    options.setdefault("max_iters", 6)
    names = ("mmproscale.CheckpointMatchHook", *more_hooks, "EMAHook")
    return toy_runner(
        work_dir,
        optim_wrapper={"type": "OptimWrapper", "optimizer": dict(type="AdamW", lr=1, fused=True)},
        custom_hooks=[{"type": name} for name in names],
        checkpoint={
            "type": "mmproscale.AtomicCheckpointHook",
            "by_epoch": False,
            "interval": 2,
            "max_keep_ckpts": 1,
            "save_best": "acc",
        },
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A work dir with a checkpoint of a real training, next to a guarded folder."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "guard" / "inner").mkdir(parents=True)
    for name in ("iter_2.pth", "best_acc_iter_2.pth", "inner/a.txt"):
        (folder / "guard" / name).write_text("mine")
    runner_of(folder / "run", max_iters=4).train()
    return folder


def uses(file: Path, work_dir: Path) -> dict[str, Callable[[], object]]:
    resumed: dict = dict(resume=True, load_from=str(file))
    exactly = resumed | dict(more_hooks=("mmproscale.ResumeHook",))
    return {
        "predict": lambda: load_model_weights(ToyModel(), file),
        "init_cfg": lambda: Backbone(file).init_weights(),
        "load_from": lambda: runner_of(work_dir, load_from=str(file)).train(),
        "resume": lambda: runner_of(work_dir, **resumed).train(),
        "resume exactly": lambda: runner_of(work_dir, **exactly).train(),
    }


def hostile_checkpoint(seed: int, folder: Path, file: Path) -> str:
    """Write a hostile file; return the use that it is wrong for."""
    rng, source = random.Random(seed), folder / "run" / "iter_4.pth"
    kind = rng.choice(["weights"] * 3 + ["state"] * 4 + ["raw", "code"])
    if kind == "raw":
        rng.choice(hostile.RAW)(rng, source, file)
        return rng.choice(["predict", "init_cfg", "load_from", "resume"])
    content = copy.deepcopy(load_checkpoint(source))
    if kind == "code":
        hostile.code(rng, content, folder / "canary")
        result, use = None, rng.choice(["predict", "init_cfg", "load_from", "resume"])
    else:
        change = rng.choice(hostile.WEIGHTS if kind == "weights" else hostile.STATE)
        result, use = change(rng, content), "resume"
        if change is hostile.wrong_random_state:
            use = "resume exactly"
        if kind == "weights" and change is not hostile.wrong_average:
            use = rng.choice(["predict", "resume"])
    torch.save(content if result is None else result, file)
    return use


def test_hostile_files(folder, tmp_path, monkeypatch, capsys):
    guarded, tally = tree_of(folder / "guard"), Tally()
    monkeypatch.chdir(tmp_path)
    for seed in range(round(500 * SHARE)):
        file = tmp_path / "hostile.pth"
        use = hostile_checkpoint(seed, folder, file)
        text = outcome(uses(file, folder / "work")[use], file)
        tally.add(f"checkpoint {seed}, {use}", text)
    for seed in range(round(50 * SHARE)):
        file = tmp_path / "hostile.safetensors"
        hostile.broken_safetensors(random.Random(seed), file)
        tally.add(f"safetensors {seed}", outcome(uses(file, folder / "work")["predict"], file))
    for seed in range(round(150 * SHARE)):
        file = tmp_path / "hostile.parquet"
        name = write_hostile(random.Random(seed), file)
        tally.add(f"derived {seed}, {name}", outcome(partial(read_table, file), file))
    canaries = int((folder / "canary").exists())
    with capsys.disabled():
        print(
            f"\nhostile checkpoints and derived files: {tally.tried} tried, {tally.refused} "
            f"refused naming the path, {canaries} canaries, {tally.hangs} hangs (10 s each), "
            f"{tally.tracebacks} tracebacks"
        )
    assert not tally.wrong, "\n".join(tally.wrong)
    assert not canaries
    assert tree_of(folder / "guard") == guarded


def test_the_real_files_are_used(folder, tmp_path):
    file = folder / "run" / "iter_4.pth"
    for name, use in uses(file, tmp_path / "work").items():
        assert outcome(use, file) == "used", name
