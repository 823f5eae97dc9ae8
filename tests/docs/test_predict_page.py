"""The page on prediction: its Python lines run, and its options are those of the command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmproscale.checkpoints.weights_file import make_header, save_weights
from mmproscale.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "predict.md").read_text()
README = (ROOT / "README.md").read_text()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with the files that the page's lines name."""
    init_default_scope("mmdet")
    config = load_config("proscale_m2f_r18_shapes")
    model = MODELS.build(config.model)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "weights.pth")
    header = make_header(config, None)
    save_weights(tmp_path / "weights.safetensors", model.state_dict(), header)
    photo = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "street.jpg"), photo)
    return tmp_path


@pytest.mark.parametrize("page", [README, PAGE], ids=["README", "predict.md"])
def test_the_lines_run_and_end_in_a_picture(folder, page):
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert page != PAGE or "Result(street: 128x96" in ran.stdout
    assert cv2.imread(str(folder / "segments.png")).shape[0] >= 480
    written = {path.name for path in (folder / "out").iterdir()}
    assert written == {"street.jpg", "street.panoptic.png", "street.json"}


def test_every_option_of_the_command_exists():
    files = ("tools/predict.py", "mmproscale/cli/command_line.py")
    command = "".join((ROOT / file).read_text() for file in files)
    options = set(re.findall(r"`(--[\w-]+)", PAGE.split("## On the command line")[1]))
    options -= {"--config", "--json"}  # those of doctor
    assert options >= {"--batch", "--resume", "--shard", "--tile"}
    missing = {option for option in options if f'"{option}"' not in command}
    assert not missing
