"""The README is run, not believed: its command sequences as written, its Python, and every command it must name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from documented_commands import faults

from asl_edge.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "export").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "requirements")),
]


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


def test_the_main_job_runs_as_the_readme_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in marked_block("main job"):
        assert run(command) == 0, f"{shlex.join(command)}\n{capsys.readouterr().err}"
    assert (tmp_path / "model.onnx").is_file()
    assert (tmp_path / "model.parity.json").is_file()

    # The README's Python.
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


def test_the_first_screen_stays_short() -> None:
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_only_commands_and_options_that_exist(page: Path) -> None:
    assert faults(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`asl-edge predictt x`", "there is no command `asl-edge predictt x`"),
        ("`.venv/bin/asl-edge nope`", "there is no command `asl-edge nope`"),
        ("`asl-edge data prepar x`", "there is no command `asl-edge data prepar`"),
        ("`asl-edge model-card --nonsense`", "`asl-edge model-card` has no option --nonsense"),
        ("`asl-edge runs compare a b --epochs 3`", "`asl-edge runs compare` has no option --epochs"),
        ("`asl-edge runs --plot x.png`", "`asl-edge runs` has no option --plot"),  # an option of `runs compare`
        ("```bash\nasl-edge train a \\\n  --nope 3  # --ignored\n```", "`asl-edge train` has no option --nope"),
        ("`asl-edge --nope`", "`asl-edge` has no option --nope"),
        ("asl-edge is prose, `asl-edge` is a name, `asl-edge data` a group, `asl-edge --version` an option", None),
        ("`pip install 'asl-edge[cpu]'` names no command", None),
    ],
)
def test_the_check_of_commands_finds_what_does_not_exist(text: str, fault: str | None) -> None:
    assert faults(text) == ([] if fault is None else [fault])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
