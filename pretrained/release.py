"""Make the file of the model in the box: threshold, figures of each source and card, all of what it answers itself.

    python benchmarks/finish.py RUN DATA ARRAYS --temperature 0.866 --out FILE.onnx [--about WORDS] [--target 0.95]
        [--margin 0.02]

RUN has a zoom.json (`average_runs.py` fits it) and a model-card.md if it shall carry one. The threshold is chosen on
the exported model's own answers, of both looks, to `dev-wall`, the clean and the augmented images of `dev-rooms`, so
that it keeps its promise in each, by a margin: for other people than those that it was chosen on less is to be
expected. The figures in the file are of these, and of the frames of `kaggle` and `phone` that ARRAYS keeps for the
test.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from asl_edge.evaluation import calibration
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.evaluation.multi_source import evaluate_several
from asl_edge.evaluation.report_files import write_several
from asl_edge.export.export import export_run

HELD_OUT = {"kaggle/asl_alphabet_train": "kaggle-blocks", "phone": "phone-blocks"}


def main() -> None:
    """Calibrate, evaluate, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--temperature", type=float, required=True)
    parser.add_argument("--about", default="")
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--margin", type=float, default=0.02, help="kept on these images beyond the target")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    run, temperature = options.run, options.temperature
    with tempfile.TemporaryDirectory() as work:
        sources = parted(options.data, options.arrays, Path(work) / "images")
        draft = Path(work) / "draft.onnx"
        plain = calibration.Calibration(temperature, None, options.target, None, None, (), (), options.about)
        calibration.write_calibration(run, plain)
        export_run(run, draft, precision="fp16-weights")
        answers = []
        for name in ("dev-wall", "dev-rooms-clean", "dev-rooms-augmented"):
            report = evaluate(draft, sources[name])
            answers.append(calibration.Answers(name, report.probabilities, report.labels))
        chosen = calibration.calibrate(
            answers, temperature=1.0, target=options.target + options.margin, every_source=True, about=options.about
        )
        chosen = replace(chosen, temperature=temperature, target=options.target)
        calibration.write_calibration(run, chosen)
        export_run(run, draft, precision="fp16-weights")
        reports = evaluate_several(draft, list(sources.values()), mirrored=True)
        shutil.rmtree(run / "evaluation", ignore_errors=True)
        write_several(reports, run / "evaluation")
        result = export_run(run, options.out, precision="fp16-weights")
        for name, one in zip(reports.names, reports.reports, strict=True):
            print(f"{name}: {one.right} of {one.images}, {one.accuracy:.1%}, mirrored {one.right_mirrored}")
        print(result.spec.reject_threshold, result.model_path)


def parted(data: Path, arrays: Path, folder: Path) -> dict[str, Path]:
    """Copy the images of each source into a folder of their own; return them by name."""
    shutil.copytree(data / "dev-wall", folder / "dev-wall")
    for path in sorted((data / "dev-rooms").rglob("*.jp*g")):
        kind = "augmented" if path.name.startswith("aug_") else "clean"
        copy(path, folder / f"dev-rooms-{kind}" / path.parent.name)
    manifest = json.loads((arrays / "manifest.json").read_text())
    rows = manifest["rows"]["test"]
    for number, name in zip(rows["folder"], rows["name"], strict=True):
        source, class_folder = manifest["folders"][number]
        path = Path(manifest["sources"][source]["path"])
        for end, held_out in HELD_OUT.items():
            if path.parts[-len(Path(end).parts) :] == Path(end).parts:
                copy(data / end / class_folder / name, folder / held_out / class_folder)
    names = ("kaggle-blocks", "phone-blocks", "dev-wall", "dev-rooms-clean", "dev-rooms-augmented")
    return {name: folder / name for name in names}


def copy(path: Path, folder: Path) -> None:
    """Copy an image into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / path.name)


if __name__ == "__main__":
    main()
