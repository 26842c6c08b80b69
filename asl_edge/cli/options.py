"""Options that several commands share, each defined once.

Typer makes an argument or option of every parameter of a command's function, so these functions have as many
parameters as the command has options; the limit of eight parameters does not apply to them. A command takes a shared
option by naming its type: `provider: Provider = "auto"`.

Every command imports this module, also for `--help`, so it imports nothing but Typer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asl_edge.export.source.open_source import Described
    from asl_edge.runtime.model_options import ModelOptions

EARLIER_FLAGS = {"--second-look": "--zoom", "--no-second-look": "--no-zoom", "--save-video": "--save"}
"""What flags were called in earlier versions, and their names now. Accepted for one release, and not listed."""

HAND_MODEL = "--hand-model"
"""An option whose value may be left out (see `with_hand_model_named`)."""

SAVE = "--save"
SAVED_TEXT = {"--json": ".jsonl", "--csv": ".csv"}
"""Options that print, and the suffix of what they write if a file follows (see `with_files_saved`)."""

# Headings of the panels that options are grouped in, where a command has more than a few.
CLASSIFICATION = "Classification"
DATA = "Data"
HARDWARE = "Hardware"
PROVIDERS = "auto, cpu, cuda, tensorrt, openvino, coreml, directml, ..."
OUTSIDE_A_RUN = "Models outside a run"
"""Such a `.keras` file, and the tutorial's `model.json`, do not say what their inputs and outputs mean."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in --out.")]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Parallel workers.", show_default="one per core")
]

ModelArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[MODEL]", help="An .onnx file or a bundle.", show_default="the pretrained model"),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m", metavar="FILE", help="An .onnx file or a bundle.", show_default="the pretrained model"
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="P",
        min=0,
        max=1,
        help='Below this confidence a prediction is "not sure".',
        show_default="the model's",
        rich_help_panel=CLASSIFICATION,
    ),
]
Zoom = Annotated[
    bool,
    typer.Option(
        "--zoom/--no-zoom",
        help="Crop small hands and classify them again, if the model can.",
        show_default=False,
        rich_help_panel=CLASSIFICATION,
    ),
]
HandModel = Annotated[
    Path | None,
    typer.Option(
        HAND_MODEL,
        metavar="[FOLDER]",
        help="Also use the hand model in FOLDER, or where `data hand-model` puts it.",
        rich_help_panel=CLASSIFICATION,
    ),
]

Provider = Annotated[
    str,
    typer.Option(
        "--provider",
        "-p",
        metavar="NAME",
        help=f"Execution provider: {PROVIDERS}",
        rich_help_panel=HARDWARE,
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Fail instead of warning when another provider is used.", rich_help_panel=HARDWARE),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="Threads of the network.",
        show_default="one per core",
        rich_help_panel=HARDWARE,
    ),
]

ArraysBgr = Annotated[
    bool,
    typer.Option("--bgr", help="The arrays are BGR, as the tutorial's script writes them.", rich_help_panel=DATA),
]
ParityData = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Images to compare on: prepared arrays or a folder.",
        show_default="the run's own",
    ),
]
OutputClasses = Annotated[
    str | None,
    typer.Option("--classes", metavar="A,B,C", help="Classes, in output order.", rich_help_panel=OUTSIDE_A_RUN),
]
InputFit = Annotated[
    str | None,
    typer.Option(
        "--fit",
        metavar="FIT",
        help="How images were made square: crop, stretch or pad.",
        rich_help_panel=OUTSIDE_A_RUN,
    ),
]
InputBgr = Annotated[
    bool | None,
    typer.Option("--bgr/--rgb", help="Colour order of the training images.", rich_help_panel=OUTSIDE_A_RUN),
]
InputPixels = Annotated[
    str,
    typer.Option(
        "--pixels",
        metavar="RANGE",
        help="Range of a float input: auto, 0-1 or 0-255.",
        rich_help_panel=OUTSIDE_A_RUN,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE", help="The weights of a model.json (.h5, .hdf5).", rich_help_panel=OUTSIDE_A_RUN
    ),
]


def model_options(
    *,
    provider: str = "auto",
    strict: bool = False,
    precision: str | None = None,
    threads: int | None = None,
    provider_options: Sequence[str] = (),
    zoom: bool = True,
    hand_model: Path | None = None,
) -> ModelOptions:
    """Return the options of a command that runs a model as the library takes them.

    Args:
        provider: value of `--provider`.
        strict: value of `--strict`.
        precision: value of `--precision`.
        threads: value of `--threads`.
        provider_options: values of `--provider-option`, each `NAME=VALUE`.
        zoom: value of `--zoom`.
        hand_model: value of `--hand-model`.

    Raises:
        UserError: a provider option is not of the form `NAME=VALUE`.
    """
    from asl_edge.runtime.engine.providers import parse_options
    from asl_edge.runtime.model_options import ModelOptions

    return ModelOptions(
        provider=provider,
        strict=strict,
        precision=precision,
        threads=threads,
        provider_options=parse_options(provider_options),
        zoom=zoom,
        hand_model=hand_model,
    )


def with_hand_model_named(words: Sequence[str]) -> list[str]:
    """Return the words of a command with a value for every `--hand-model` that has none.

    The value may be left out, which no option of Typer allows. The next word is the value if it is the folder of a hand
    model, and it is anything else (a source, another option) if it is not. `--hand-model=FOLDER` always has one.
    """
    if HAND_MODEL not in words:
        return list(words)
    from asl_edge.runtime.hand_model.folder import DEFAULT, is_hand_model

    named = list[str]()
    for word, following in zip(words, [*words[1:], ""], strict=True):
        alone = word == HAND_MODEL and not is_hand_model(following)
        named.append(f"{HAND_MODEL}={DEFAULT}" if alone else word)
    return named


def with_files_saved(words: Sequence[str]) -> list[str]:
    """Return the words of a command with `--save FILE` for `--json FILE.jsonl` and `--csv FILE.csv`.

    Both print where no such file follows, so that `--json hand.jpg` never replaces an image.
    """
    saved = list(words)
    for place in range(len(saved) - 1):
        suffix = SAVED_TEXT.get(saved[place])
        if suffix is not None and saved[place + 1].lower().endswith(suffix):
            saved[place] = SAVE
    return saved


def described(classes: str | None, fit: str | None, bgr: bool | None, pixels: str, weights: Path | None) -> Described:
    """Return what the command line says about a model outside a run.

    Args:
        classes: value of `--classes`.
        fit: value of `--fit`.
        bgr: value of `--bgr/--rgb`.
        pixels: value of `--pixels`.
        weights: value of `--weights`.

    Raises:
        UserError: an option has an unknown value.
    """
    from typing import cast

    from asl_edge.errors import UserError
    from asl_edge.export.source.open_source import Described, Pixels
    from asl_edge.labels import parse_classes
    from asl_edge.spec import Fit, check_fit

    if fit is not None:
        check_fit(fit, "--fit", UserError)
    if pixels not in ("auto", "0-1", "0-255"):
        raise UserError(f"--pixels must be auto, 0-1 or 0-255. Received: {pixels}")
    return Described(
        classes=None if classes is None else tuple(parse_classes(classes)),
        fit=cast("Fit | None", fit),
        colour=None if bgr is None else "BGR" if bgr else "RGB",
        pixels=cast("Pixels", pixels),
        weights=weights,
    )
