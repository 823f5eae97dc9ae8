"""The script for a GPU: its steps, the time that it keeps to, and its dry run."""

import sys

import pytest


@pytest.fixture
def script(load_script):
    return load_script("gpu")


def test_results_have_the_name_of_the_hardware(script):
    parity, *steps = script.steps_of("NVIDIA A100-SXM4 (80 GB)")
    assert parity[:2] == ["-m", "pytest"]
    names = [step[-1].rpartition("/")[2] for step in steps]
    assert "attention_nvidia-a100-sxm4-80-gb_bf16.json" in names
    assert "peers_nvidia-a100-sxm4-80-gb.json" in names
    assert len(set(names)) == len(names)
    assert all(step[1:3] == ["--device", "cuda"] for step in steps)


def test_each_step_has_a_dry_run(script, tmp_path):
    wet, dry = script.steps_of("A GPU"), script.dry_steps(tmp_path)
    assert [step[0] for step in wet] == [step[0] for step in dry]
    for step in dry[1:]:
        assert "cuda" not in step and str(tmp_path) in step[-1]


def test_without_a_gpu_it_says_so(run_script, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, _, errors = run_script("gpu")
    assert status == 2 and "finds no GPU here: --dry-run" in errors


def test_steps_without_a_result_are_named(run_script, script, monkeypatch):
    steps = [["-c", "pass"], ["-c", "raise SystemExit(3)"]]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert script.run(steps[0], 60) and not script.run(steps[1], 60)
    assert not script.run(["-c", "import time; time.sleep(60)"], 0.5)
    assert not script.run(steps[0], 0)
    monkeypatch.setattr(script, "dry_steps", lambda folder: steps)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--dry-run"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
