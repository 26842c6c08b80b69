"""`asl-edge doctor`: whether predicting works on this machine, and how to fix what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from asl_edge.cli.options import AsJson

if TYPE_CHECKING:
    from asl_edge.runtime.diagnostics.doctor import Diagnosis

_PURPOSES = {"device": "to predict", "workshop": "to train"}
"""What a row of packages is for, by its tier."""


def doctor(as_json: AsJson = False) -> None:
    """Check this machine and say how to fix what is wrong.

    Checks Python, packages, execution providers, GPU, cores and memory. Exit code 1 when `predict` cannot work.
    """
    from asl_edge.cli.output import console
    from asl_edge.runtime.diagnostics.doctor import examine

    diagnosis = examine()
    if as_json:
        console.print_json(diagnosis.to_dict())
    else:
        _print(diagnosis)
    if not diagnosis.can_predict:
        raise typer.Exit(1)


def _print(diagnosis: Diagnosis) -> None:
    from rich.table import Table
    from rich.text import Text

    from asl_edge.cli.output.console import out

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    machine, free = diagnosis.machine, diagnosis.available_memory_bytes
    table.add_row("asl-edge", diagnosis.asl_edge)
    table.add_row("Python", Text(f"{diagnosis.python}  {diagnosis.executable}"))
    table.add_row("system", f"{machine['system']}, {machine['architecture']}")
    table.add_row("processor", f"{machine['processor']}, {machine['cores']} cores for this process")
    if (has := diagnosis.instructions) is not None:
        table.add_row("instructions", ", ".join(has.sets) or "none of those that matter here")
        table.add_row("", Text(f"{has.precision}.\n{has.training}.", style="dim"))
    total = machine["memory_bytes"]
    memory = [f"{total / 1e9:.1f} GB"] if total else ["unknown"]
    table.add_row("memory", ", ".join(memory + ([f"{free / 1e9:.1f} GB free"] if free else [])))
    table.add_row("GPU", Text("; ".join(machine["gpus"]) or "no NVIDIA GPU found"))
    if machine["jetson"]:
        table.add_row("Jetson", Text(machine["jetson"]))
    for tier, versions in diagnosis.packages.items():
        installed = [f"{name} {version}" for name, version in versions.items() if version]
        missing = [name for name, version in versions.items() if not version]
        words = Text(", ".join(installed))
        if missing:
            words.append((", " if installed else "") + "not installed: " + ", ".join(missing), style="dim")
            if tier == "workshop":
                words.append(". Only for training: pip install 'asl-edge[train]'", style="dim")
        table.add_row(_PURPOSES.get(tier, tier), words)
    for number, check in enumerate(diagnosis.providers):
        # Words, not ticks, which older Windows consoles cannot print.
        works = Text("works  " if check.works else "fails  ", style="green" if check.works else "red")
        works.append(check.name + ("" if check.works else f": {check.reason}"), style="default")
        table.add_row("providers" if number == 0 else "", works)
    out.print(table)
    for finding in diagnosis.findings:
        out.print()
        kind = Text("Problem: ", style="red") if finding.stops_predict else Text("Warning: ", style="yellow")
        out.print(kind + Text(finding.problem, style="bold"))
        out.print(Text(f"  {finding.remedy}", style="cyan"))
    out.print()
    if diagnosis.can_predict:
        out.print("predict works here.", style="bold green")
    else:
        out.print("predict cannot work here.", style="bold red")
