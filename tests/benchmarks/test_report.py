"""Results are values; pages are rendered from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.harness.report import RESULTS, accuracy_cell, markdown_table, page, read_result, write_result


def test_a_table_has_a_row_of_alignment_and_a_line_per_row() -> None:
    lines = markdown_table(["way", "ms"], [["ours", f"{1.5:.2f}"], ["theirs", 3]])
    assert lines == ["| way | ms |", "|---|---:|", "| ours | 1.50 |", "| theirs | 3 |"]


def test_columns_are_aligned_as_asked() -> None:
    assert markdown_table(["a", "b", "c"], [], "lrl")[1] == "|---|---:|---|"


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    (_, _, row) = markdown_table(["a", "b"], [["x|y", "z"]])
    assert re.split(r"(?<!\\)\|", row)[1:-1] == [" x\\|y ", " z "]


@pytest.mark.parametrize(("rows", "align"), [([["one"]], None), ([["one", "two", "three"]], None), ([], "lrr")])
def test_another_number_of_cells_is_an_error(rows: list[list[str]], align: str | None) -> None:
    with pytest.raises(ValueError, match="2 cells"):
        markdown_table(["a", "b"], rows, align)


def test_a_cell_of_accuracy_has_its_wilson_interval() -> None:
    assert accuracy_cell(482, 560) == "86.1% (83.0%-88.7%, n=560)"


def test_values_and_page_are_written_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page("# Title", "", "Grüße")
    write_result("speed/name", {"samples": [1.25, None]}, text, folder=tmp_path)
    assert read_result("speed/name", folder=tmp_path) == {"samples": [1.25, None]}
    assert (tmp_path / "speed" / "name.md").read_text(encoding="utf-8") == "# Title\n\nGrüße\n"
    assert capsys.readouterr().out.strip() == text.strip()
    assert sorted(path.name for path in (tmp_path / "speed").iterdir()) == ["name.json", "name.md"]


def test_committed_pages_are_linked_from_the_readme_and_links_lead_to_files() -> None:
    readme = RESULTS.parent / "README.md"
    linked = {RESULTS.parent / link for link in re.findall(r"\]\((results/[^)]+)\)", readme.read_text())}
    assert linked == set(RESULTS.rglob("*.md"))
