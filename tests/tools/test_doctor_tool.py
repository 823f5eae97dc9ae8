"""tools/doctor.py: lines for people, JSON for reports, and its exit status."""

import json


def test_json_has_every_check(run_tool):
    status, output, _ = run_tool("doctor.py", "--json")
    checks = json.loads(output)
    assert status == 0 and {"mmproscale", "stack", "configs"} <= {check["name"] for check in checks}


def test_missing_data_fails_with_a_remedy(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, output, error = run_tool("doctor.py", "--config", "proscale_m2f_r18_shapes")
    assert status == 1 and "FAILS  train data:" in output and "data_root=DIR" in output
    assert "checks failed" in error
    (tmp_path / "mine/train").mkdir(parents=True)
    options = "--config", "proscale_m2f_r18_shapes", "--cfg-options", "data_root=mine"
    assert "ok     train data: mine/train/\n" in run_tool("doctor.py", *options)[1]


def test_a_key_that_nothing_reads_is_refused(run_tool):
    options = ("--cfg-options", "model.panoptic_head.num_querys=9")
    status, _, error = run_tool("doctor.py", "--config", "proscale_m2f_r18_shapes", *options)
    assert status == 2 and "did you mean num_queries?" in error
