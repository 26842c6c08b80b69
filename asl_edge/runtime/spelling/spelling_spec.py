"""SpellingSpec: everything that turns the probabilities of frames into letters, as one small JSON object.

The numbers that are the defaults were tuned on the validation signers (`benchmarks/spelling/tune.py`), but for three:
`pace_share` is less than what was best there, where the rhythm is more even than people's, and `repeat_cost` and
`gap_seconds` of `viterbi` are more, so that one bad frame does not double a letter.

A decoder in another language (a browser) that follows the same specification writes the same text. All durations are
in seconds of the frames' own clock, never in frames.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args

from asl_edge.errors import ModelError
from asl_edge.files.strict_json import parse_json, read_json
from asl_edge.spec import MOST_CLASSES, ModelSpec, is_class_name

SPELLING_VERSION = 1

PACE_LETTERS = 6
"""Times between letters that are kept."""
PACE_SECONDS = 1.6
"""Longer times between letters are pauses and say nothing of the pace."""

DecoderName = Literal["viterbi", "exponential", "majority"]

_LONGEST = 60.0
"""Longest duration, in seconds."""
_LARGEST_COST = 1000.0
_LARGEST_FILE = 8 * 2**20

_Rules = TypeVar("_Rules", bound="_Checked")


@dataclass(frozen=True)
class _Checked:
    """Numbers that are checked on construction, by the end of their names."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ModelError: a field breaks its rule.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("_seconds"):
                low, high, rule = 0.0, _LONGEST, f"between 0 and {_LONGEST:g} seconds"
            elif item.name.endswith("_cost") or item.name == "margin":
                low, high, rule = 0.0, _LARGEST_COST, f"between 0 and {_LARGEST_COST:g}"
            else:
                low, high, rule = 0.0, 1.0, "between 0 and 1"
            if not _is_number(value) or not low <= value <= high:
                raise ModelError(f"{item.name} of the spelling spec must be {rule}. Received: {value!a:.80}")


@dataclass(frozen=True)
class ExponentialRules(_Checked):
    """Exponential smoothing with a hold rule.

    The smoothed probabilities follow the frames' with `time_constant_seconds`. A class that stays the most probable,
    at `enter` or more, for `hold_seconds` is committed. It can be committed again after its smoothed probability was
    below `release` for `gap_seconds`, or after another class was committed.
    """

    time_constant_seconds: float = 0.1157
    """After this time, 63% of a change is in the smoothed probabilities."""
    enter: float = 0.6266
    """Least smoothed probability of a class that is held."""
    hold_seconds: float = 0.0625
    """How long it must be held."""
    release: float = 0.5967
    """Smoothed probability below which a committed class no longer counts as held."""
    gap_seconds: float = 0.0147
    """How long it must stay below `release`."""


@dataclass(frozen=True)
class MajorityRules(_Checked):
    """A vote of the last frames, each weighted by its duration.

    The most probable class of each frame, if it has the probability `least`, has one vote for the time that the frame
    stands for; otherwise nobody has it. A class with the share `enter` of the last `window_seconds` is committed. It
    can be committed again after its share fell below `release`, or after another class was committed.
    """

    window_seconds: float = 0.2195
    """The votes of this time are counted; nothing is committed before it has passed."""
    least: float = 0.5181
    """Least probability of a class that gets a frame's vote."""
    enter: float = 0.7504
    """Least share of the votes."""
    release: float = 0.1292
    """Share below which a committed class no longer counts as held."""


@dataclass(frozen=True)
class ViterbiRules(_Checked):
    """A hidden semi-Markov model: holds of letters, and what is between them.

    The state is either *between* or a letter that is held. A frame of duration d speaks for letter c, and against
    *between*, with

        evidence = d / coherence_seconds * log((q[c] + floor) / between)

    where q are the frame's probabilities of what is signed (see `SpellingSpec.confusion`). Neighbouring frames
    are nearly the same image, so evidence grows with time, not with the number of frames. The decoder keeps the best
    path into each state (Viterbi) and commits the first letter on which it differs from what is committed as soon as
    the best path beats every path that disagrees by `margin`, or when the letter began `lag_seconds` ago. From then
    on, only paths with that letter live: what is committed never changes.
    """

    coherence_seconds: float = 0.0457
    """The time in which frames count as one observation."""
    between: float = 0.5315
    """Probability at which a class speaks neither for nor against being held."""
    floor: float = 0.0476
    """Added to every probability, so that no frame has infinite weight."""
    hold_seconds: float = 0.1188
    """Shortest hold, however fast somebody spells."""
    pace_share: float = 0.4
    """Shortest hold as a share of the time per letter: the median of the last `PACE_LETTERS` times from one letter to
    the next. Who spells slowly passes slowly through other shapes too. 0 ignores the pace."""
    letter_cost: float = 0.5326
    """Evidence that a hold must bring, to be assumed after *between*."""
    change_cost: float = 5.268
    """The same for a hold that follows another letter's at once, with nothing between."""
    repeat_cost: float = 0.8
    """Further evidence for the letter that came last: a double letter."""
    command_cost: float = 3.0
    """Further evidence for `space` and `del`, which act."""
    gap_seconds: float = 0.07
    """Shortest time between two holds of the same letter."""
    margin: float = 0.3035
    """Evidence by which the best path must beat the paths that disagree, to commit at once."""
    lag_seconds: float = 0.2
    """A letter of the best path is committed when its hold began this long ago, whatever the margin."""


@dataclass(frozen=True)
class SpellingSpec:
    """How the probabilities of frames become letters.

    Raises:
        ModelError: on construction, when a field breaks its rule.
    """

    decoder: DecoderName = "viterbi"
    """Which rules decide."""
    viterbi: ViterbiRules = field(default_factory=ViterbiRules)
    exponential: ExponentialRules = field(default_factory=ExponentialRules)
    majority: MajorityRules = field(default_factory=MajorityRules)
    longest_frame_seconds: float = 0.1
    """A frame stands for the time since the frame before it, but for no more than this: where frames were dropped,
    nobody knows what was signed."""
    not_sure_weight: float = 1.0
    """What a frame that the model does not accept ("not sure") counts: its probabilities times this, and the rest goes
    to `nothing`. 1 counts it as the others, 0 as a frame without a hand."""
    still_speed: float | None = None
    """Speed of the hand, in spans of the hand per second, above which a frame counts less; None ignores movement.
    It needs the landmarks of the hand. At twice this speed and above, a frame counts as one without a hand."""
    command_seconds: float = 0.3
    """Shortest hold of `space` and `del`, which act, in the simple decoders (`viterbi` has `command_cost`); never
    shorter than a letter's."""
    pause_space_seconds: float | None = None
    """A pause without a hand that writes a space by itself, once, after a letter; None writes none."""
    confusion_classes: tuple[str, ...] = ()
    """Classes of the rows and columns of `confusion`."""
    confusion: tuple[tuple[float, ...], ...] = ()
    """Row: what is signed; column: what a model predicts; each row adds up to 1. From it and a frame's probabilities
    follow those of what is signed, by Bayes' rule: each column is divided by its sum, and multiplied by the frame's
    probability of it. Empty: every class is predicted as itself, as are those not among `confusion_classes`."""
    version: int = SPELLING_VERSION

    def __post_init__(self) -> None:
        """Check every field."""
        if self.decoder not in get_args(DecoderName):
            known = ", ".join(get_args(DecoderName))
            raise ModelError(f"decoder of the spelling spec must be one of {known}. Received: {self.decoder!a:.80}")
        for name, kind in _RULES.items():
            if not isinstance(getattr(self, name), kind):
                raise ModelError(
                    f"{name} of the spelling spec must be an object. Received: {getattr(self, name)!a:.80}"
                )
        self._check_numbers()
        self._check_confusion()
        if not isinstance(self.version, int) or isinstance(self.version, bool) or self.version < 1:
            raise ModelError(f"version of the spelling spec must be a whole number. Received: {self.version!a:.80}")

    def _check_numbers(self) -> None:
        for name, least, most, optional in _NUMBERS:
            value = getattr(self, name)
            if value is None and optional:
                continue
            if not _is_number(value) or not least < value <= most:
                rule = f"above {least:g} and {most:g} at most"
                if least < 0:
                    rule = f"between 0 and {most:g}"
                raise ModelError(f"{name} of the spelling spec must be {rule}. Received: {value!a:.80}")

    def _check_confusion(self) -> None:
        names, rows = self.confusion_classes, self.confusion
        if not isinstance(names, tuple) or not all(is_class_name(name) for name in names):
            raise ModelError("confusion_classes of the spelling spec must be names of classes.")
        if len(names) > MOST_CLASSES or len(set(names)) != len(names):
            raise ModelError(f"confusion_classes must be different, {MOST_CLASSES} at most. Received: {len(names)}")
        square = isinstance(rows, tuple) and len(rows) == len(names)
        if not square or not all(isinstance(row, tuple) and len(row) == len(names) for row in rows):
            raise ModelError("confusion of the spelling spec must have a row and a column for each confusion class.")
        for name, row in zip(names, rows, strict=True):
            if not all(_is_number(share) and 0 <= share <= 1 for share in row) or abs(sum(row) - 1) > 0.01:
                raise ModelError(f"The row of {name} in confusion must be shares that add up to 1.")

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the spec as one JSON object."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SpellingSpec:
        """Read a spec from values of JSON; what is missing has its default, unknown fields are ignored.

        Raises:
            ModelError: a field breaks its rule, or the version is newer than this asl-edge knows.
        """
        version = values.get("version", 1)
        if isinstance(version, int) and version > SPELLING_VERSION:
            raise ModelError(
                f"The spelling spec has version {version!a:.20}, this asl-edge knows {SPELLING_VERSION}. "
                "Upgrade asl-edge."
            )
        known = {item.name for item in fields(cls)}
        taken = {name: value for name, value in values.items() if name in known}
        for name, kind in _RULES.items():
            if name in taken:
                taken[name] = _rules(name, kind, taken[name])
        for name in ("confusion_classes", "confusion"):
            if isinstance(taken.get(name), list):
                taken[name] = tuple(tuple(row) if isinstance(row, list) else row for row in taken[name])
        return cls(**taken)

    @classmethod
    def from_json(cls, text: str) -> SpellingSpec:
        """Read a spec from JSON, as `from_dict`.

        Raises:
            ModelError: the text is not a spelling spec.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise ModelError(f"The spelling spec is not JSON that can be used ({error}).") from error
        if not isinstance(values, dict):
            raise ModelError("The spelling spec must be a JSON object.")
        return cls.from_dict(values)

    @classmethod
    def of_model(cls, spec: ModelSpec) -> SpellingSpec:
        """Return what a model's spec holds; for the rest `WITH_LANDMARKS` if it finds the hand, else defaults.

        Raises:
            ModelError: a field breaks its rule.
        """
        if spec.landmarks is None:
            return cls.from_dict(spec.spelling)
        usual = WITH_LANDMARKS.to_dict()
        for name, value in spec.spelling.items():
            usual[name] = {**usual[name], **value} if name in _RULES and isinstance(value, dict) else value
        return cls.from_dict(usual)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SpellingSpec:
        """Read a spec from a JSON file.

        Raises:
            ModelError: there is no such file, or it is not a spelling spec.
        """
        try:
            values = read_json(path, _LARGEST_FILE)
        except FileNotFoundError as error:
            raise ModelError(f"There is no spelling spec {os.fspath(path)}.") from error
        except (OSError, ValueError) as error:
            raise ModelError(f"{os.fspath(path)} cannot be read as a spelling spec ({error}).") from error
        if not isinstance(values, dict):
            raise ModelError(f"{os.fspath(path)} is not a spelling spec: it must be a JSON object.")
        try:
            return cls.from_dict(values)
        except ModelError as error:
            raise ModelError(f"{os.fspath(path)}: {error}") from error


_RULES: dict[str, type[_Checked]] = {
    "viterbi": ViterbiRules,
    "exponential": ExponentialRules,
    "majority": MajorityRules,
}
_NUMBERS = (
    ("longest_frame_seconds", 0.0, _LONGEST, False),
    ("not_sure_weight", -math.ulp(0.0), 1.0, False),
    ("still_speed", 0.0, 1e6, True),
    ("command_seconds", -math.ulp(0.0), _LONGEST, False),
    ("pause_space_seconds", 0.0, 3600.0, True),
)
"""Name, what it must be above, its most, and whether it may be None."""


def _rules(name: str, kind: type[_Rules], values: object) -> _Rules:
    if not isinstance(values, dict):
        raise ModelError(f"{name} of the spelling spec must be an object. Received: {values!a:.80}")
    known = {item.name for item in fields(kind)}
    return kind(**{key: value for key, value in values.items() if key in known})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


WITH_LANDMARKS = SpellingSpec(
    viterbi=ViterbiRules(
        coherence_seconds=0.02,
        between=0.2386,
        floor=0.0134,
        hold_seconds=0.126,
        pace_share=0.39,
        letter_cost=0.7818,
        change_cost=0.9711,
        repeat_cost=1.0534,
        command_cost=6.0,
        gap_seconds=0.08,
        margin=0.7506,
        lag_seconds=0.2487,
    ),
    not_sure_weight=0.6,
    still_speed=0.95,
)
"""For models that find the hand: movement tells holds from what is between them, so that a letter needs less else.

Tuned on the validation signers as the defaults; `not_sure_weight` and `still_speed` were then chosen among a few values
by the measured words, of which a lower `not_sure_weight` misses more and a higher one invents more in empty rooms.
"""
