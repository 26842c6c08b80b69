"""The README is run, not believed: its command sequences as written, its Python, and every command it must name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from asl_edge.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "export").rglob("*.md"))]


def marked_block(name: str) -> list[list[str]]:
    """The commands of the code block that follows `<!-- tested: name -->`."""
    match = re.search(rf"<!-- tested: {name} -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert match, f"README.md has no block marked `tested: {name}`"
    return [shlex.split(line, comments=True) for line in match[1].splitlines() if line.strip()]


def run(words: list[str]) -> int:
    assert words[0] == "asl-edge"
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    return int(ended.value.code or 0)


def test_the_main_job_and_the_judging_run_as_the_readme_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in marked_block("main job") + marked_block("judging"):
        assert run(command) == 0, f"{shlex.join(command)}\n{capsys.readouterr().err}"
    assert (tmp_path / "model.onnx").is_file()
    assert (tmp_path / "model.parity.json").is_file()

    # The README's Python, on the model that its commands have just made.
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    (tmp_path / "hand.jpg").write_bytes((tmp_path / "hands" / "A" / "A1.jpg").read_bytes())
    (tmp_path / "other.jpg").write_bytes((tmp_path / "hands" / "B" / "B1.jpg").read_bytes())
    capsys.readouterr()
    exec(compile(code[1], "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["hand.jpg", "other.jpg"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"`asl-edge {command}`" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_only_commands_and_options_that_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"asl-edge ((?:data )?[a-z]+)\b([^`\n|]*)", text)
    for command, rest in named:
        if command.split()[0] not in {name.split()[0] for name in COMMANDS}:
            continue  # prose: "asl-edge is ..."
        assert command in COMMANDS, f"{page.name} names `asl-edge {command}`"
        assert run(["asl-edge", *command.split(), "--help"]) == 0
        help_text = capsys.readouterr().out
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest.split("#")[0]):
            assert option in help_text, f"{page.name} names {option} of `asl-edge {command}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
