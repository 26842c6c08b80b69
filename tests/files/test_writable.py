from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from read_only import read_only

from asl_edge.errors import UserError
from asl_edge.files.writable import refuse_unwritable_file, refuse_unwritable_folder


def test_places_that_are_there_or_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.png").touch()
    monkeypatch.chdir(tmp_path)

    for path in ("there.png", "new.png", "a/b/new.png", str(tmp_path / "c" / "new.png")):
        refuse_unwritable_file(path, "--plot")
    for folder in (".", "a/b", str(tmp_path)):
        refuse_unwritable_folder(folder, "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"], "nothing is made"


def test_a_file_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "afile").touch()

    for below in ("x.png", "deeper/x.png"):
        with pytest.raises(UserError, match=rf"{re.escape(str(tmp_path))}/afile is not a folder.* with --plot"):
            refuse_unwritable_file(tmp_path / "afile" / below, "--plot")
    with pytest.raises(UserError, match="afile is not a folder"):
        refuse_unwritable_folder(tmp_path / "afile", "--out")


def test_a_folder_where_a_file_is_to_stand(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder. Name a file with --plot"):
        refuse_unwritable_file(tmp_path, "--plot")


def test_a_broken_link_is_no_folder(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("links need a right of their own there")
    (tmp_path / "link").symlink_to("nowhere")

    with pytest.raises(UserError, match="link is not a folder"):
        refuse_unwritable_file(tmp_path / "link" / "x.png", "--plot")


def test_a_read_only_disk_is_called_that(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    code = (
        "import sys; from asl_edge.files.writable import refuse_unwritable_file\n"
        "refuse_unwritable_file(sys.argv[1] + '/new/x.png', '--out')"
    )
    script = 'mount -t tmpfs -o ro none "$1" && exec "$2" -c "$3" "$1"'
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, code],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert f"the disk of {tmp_path} is read-only. Name another place with --out" in done.stderr


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with read_only(tmp_path / "ro") as folder:
        for refuse in (refuse_unwritable_file, refuse_unwritable_folder):
            with pytest.raises(UserError, match="permission denied: .*ro.* with --out"):
                refuse(folder / "new" / "x.png", "--out")
