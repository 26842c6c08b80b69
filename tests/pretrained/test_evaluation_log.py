"""The log of evaluations is data; its pages are rendered from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness.report import read_result
from pretrained.evaluation_log import LOG, Entry, Figure, append, latest, markdown, read_log
from pretrained.experiments import ablations, leave_one_source_out


def test_the_committed_page_is_the_rendering_of_the_log() -> None:
    assert LOG.with_suffix(".md").read_text(encoding="utf-8") == markdown(read_log())


def test_the_committed_ablations_are_the_rendering_of_the_log() -> None:
    assert ablations.RESULT.read_text(encoding="utf-8") == ablations.markdown(read_log())


def test_the_committed_sources_left_out_are_the_rendering_of_their_values() -> None:
    folder = leave_one_source_out.RESULTS
    values = read_result("leave-one-source-out", folder=folder)
    committed = (folder / "leave-one-source-out.md").read_text(encoding="utf-8")
    assert committed == leave_one_source_out.markdown(values)


def test_a_table_of_ablations_takes_its_figures_from_the_entry_and_not_from_text() -> None:
    # Its figures were once read back out of the log's Markdown, where a bar in a description moved them by a column.
    figures = {"dev-wall": Figure(0.801), "kaggle, held out": Figure(0.702)}
    misleading = "from a | b | ablation-base |"
    page = ablations.markdown([Entry("2026-01-01 00:00", "ablation-base", misleading, "c | d", figures)])
    (row,) = (line for line in page.splitlines() if line.startswith("| the recipe"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == ["80.1%", "", "", "70.2%", ""]


def test_the_last_evaluation_of_a_name_counts() -> None:
    entries = [Entry("1", "ablation-base", figures={"dev-wall": Figure(share)}) for share in (0.5, 0.75)]
    entry = latest(entries, "ablation-base")
    assert entry is not None
    assert entry.figures["dev-wall"].accuracy == 0.75
    assert latest(entries, "ablation-mixup") is None
    assert "75.0%" in ablations.markdown(entries)
    assert "50.0%" not in ablations.markdown(entries)


def test_an_entry_is_appended_and_read_again(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    first = Entry("2026-01-01 00:00", "one", "alexnet, 5 epochs", "photographs", {"dev-wall": Figure.counted(482, 560)})
    remark = Entry("2026-01-02 00:00", note="Brightened images: no better.")
    append(log, first)
    append(log, remark)
    assert read_log(log) == [first, remark]
    assert len(log.read_text().splitlines()) == 2
    page = (tmp_path / "log.md").read_text()
    assert "| `one` | alexnet, 5 epochs; photographs |" in page
    assert "86.1% (83.0%-88.7%, n=560)" in page
    assert "2026-01-02 00:00: Brightened images: no better." in page


def test_mirrored_accuracy_follows_the_figure() -> None:
    assert Figure.counted(1, 4, 0.5).describe() == "25.0% (4.6%-69.9%, n=4); mirrored 50.0%"


@pytest.mark.parametrize(
    "line",
    ['{"date": "d", "name": "n", "figures": {"dev-cellar": {"accuracy": 1.0}}}', "{", '{"date": "d", "colour": 1}'],
)
def test_a_line_that_is_not_an_entry_is_named(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(Entry("d", "n").to_json() + "\n" + line + "\n")
    with pytest.raises(ValueError, match="line 2"):
        read_log(log)
