"""`asl-edge benchmark`: how fast models are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.bench.report import BenchmarkReport
    from asl_edge.bench.scenarios import Effort, Variant


def benchmark(
    more_models: list[Path] = typer.Argument(None, metavar="[MODEL...]", help="Further .onnx files to compare."),
    model: list[Path] = typer.Option(
        [], "--model", "-m", help="An .onnx file that `asl-edge export` made.", show_default="the model in the box"
    ),
    provider: list[str] = typer.Option(
        ["auto"], "--provider", help="auto, cpu, cuda, ...; several: cpu,cuda; all: every one this ONNX Runtime has."
    ),
    batch_size: str = typer.Option("1", "--batch-size", help="Images a run; several: 1,8,32."),
    threads: str = typer.Option("all", "--threads", help="Threads of the network; several: 1,2,all."),
    rounds: int = typer.Option(3, "--rounds", min=1, help="How often the variants take turns."),
    runs: int = typer.Option(50, "--runs", min=1, help="Timed runs a round."),
    warmup: int = typer.Option(5, "--warmup", min=0, help="Runs a round before the timed ones."),
    strict: bool = typer.Option(False, "--strict", help="Fail a variant that would run on another provider."),
    as_json: bool = typer.Option(False, "--json", help="JSON with every sample instead of the table."),
    as_csv: bool = typer.Option(False, "--csv", help="CSV instead of the table."),
    as_markdown: bool = typer.Option(False, "--markdown", help="A Markdown table instead of the table."),
    data: Path = typer.Option(
        None, "--data", help="Labelled images (a folder, zip or prepared arrays): accuracy beside speed."
    ),
    scenario: list[str] = typer.Option(
        [], "--scenario", metavar="NAME", help="Also run MLPerf's single-stream or offline; several: a,b."
    ),
    scenario_seconds: float = typer.Option(
        10.0, "--scenario-seconds", help="How long each scenario runs; MLPerf asks for 600."
    ),
    compare: Path = typer.Option(
        None, "--compare", metavar="OLD.json", help="Say what changed since this earlier --json, beyond the noise."
    ),
    plot: Path = typer.Option(None, "--plot", help="Draw every sample to this file (needs the extra `report`)."),
) -> None:
    """Measure latency, images per second, loading and memory of models on this machine, and energy where it tells.

    Every variant (model x provider x batch size x threads) runs in a process of its own, in turns. Exit code 1 when a
    variant could not be measured, or became slower than in --compare.
    """
    from asl_edge.bench import comparison
    from asl_edge.bench.mlperf import scenarios
    from asl_edge.bench.scenarios import Effort, variants
    from asl_edge.cli.output import console
    from asl_edge.evaluation.latency_plot import plot as draw
    from asl_edge.evaluation.latency_plot import require_plottable
    from asl_edge.runtime.pretrained import pretrained_model, resolve

    if as_json + as_csv + as_markdown > 1:
        raise UserError("--json, --csv and --markdown exclude each other. Choose one.")
    for option, given in (("--compare", compare is not None), ("--scenario", bool(scenario))):
        if given and as_csv:
            raise UserError(f"{option} goes with the table, --json and --markdown. Leave --csv out.")
    before = None if compare is None else comparison.read_report(compare)
    if plot is not None:
        require_plottable(plot)
    chosen = variants(
        [resolve(path) for path in (*model, *(more_models or []))] or [pretrained_model()],
        _providers(provider),
        [_number(word, "--batch-size") for word in batch_size.split(",")],
        [None if word.strip().lower() == "all" else _number(word, "--threads") for word in threads.split(",")],
    )
    report = _measured(chosen, Effort(rounds, runs, warmup), strict, data, scenarios(scenario), scenario_seconds)
    changes = None if before is None else comparison.compare(report, before, str(compare))
    if as_json:
        more = {} if changes is None else {"comparison": changes.to_dict()}
        console.print_json(report.to_dict() | more)
    elif as_csv:
        console.print_text(report.to_csv())
    elif as_markdown:
        console.print_text(report.to_markdown() + ("" if changes is None else "\n" + changes.to_markdown()))
    else:
        _print_table(report)
        if changes is not None:
            console.out.print("\n".join(["", *changes.lines()]), markup=False)
    for text in report.notes():
        console.warn(text)
    if plot is not None:  # last, so that figures which took minutes are seen whatever becomes of it
        draw(report, plot)
        console.err.print(f"Plot: {plot}", markup=False)
    for note in [] if changes is None else changes.notes:
        console.warn(note)
    if not report.complete or (changes is not None and changes.slower):
        raise typer.Exit(1)


def _measured(
    chosen: list[Variant],
    effort: Effort,
    strict: bool,
    data: Path | None,
    names: list[str],
    scenario_seconds: float,
) -> BenchmarkReport:
    """Measure speed, then what was asked for besides."""
    import tempfile
    from dataclasses import replace

    from asl_edge.bench.runner import benchmark as measure
    from asl_edge.bench.runner import run_scenarios
    from asl_edge.cli.output import console
    from asl_edge.evaluation.benchmark_images import refuse_unusable, with_accuracy, write_images

    if names and not scenario_seconds > 0:
        raise UserError(f"--scenario-seconds must be above 0. Received: {scenario_seconds:g}")
    if data is not None:
        refuse_unusable((one.model for one in chosen), data)
    with tempfile.TemporaryDirectory() as folder, console.progress_bar() as progress:
        files, what = write_images(Path(folder), data)
        task = progress.add_task("Measuring", total=len(chosen) * effort.rounds, rate="")
        report = measure(
            chosen, effort, strict=strict, files=files, images=what, on_turn=lambda *_: progress.advance(task)
        )
        if names:
            ways = {(one.model, one.provider, one.threads) for one in chosen}
            task = progress.add_task("MLPerf's scenarios", total=len(ways) * len(names), rate="")
            found = run_scenarios(
                names, chosen, scenario_seconds, strict=strict, on_turn=lambda: progress.advance(task)
            )
            report = replace(report, scenarios=found)
        if data is not None:
            task = progress.add_task("Reading labelled images", total=None, rate="")
            report = with_accuracy(
                report, data, on_progress=lambda done, count: progress.update(task, completed=done, total=count)
            )
    return report


def _providers(words: list[str]) -> list[str]:
    from asl_edge.runtime.engine import providers

    names = [name.strip() for word in words for name in word.split(",") if name.strip()]
    if "all" in names:
        return providers.offered()
    return [providers.our_name_or_auto(name) for name in names]


def _number(word: str, option: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"{option} takes whole numbers with commas between them. Received: {word!r}") from None


def _print_table(report: BenchmarkReport) -> None:
    from asl_edge.cli.output import console

    # Only a terminal has a width; a file or a pipe gets every column.
    console.out.print(report.to_text(console.out.width if console.out.is_terminal else None), markup=False)
    console.err.print(report.machine_line(), markup=False, style="dim")
