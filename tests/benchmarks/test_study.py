"""A study of short trainings: its file, its queue, its page."""

import asyncio
import json
import subprocess
import sys

import pytest
import yaml

from mmproscale.errors import InputError

from .conftest import BENCHMARKS

sys.path.append(str(BENCHMARKS / "study"))

import figures
import runs
import study_page as page

STUDY = {
    "title": "Shapes",
    "steps": 2,
    "size": [64, 64],
    "options": {"train_cfg.val_interval": 2},
    "models": {
        "m2f": {"label": "M2F", "config": "m2f_r18_shapes", "seeds": [0, 1]},
        "pem": {
            "label": "PEM",
            "config": "pem_m2f_r18_shapes",
            "options": {"train_dataloader.batch_size": 1},
            "seeds": [0],
        },
    },
}
UNTIL_STOPPED = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("stopped")))
print("started", flush=True)
signal.pause()
"""
CLAIM = {"says": "-", "models": ["m2f", "pem"], "expected": "better", "paper": "+1 (Table 1)"}


@pytest.fixture
def study_script(load_script):
    return load_script("study/__main__")


def write_study(folder, **changes):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    return path


def test_first_seeds_come_first(tmp_path):
    found = runs.runs_of(runs.read_study(write_study(tmp_path)), tmp_path, None)
    assert [run.name for run in found] == ["m2f-seed0", "pem-seed0", "m2f-seed1"]
    assert [run.name for run in runs.runs_of(STUDY, tmp_path, ["pem"])] == ["pem-seed0"]


@pytest.mark.slow
def test_config_has_the_options_and_the_seed(tmp_path):
    run = runs.runs_of(STUDY, tmp_path, ["m2f"])[1]
    run.write_config()
    config = runs.load_config(run.config_file)
    assert config.train_cfg.max_iters == config.train_cfg.val_interval == 2
    assert config.param_scheduler[1].end == 2 and config.randomness.seed == 1
    run.write_config()  # as when a study continues
    with pytest.raises(InputError, match="other options"):
        runs.runs_of(STUDY | {"steps": 4}, tmp_path, ["m2f"])[1].write_config()


@pytest.mark.slow
def test_every_model_of_the_shipped_study_has_a_config():
    study = runs.read_study(BENCHMARKS / "study/camvid.yaml")
    for run in runs.runs_of(study, BENCHMARKS, None):
        config = runs.load_config(run.config, run.options)
        assert config.train_cfg.max_iters == 2500, run.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": None}, "is no study"),
        ({"models": {"m2f": {"label": "M2F"}}}, "model m2f.*'config'.*'seeds'"),
        ({"models": {"m2f": STUDY["models"]["m2f"] | {"sedes": 1}}}, "model m2f.*sedes"),
        ({"claims": [CLAIM | {"expected": "beter"}]}, "better, worse, as good.*beter"),
        ({"claims": [CLAIM | {"models": ["m2f", "pme"]}]}, "unknown models.*pme"),
    ],
)
def test_bad_files_are_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        runs.read_study(write_study(tmp_path, **changes))
    with pytest.raises(InputError, match="unknown models pme: there are m2f, pem"):
        runs.runs_of(STUDY, tmp_path, ["pme"])


def test_a_failed_run_stops_no_other(study_script, monkeypatch, tmp_path, capsys):
    async def tool(run, place, name, *arguments):
        tools.append((run.name, name, "--resume" in arguments))
        if run.model == "pem":
            raise subprocess.CalledProcessError(1, name)
        run.training.mkdir(exist_ok=True)
        (run.training / "last_checkpoint").write_text("iter_2.pth")

    tools = []
    monkeypatch.setattr(study_script, "tool", tool)
    monkeypatch.setattr(study_script, "collect", lambda *_: {"quality": {"PQ": 50.0}})
    found = runs.runs_of(STUDY, tmp_path, None)
    for run in found:
        run.write_config()
    (found[2].training).mkdir()
    (found[2].training / "last_checkpoint").write_text("iter_1.pth")
    failed = asyncio.run(study_script.train_all(found, [study_script.Place()]))
    assert len(failed) == 1 and failed[0].startswith("pem-seed0")
    assert tools[0] == ("m2f-seed0", "train", False) and ("m2f-seed1", "train", True) in tools
    assert [run.is_finished for run in found] == [True, False, True]
    assert "its log is" in capsys.readouterr().out


@pytest.mark.slow
def test_a_stop_reaches_the_run_and_starts_no_other(study_script, monkeypatch, tmp_path):
    async def stop_when_started():
        training = asyncio.create_task(study_script.train_all([first, second], [place]))
        while not (first.log_file.is_file() and "started" in first.log_file.read_text()):
            await asyncio.sleep(0.05)
        training.cancel()
        await training

    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/train.py").write_text(UNTIL_STOPPED)
    monkeypatch.setattr(study_script, "ROOT", tmp_path)
    first, second = runs.runs_of(STUDY, tmp_path, ["m2f"])
    first.folder.mkdir()
    place = study_script.Place()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_when_started())
    assert first.log_file.read_text() == "started\nstopped\n" and not second.folder.exists()


def test_runs_that_were_finished_elsewhere_are_not_repeated(study_script, tmp_path):
    first, second, other = runs.runs_of(STUDY, tmp_path / "runs", None)
    kept = [vars(run) | {"folder": ""} for run in (first, other)]
    kept[1]["options"] = kept[1]["options"] | {"train_cfg.max_iters": 3}
    (tmp_path / "study.json").write_text(json.dumps({"runs": kept}))
    study_script.restore_figures([first, second, other], tmp_path / "study.json")
    assert [run.is_finished for run in (first, second, other)] == [True, False, False]
    assert json.loads(first.figures_file.read_text())["options"] == first.options
    study_script.restore_figures([second], tmp_path / "none.json")


def test_too_many_cores_are_refused(study_script):
    with pytest.raises(InputError, match="--cores 9999"):
        study_script.places(study_script.argparse.Namespace(gpus=None, cores=9999))


def results():
    curve = {"loss": {"50": 9.0}, "PQ": {"1": 20.0, "2": 40.0}}
    run = {
        "model": "m2f",
        "label": "M2F",
        "seed": 0,
        "environment": {"machine": "a CPU", "torch": "2.13", "date": "2026-01-01"},
        "curve": curve,
        "seconds_per_step": 0.5,
        "quality": dict.fromkeys(page.QUALITIES, 40.0),
    }
    other = run | {"seed": 1, "quality": dict.fromkeys(page.QUALITIES, 43.0)}
    part = {"ms": {"median": 12.3}, "ratio": {"median": 1, "quartiles": [1, 1]}}
    candidate = {"name": "M2F", "parts": {"whole": part}}
    return {
        "title": "Shapes",
        "steps": 2,
        "runs": [run, other],
        "models": {"m2f": {"label": "M2F", "gmacs": 8.7, "pixel_decoder_gmacs": 1.9}},
        "claims": [CLAIM | {"says": "M2F is best"}, CLAIM | {"models": ["m2f", "m2f"]}],
        "missing": ["pem"],
        "latency": {
            "environment": run["environment"],
            "name": "64x64",
            "rounds": 9,
            "candidates": [candidate],
        },
    }


def test_page_has_means_and_spreads(tmp_path):
    page.write_page(json.loads(json.dumps(results())), tmp_path / "study.md")
    text = (tmp_path / "study.md").read_text()
    assert "| M2F | 2 | 41.5 ± 1.5 |" in text and "Not trained yet: pem." in text
    assert "up to 3.0 PQ" in text and "M2F is best" not in text  # PEM has no run
    assert "| - | +1 (Table 1) | +0.0 | no difference beyond the seeds' |" in text
    assert "| M2F | 12 | 1.00 | 1.00 to 1.00 |" in text
    assert len(list((tmp_path / "images").glob("study_*.png"))) == 2


@pytest.mark.parametrize(
    ("expected", "difference", "found"),
    [
        ("as good", 2.0, "better"),
        ("as good", -0.9, "no difference"),
        ("as good", -1.1, "does not hold"),
        ("better", 1.1, "holds"),
        ("better", -1.1, "does not hold"),
        ("worse", -1.1, "holds"),
        ("worse", 0.9, "no difference"),
    ],
)
def test_claims_are_held_against_the_seeds(expected, difference, found):
    assert page.verdict(expected, difference, 1.0).startswith(found)
    assert page.verdict(expected, difference, 0.0).startswith("not known")


@pytest.mark.slow
def test_latency_of_all_models_is_measured_in_turns(tmp_path):
    found = runs.runs_of(STUDY, tmp_path, None)[:2]
    for run in found:
        run.write_config()
        run.figures_file.write_text("{}")
    measured = figures.results_of(STUDY, found, rounds=1)
    assert [candidate["name"] for candidate in measured["latency"]["candidates"]] == ["M2F", "PEM"]
    assert measured["models"]["m2f"]["gmacs"] > measured["models"]["pem"]["gmacs"] > 0


def test_the_page_in_the_docs_is_of_the_results_here(tmp_path):
    results = json.loads((BENCHMARKS / "study/results.json").read_text())
    page.write_page(results, tmp_path / "study.md")
    assert (tmp_path / "study.md").read_text() == (BENCHMARKS.parent / "docs/study.md").read_text()
