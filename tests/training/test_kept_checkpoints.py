"""A run removes only files of its own folder, and only those that it wrote."""

import os

import pytest

from mmproscale.training.kept_checkpoints import drop_foreign_files, left_behind


@pytest.mark.parametrize(
    "path", ["/", "/etc", "best_a.pth", "run/../best_a.pth", "run/vis_data", 5]
)
def test_paths_out_of_the_folder_are_forgotten(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    info = dict(best_ckpt=path, last_ckpt="run/iter_2.pth", keep_ckpt_ids=[2], other="/etc")
    assert drop_foreign_files(info, "run") == [str(path)]
    assert info == dict(last_ckpt="run/iter_2.pth", keep_ckpt_ids=[2], other="/etc")


def test_links_of_the_folder_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    info = dict(best_ckpt=str(tmp_path / "link" / "best_a.pth"), best_ckpt_b=None)
    assert drop_foreign_files(info, tmp_path / "real") == []
    assert len(info) == 2


@pytest.mark.parametrize("last", ["elsewhere/iter_2.pth", None])
def test_numbers_of_another_folders_files_are_forgotten(last):
    info = dict(last_ckpt=last, keep_ckpt_ids=[1, 2], outdated_ckpts=["iter_1.pth"])
    info = {key: value for key, value in info.items() if value}
    drop_foreign_files(info, "run")
    assert info == {}


def test_addresses_are_compared_as_text():
    info = dict(best_ckpt="s3://a/b/best_c.pth", last_ckpt="s3://a/other/iter_1.pth")
    assert drop_foreign_files(info, "s3://a/b") == ["s3://a/other/iter_1.pth"]


def test_only_checkpoints_that_a_kill_left_are_named(tmp_path):
    names = [
        "iter_2.pth",
        "iter_4.pth",
        "best_a_iter_2.pth",
        "notes.txt",
        "iter_6.pth",
        "iter_9.pth",
    ]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / "iter_9.pth", (0, 0))
    outdated = ["iter_2.pth", "best_a_iter_2.pth", "notes.txt", "../iter_1.pth", "iter_3.pth"]
    info = dict(outdated_ckpts=outdated, best_ckpt=str(tmp_path / "best_a_iter_4.pth"))
    found = left_behind(tmp_path, "iter_{}.pth", info, tmp_path / "iter_4.pth")
    assert [path.name for path in found] == ["iter_2.pth", "best_a_iter_2.pth", "iter_6.pth"]
    info["best_ckpt"] = str(tmp_path / "best_a_iter_2.pth")
    found = left_behind(tmp_path, "iter_{}.pth", info, tmp_path / "iter_4.pth")
    assert "best_a_iter_2.pth" not in [path.name for path in found]
    assert left_behind(tmp_path, "same.pth", info, tmp_path / "iter_4.pth") == []
