"""Diagnosis of an installation."""

from mmproscale.cli import diagnosis
from mmproscale.cli.diagnosis import diagnose


def test_all_that_is_needed_works_here():
    checks = {check.name: check for check in diagnose()}
    failed = [check for check in checks.values() if check.works is False]
    assert not failed
    assert checks["attention 'torch' on cpu"].found == "works"
    assert checks["attention 'mmcv' on cpu"].works is None
    assert "proscale_m2f_r18_shapes predicts" in checks["a small model"].found


def test_an_operator_that_computes_wrong_values_fails(monkeypatch):
    right = diagnosis.multi_scale_deformable_attention

    def wrong(*arguments, backend):
        return right(*arguments, backend=backend) + (backend == "torch")

    monkeypatch.setattr(diagnosis, "multi_scale_deformable_attention", wrong)
    failed = [check.name for check in diagnosis._attention("cpu") if check.works is False]
    assert failed == ["attention 'torch' on cpu"]


def test_missing_data_has_a_remedy(configs):
    checks = list(diagnosis._data(str(configs / "proscale_m2f_r50_coco.py")))
    assert len(checks) >= 4 and not any(check.works for check in checks)
    assert all("data_root" in check.remedy for check in checks)


def test_a_model_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(diagnosis, "SMALL_CONFIG", "no_such_config")
    check = diagnosis._small_model()
    assert check.works is False and "no_such_config" in check.found and "--json" in check.remedy
