"""`asl-edge benchmark`: how fast models are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import HARDWARE, AsJson, Strict
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.bench.report import BenchmarkReport
    from asl_edge.bench.scenarios import Effort, Variant


_SAMPLING = "Sampling"


def benchmark(
    more_models: Annotated[list[Path] | None, typer.Argument(metavar="[MODEL...]", help="The same as --model.")] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="FILE",
            help="A model to measure. Repeatable.",
            show_default="the pretrained model",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="Labelled images: measure accuracy as well.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="OLD.json", help="Report changes beyond the noise since an earlier --json."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Plot every sample to this file (needs the extra `report`)."),
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of text.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table instead of text.")] = False,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            "--provider",
            "-p",
            metavar="NAME,...",
            help="auto, cpu, cuda, ...; all: every one that is installed.",
            show_default="auto",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    batch_size: Annotated[str, typer.Option("--batch-size", metavar="N,...", help="Images per run.")] = "1",
    threads: Annotated[
        str, typer.Option("--threads", metavar="N,...", help="Threads of the network.", rich_help_panel=HARDWARE)
    ] = "all",
    strict: Strict = False,
    rounds: Annotated[
        int,
        typer.Option("--rounds", metavar="N", min=1, help="Turns of each variant.", rich_help_panel=_SAMPLING),
    ] = 3,
    runs: Annotated[
        int, typer.Option("--runs", metavar="N", min=1, help="Timed runs per turn.", rich_help_panel=_SAMPLING)
    ] = 50,
    warmup: Annotated[
        int, typer.Option("--warmup", metavar="N", min=0, help="Untimed runs per turn.", rich_help_panel=_SAMPLING)
    ] = 5,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            metavar="NAME,...",
            help="Also run MLPerf's single-stream or offline.",
            rich_help_panel=_SAMPLING,
        ),
    ] = None,
    scenario_seconds: Annotated[
        float,
        typer.Option(
            "--scenario-seconds",
            metavar="S",
            help="Duration of each scenario; MLPerf requires 600.",
            rich_help_panel=_SAMPLING,
        ),
    ] = 10.0,
) -> None:
    """Measure latency, throughput, memory and energy on this machine.

    Every variant (model x provider x batch size x threads) runs in a process of its own, and the variants take turns.
    Energy is measured where the machine has a meter. Exit code 1 when a variant could not be measured, or became
    slower than in --compare.

    Examples:
        asl-edge benchmark
        asl-edge benchmark model.onnx model-int8.onnx --threads 1,all
        asl-edge benchmark model.onnx --json > today.json
        asl-edge benchmark model.onnx --compare today.json
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
            raise UserError(f"{option} works with the table, --json and --markdown. Leave --csv out.")
    before = None if compare is None else comparison.read_report(compare)
    if plot is not None:
        require_plottable(plot)
    chosen = variants(
        [resolve(path) for path in (*(model or []), *(more_models or []))] or [pretrained_model()],
        _providers(provider or ["auto"]),
        [_number(word, "--batch-size") for word in batch_size.split(",")],
        [None if word.strip().lower() == "all" else _number(word, "--threads") for word in threads.split(",")],
    )
    report = _measured(chosen, Effort(rounds, runs, warmup), strict, data, scenarios(scenario or []), scenario_seconds)
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
    if plot is not None:  # last: if it fails, figures that took minutes to measure are shown already
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
    """Measure speed, then scenarios and accuracy if they were asked for."""
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
        files, description = write_images(Path(folder), data)
        task = progress.add_task("Measuring", total=len(chosen) * effort.rounds, rate="")
        report = measure(
            chosen, effort, strict=strict, files=files, images=description, on_turn=lambda *_: progress.advance(task)
        )
        if names:
            ways = {(one.model, one.provider, one.threads) for one in chosen}
            task = progress.add_task("MLPerf's scenarios", total=len(ways) * len(names), rate="")
            results = run_scenarios(
                names, chosen, scenario_seconds, strict=strict, on_turn=lambda: progress.advance(task)
            )
            report = replace(report, scenarios=results)
        if data is not None:
            task = progress.add_task("Classifying labelled images", total=None, rate="")
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
        raise UserError(f"{option} takes whole numbers separated by commas. Received: {word!r}") from None


def _print_table(report: BenchmarkReport) -> None:
    from asl_edge.cli.output import console

    # Only a terminal has a width; a file or a pipe gets every column.
    console.out.print(report.to_text(console.out.width if console.out.is_terminal else None), markup=False)
    console.err.print(report.machine_line(), markup=False, style="dim")
