"""tools/analyze.py: figures of configs and of tests, and one line for what is wrong."""

import pytest


def test_compute_of_two_models(run_tool, tmp_path):
    out = tmp_path / "compute.svg"
    configs = "m2f_r18_shapes", "proscale_m2f_r18_shapes"
    status, output, error = run_tool("analyze.py", "compute", *configs, "--out", out)
    assert status == 0, error
    assert f"written to {out}" in output and "<svg" in out.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["compute"], "needs CONFIG..."),
        (["frontier"], "needs METRICS.json..."),
        (["frontier", "nowhere.json"], "nowhere.json"),
        (["gates", "m2f_r18_shapes"], "needs [CONFIG] CHECKPOINT --images SOURCE"),
        (["confusion"], "give [CONFIG] CHECKPOINT, or --predictions"),
    ],
)
def test_wrong_inputs_are_one_line(run_tool, options, message):
    status, _, error = run_tool("analyze.py", *options)
    assert status and message in error and len(error.strip().splitlines()) == 1
