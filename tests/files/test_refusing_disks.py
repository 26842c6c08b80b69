"""Disks that lack something: nothing is lost there, so nothing fails; and after a failure no finished file stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from traced import refusing

from asl_edge.files import atomic
from asl_edge.files.atomic_folder import whole_folder

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

WRITE = """
import sys
from pathlib import Path
from asl_edge.files import atomic
from asl_edge.files.atomic_folder import whole_folder

place = Path(sys.argv[1])
atomic.write_text(place / "file.txt", "new")
for content in ("first", "second"):
    with whole_folder(place / "out", last="manifest") as folder:
        (folder / "manifest").write_text(content)
"""


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("/chmod", "EPERM"),  # CIFS, exFAT
        ("/chmod", "EOPNOTSUPP"),
        ("fsync", "EINVAL"),  # shared folders of VirtualBox, some network disks
        ("fsync", "ENOSYS"),
        ("flock", "ENOLCK"),  # NFS without locks
        ("/^link", "EPERM"),  # exFAT
    ],
)
def test_nothing_fails_where_nothing_is_lost(call, error, tmp_path):
    done = refusing(call, error, [sys.executable, "-c", WRITE, str(tmp_path)], ENV)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt", "out"]
    assert (tmp_path / "file.txt").read_text() == "new"
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [("manifest", "second")]


@pytest.mark.parametrize(("call", "error"), [("fsync", "EIO"), ("fsync", "ENOSPC"), ("/^rename", "EIO")])
def test_after_a_failure_there_is_what_was_there_before(call, error, tmp_path):
    (tmp_path / "file.txt").write_text("old")
    done = refusing(call, error, [sys.executable, "-c", WRITE, str(tmp_path)], ENV)
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "old"


def test_checkpoints_are_copied_where_there_are_no_hard_links(tmp_path):
    code = (
        "import sys; from pathlib import Path; from asl_edge.training.runs.checkpoints import link_or_copy\n"
        "link_or_copy(Path(sys.argv[1], 'epoch.keras'), Path(sys.argv[1], 'best.keras'))"
    )
    (tmp_path / "epoch.keras").write_text("weights")
    done = refusing("/^link", "EPERM", [sys.executable, "-c", code, str(tmp_path)], ENV)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "best.keras").read_text() == "weights"
    assert not (tmp_path / "best.keras").samefile(tmp_path / "epoch.keras")


@pytest.mark.parametrize("name", ["n" * 251 + ".txt", "ä" * 125 + ".txt", "a." + "s" * 253, "手" * 85])
def test_the_longest_names(name, tmp_path):
    assert len(os.fsencode(name)) in (254, 255)
    atomic.write_text(tmp_path / name, "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).unlink()
    for content in ("first", "second"):
        with whole_folder(tmp_path / name) as folder:
            (folder / "file").write_text(content)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "file").read_text() == "second"


def test_what_a_killed_process_left_of_the_longest_name_goes(tmp_path):
    out = tmp_path / ("n" * 255)
    code = (
        "import os, sys; from pathlib import Path; from asl_edge.files.atomic_folder import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(out)], env=ENV, check=False).returncode == 9
    assert [path.name[:3] for path in tmp_path.iterdir()] == [".nn"]
    with whole_folder(out):
        pass
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_devices_are_written_to_and_not_replaced(tmp_path):
    code = (
        "import sys; from asl_edge.files import atomic; from asl_edge.files.writable import refuse_unwritable_file\n"
        "refuse_unwritable_file(sys.argv[1], '--out'); atomic.write_text(sys.argv[1], 'told')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "/dev/stdout"], env=ENV, capture_output=True, text=True, check=True
    )
    assert done.stdout == "told"
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", code, "/dev/stdout"], env=ENV, stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "told"
    atomic.write_text(os.devnull, "told")
    assert Path(os.devnull).is_char_device()
    assert Path("/dev/stdout").is_symlink()
