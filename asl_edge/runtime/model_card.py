"""The model card: what is known about a model, as Markdown made from its spec.

After Mitchell et al., "Model Cards for Model Reporting" (arXiv 1810.03993).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from asl_edge.labels import CLASSES, MOTION_LETTERS
from asl_edge.process.printable import on_one_line
from asl_edge.spec import ModelSpec

_STORED = {
    "fp32": "float32",
    "fp16": "half precision, arithmetic too",
    "fp16-weights": "half precision, arithmetic in float32",
    "int8": "8-bit integers",
}


def card(spec: ModelSpec, name: str, written: str | None = None) -> str:
    """Return the card of a model.

    Args:
        spec: the model's spec.
        name: name of its file.
        written: a card that somebody wrote; it comes first, the facts of the spec after it.
    """
    parts = [written.strip() + "\n\n# Facts of the file"] if written else [f"# {name}"]
    parts += [_about(spec, name), _trained_on(spec), _figures(spec), _calibration(spec), _parity(spec)]
    if not written:
        parts.append(_limits(spec))
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(spec: ModelSpec, name: str) -> str:
    classes = "all 29 classes" if set(spec.classes) == set(CLASSES) else f"{len(spec.classes)} classes"
    lines = [
        ("file", name),
        ("network", spec.network),
        ("classes", f"{classes}: {', '.join(spec.classes)}"),
        ("input", f"{spec.input_size}x{spec.input_size} pixels, {spec.colour}, made square by {spec.fit}"),
        ("weights", _STORED.get(spec.precision, spec.precision)),
        ("made with", ", ".join(f"{package} {version}" for package, version in sorted(spec.made_with.items()))),
    ]
    return "\n".join(f"- {what}: {value}" for what, value in lines if value)


def _trained_on(spec: ModelSpec) -> str:
    known = spec.trained_on
    if not known:
        return "## Training data\n\nThe file does not say."
    sources = [source for source in _list(known.get("sources")) if isinstance(source, dict)]
    rows = [
        (source.get("name", "?"), source.get("train", "?"), "yes" if source.get("mirrored") else "no")
        for source in sources
    ]
    table = _table(("source", "training images", "mirrored"), rows) if rows else ""
    names = ("recipe", "epochs", "augmentation", "seed")
    chosen = ", ".join(f"{what} {known[what]}" for what in names if known.get(what) is not None)
    return "\n\n".join(part for part in ("## Training data", chosen and f"{chosen}.", table) if part)


def _figures(spec: ModelSpec) -> str:
    if not spec.evaluation:
        return ""
    evaluation = {source: _dict(figures) for source, figures in spec.evaluation.items()}
    rows = []
    for source, figures in evaluation.items():
        interval = [_percent(limit) for limit in _list(figures.get("accuracy_interval_95"))]
        rows.append(
            (
                source,
                _number(figures.get("images"), ","),
                _percent(figures.get("accuracy")) + (f" ({'-'.join(interval)})" if len(interval) == 2 else ""),
                _percent(figures.get("top_3_accuracy")),
                _percent(figures.get("coverage")),
                _percent(figures.get("selective_accuracy")),
                _number(figures.get("expected_calibration_error"), ".3f"),
            )
        )
    names = ("source", "images", "accuracy (95% interval)", "top-3", "coverage", "selective accuracy", "ECE")
    parts = ["## Evaluation", _table(names, rows)]
    counts = [_dict(figures.get("correct_per_class")) for figures in evaluation.values()]
    classes = [name for name in spec.classes if any(name in of_source for of_source in counts)]
    if classes:
        header = ("class", *evaluation)
        by_class = [(name, *(_of_class(of_source.get(name)) for of_source in counts)) for name in classes]
        parts += ["Correctly classified, per class:", _table(header, by_class)]
    confused = []
    for source, figures in evaluation.items():
        triples = [
            row for row in _list(figures.get("most_confused")) if isinstance(row, list | tuple) and len(row) == 3
        ]
        if triples:
            confused.append(
                f"- {source}: " + ", ".join(f"{label} as {read} ({count})" for label, read, count in triples)
            )
    if confused:
        parts += ["Most confused:", "\n".join(confused)]
    return "\n\n".join(parts)


def _calibration(spec: ModelSpec) -> str:
    if not spec.calibration:
        return "## Calibration\n\nNone: confidences are the network's own, and every prediction is accepted."
    kept = spec.calibration
    lines = [f"Temperature {spec.temperature:.3f}, applied inside the graph."]
    if kept.get("about"):
        lines.append(f"Fitted on {kept['about']}.")
    if spec.reject_threshold is None:
        lines.append("Every prediction is accepted.")
    else:
        lines.append(
            f'Below a confidence of {spec.reject_threshold:.3f} the answer is "not sure". There, coverage was '
            f"{_percent(kept.get('coverage'))} and selective accuracy {_percent(kept.get('selective_accuracy'))}."
        )
    rows = [(f"{point[0]:.3f}", _percent(point[1]), _percent(point[2])) for point in spec.reject_curve]
    table = _table(("threshold", "coverage", "selective accuracy"), rows) if rows else ""
    return "\n\n".join(part for part in ("## Calibration", " ".join(lines), table) if part)


def _parity(spec: ModelSpec) -> str:
    known = spec.parity
    if not known:
        return ""
    agreement, images = known.get("label_agreement"), known.get("images")
    return (
        f"## Agreement with Keras\n\n{_percent(agreement)} of {images} labels agree; the largest difference in a "
        f"probability is {_number(known.get('max_probability_difference', 0), '.2g')}."
    )


def _limits(spec: ModelSpec) -> str:
    lines = ["## Limits", ""]
    motions = sorted(MOTION_LETTERS & set(spec.classes))
    if motions:
        lines.append(f"- {' and '.join(motions)} are movements; one image shows only their hold shape.")
    lines += [
        "- It classifies single handshapes of the American manual alphabet, which is not American Sign Language: no "
        "words, no grammar, no face, no second hand.",
        "- It may misclassify, with high confidence, people, rooms and cameras unlike those it was trained on.",
        "- It must not decide anything about a person: no identification, no assessment, no interpreting in medical, "
        "legal or emergency matters.",
    ]
    return "\n".join(lines)


def _of_class(pair: Any) -> str:
    return f"{pair[0]} of {pair[1]}" if isinstance(pair, list | tuple) and len(pair) == 2 else ""


def _percent(value: Any) -> str:
    return _number(value, ".1%")


def _number(value: Any, form: str) -> str:
    """Return a number as the format `form` writes it; empty for anything else, since specs come from other people."""
    return format(value, form) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(on_one_line(str(cell)).replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines)
