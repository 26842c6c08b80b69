from __future__ import annotations

import time as clock
from dataclasses import replace

import numpy as np
import pytest
from factories.spelled_frames import UNSURE, probabilities, spell, word

from asl_edge.errors import UserError
from asl_edge.labels import CLASSES
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import WITH_LANDMARKS, SpellingSpec, ViterbiRules

DECODERS = ("viterbi", "exponential", "majority")


def speller_of(decoder: str = "viterbi", **changes) -> Speller:
    return Speller(SpellingSpec(decoder=decoder, **changes), CLASSES)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_word_with_a_double_letter_is_spelled(decoder: str) -> None:
    speller = speller_of(decoder)

    events = spell(speller, word("HELLO", hold=0.5, between=0.3))

    assert speller.text == "HELLO"
    assert [event.text for event in events] == list("HELLO")
    assert all(event.kind == "letter" and event.started < event.time < event.started + 0.5 for event in events)
    assert all(event.probability == pytest.approx(0.9, abs=0.2) for event in events)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("fps", [12.0, 60.0, 120.0])
def test_durations_are_seconds_not_frames(decoder: str, fps: float) -> None:
    speller = speller_of(decoder)

    spell(speller, word("CAB", hold=0.6, between=0.4), fps)

    assert speller.text == "CAB"


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_letter_held_for_long_is_written_once(decoder: str) -> None:
    speller = speller_of(decoder)

    spell(speller, [("nothing", 0.5), ("A", 20.0)])

    assert speller.text == "A"


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_frame_that_flickers_does_not_double_a_letter(decoder: str) -> None:
    speller = speller_of(decoder)

    spell(speller, [("nothing", 0.5), *[("A", 0.4), (UNSURE, 1 / 30)] * 5, ("A", 0.4)])

    assert speller.text == "A"


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_shape_passed_through_is_not_written(decoder: str) -> None:
    speller = speller_of(decoder)

    spell(speller, [("nothing", 0.5), ("A", 0.5), ("S", 0.034), ("B", 0.5), (UNSURE, 0.3)])

    assert speller.text == "AB"


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("label", ["nothing", UNSURE])
def test_nothing_is_written_at_rest(decoder: str, label: str) -> None:
    speller = speller_of(decoder)

    events = spell(speller, [(label, 30.0)])

    assert (events, speller.text, speller.pending) == ([], "", None)


@pytest.mark.parametrize("decoder", DECODERS)
def test_space_and_del_act(decoder: str) -> None:
    speller = speller_of(decoder)

    events = spell(speller, word(["A", "space", "B", "C", "del"], hold=0.8, between=0.4))

    assert speller.text == "A B"
    assert [(event.kind, event.text) for event in events][-1] == ("delete", "C")
    assert [event.kind for event in events] == ["letter", "space", "letter", "letter", "delete"]
    assert speller.word == "B"


def test_del_on_an_empty_text_is_an_event_without_text() -> None:
    speller = speller_of()

    (event,) = spell(speller, [("nothing", 0.5), ("del", 0.8)])

    assert (event.kind, event.text, speller.text) == ("delete", "", "")


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_brief_del_does_not_act(decoder: str) -> None:
    speller = speller_of(decoder)

    spell(speller, [("nothing", 0.5), ("A", 0.5), (UNSURE, 0.3), ("del", 0.1), (UNSURE, 0.5)])

    assert speller.text == "A"


def test_letters_without_a_break_are_spelled() -> None:
    speller = speller_of()

    spell(speller, word("FAST", hold=0.4, between=0.0))

    assert speller.text == "FAST"


def test_the_last_letter_is_committed_when_the_frames_end() -> None:
    speller = speller_of(viterbi=ViterbiRules(margin=20.0, lag_seconds=1.0))
    spell(speller, [("nothing", 0.5), ("A", 0.4)])
    assert speller.text == ""

    (event,) = speller.finish(0.9)

    assert (event.text, speller.text, speller.pending) == ("A", "A", None)


def test_pending_grows_until_the_commit() -> None:
    speller = speller_of()
    progress = []
    for number in range(12):
        speller.update(probabilities("A"), number / 60)
        if speller.pending is not None:
            progress.append(speller.pending.progress)
            assert speller.pending.label == "A"

    assert progress == sorted(progress)
    assert 0 <= progress[0] < progress[-1] <= 1
    assert speller.text == "A" or speller.pending is not None


def slowly(*shapes: str) -> list[tuple[str, float]]:
    """Return letters held for 0.6 seconds, 1.1 seconds apart, with another shape shown on the way for 0.2 seconds."""
    signs = [("nothing", 0.5)]
    for shape in shapes:
        signs += [(shape, 0.6), (UNSURE, 0.15), ("S", 0.2), (UNSURE, 0.15)]
    return signs


def test_the_shortest_hold_follows_the_pace() -> None:
    texts = {}
    for share in (0.0, 0.35):
        speller = speller_of(viterbi=ViterbiRules(pace_share=share))
        spell(speller, word("ABCDEF", hold=0.7, between=0.4))
        speller.finish(8.0)  # the pace is kept
        spell(speller, slowly("A", "B", "C"), start=9.0)
        texts[share] = speller.text

    assert texts == {0.0: "ABCDEFASBSCS", 0.35: "ABCDEFABC"}


def test_a_fast_speller_needs_no_long_holds_after_a_slow_one() -> None:
    speller = speller_of(viterbi=ViterbiRules(pace_share=0.35))
    spell(speller, word("ABCDEF", hold=0.7, between=0.4))
    speller.clear()

    spell(speller, word("HAND", hold=0.2, between=0.1), start=20.0)

    assert speller.text == "HAND"


@pytest.mark.parametrize("spec", [SpellingSpec(viterbi=ViterbiRules(pace_share=0.39)), WITH_LANDMARKS])
def test_who_becomes_faster_is_followed_after_a_few_letters(spec: SpellingSpec) -> None:
    speller = Speller(spec, CLASSES)
    spell(speller, word("ABCDEF", hold=0.8, between=0.4))

    spell(speller, word("HANDSWITHFIVELETTERS", hold=0.2, between=0.12), start=9.0)

    assert speller.text.startswith("ABCDEF")
    assert speller.text.endswith("LETTERS")


def test_dropped_frames_do_not_make_a_letter_of_one_frame() -> None:
    speller = speller_of()
    speller.update(probabilities("nothing"), 0.0)

    speller.update(probabilities("A"), 3.0)

    assert speller.text == ""


def test_times_that_run_backwards_are_taken_as_the_last_one() -> None:
    speller = speller_of()

    for time in (5.0, 5.1, 1.0, 1.1, 1.2, 5.2, 5.3, 5.4, 5.5):
        speller.update(probabilities("A"), time)

    assert speller.text == "A"


@pytest.mark.parametrize("decoder", DECODERS)
def test_frames_that_are_not_sure_separate_letters(decoder: str) -> None:
    speller = speller_of(decoder, not_sure_weight=0.0)
    time = 0.0
    for accepted in [True] * 15 + [False] * 12 + [True] * 15:
        speller.update(probabilities("A"), time, accepted)
        time += 1 / 30

    assert speller.text == "AA"


@pytest.mark.parametrize(("still_speed", "expected"), [(None, "A"), (1.0, "AA")])
def test_a_hand_that_moves_separates_letters(still_speed: float | None, expected: str) -> None:
    speller = speller_of(still_speed=still_speed)
    hand = np.random.default_rng(0).uniform(0, 100, (21, 3)).astype(np.float32)
    for number in range(42):
        aside = max(0, min(number - 15, 12)) * 12  # 12 frames of 12% of its span: 3.6 spans per second
        points = hand + np.float32([aside, 0, 0])
        speller.update(probabilities("A"), number / 30, landmarks=points)

    assert speller.text == expected


def test_landmarks_of_a_hand_that_is_not_there_change_nothing() -> None:
    speller = speller_of(still_speed=1.0)

    for number in range(12):
        speller.update(probabilities("A"), number / 30, landmarks=np.full((21, 3), np.nan, np.float32))

    assert speller.text == "A"


def test_a_pause_writes_one_space_if_asked_for() -> None:
    speller = speller_of(pause_space_seconds=1.0)

    events = spell(speller, [("nothing", 3.0), ("A", 0.5), ("nothing", 5.0), ("B", 0.5), ("nothing", 0.5)])

    assert speller.text == "A B"
    assert [event.kind for event in events] == ["letter", "space", "letter"]


def test_undo_clear_and_a_chosen_word_change_the_text() -> None:
    speller = speller_of()
    spell(speller, word(["A", "space", "B", "C"], hold=0.8, between=0.4))

    assert (speller.undo(), speller.text) == ("C", "A B")
    speller.replace_word("BOOK")
    assert speller.text == "A BOOK"
    speller.clear()
    assert (speller.text, speller.undo(), speller.pending) == ("", "", None)


def test_after_clear_the_same_letter_can_be_written_at_once() -> None:
    speller = speller_of()
    spell(speller, [("nothing", 0.5), ("A", 0.5)])
    speller.clear()

    spell(speller, [("A", 0.5)], start=10.0)

    assert speller.text == "A"


def test_the_confusion_matrix_decides_between_letters_that_are_taken_for_each_other() -> None:
    # N is taken for M two times of three, M hardly ever for N: what looks a little like an N is an N.
    rows = ((0.98, 0.02), (0.67, 0.33))
    row = np.zeros(len(CLASSES), np.float32)
    row[CLASSES.index("M")], row[CLASSES.index("N")] = 0.6, 0.4
    texts = []
    for matrix in ((), rows):
        speller = speller_of(confusion_classes=("M", "N") if matrix else (), confusion=matrix)
        for number in range(30):
            speller.update(row, number / 30)
        texts.append(speller.text)

    assert texts == ["M", "N"]


@pytest.mark.parametrize(
    ("row", "time", "message"),
    [
        (np.zeros(3, np.float32), 0.0, "shape"),
        (np.full(len(CLASSES), np.nan, np.float32), 0.0, "finite"),
        (probabilities("A"), float("nan"), "finite"),
    ],
)
def test_what_is_not_a_frame_is_refused(row: np.ndarray, time: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        speller_of().update(row, time)


def test_landmarks_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match="landmarks"):
        speller_of(still_speed=1.0).update(probabilities("A"), 0.0, landmarks=np.zeros(42, np.float32))


@pytest.mark.parametrize("classes", [[], ["A", "A"]])
def test_classes_must_be_different(classes: list[str]) -> None:
    with pytest.raises(UserError, match="classes"):
        Speller(SpellingSpec(), classes)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_model_with_three_letters_and_no_nothing_can_spell(decoder: str) -> None:
    speller = Speller(replace(SpellingSpec(), decoder=decoder), ["A", "B", "C"])
    for number in range(60):
        row = np.float32([0.94, 0.03, 0.03]) if number < 30 else np.float32([0.03, 0.03, 0.94])
        speller.update(row, number / 30)

    assert speller.text == "AC"


@pytest.mark.parametrize("decoder", DECODERS)
def test_random_frames_never_change_what_is_committed_and_cost_little(decoder: str) -> None:
    speller = speller_of(decoder)
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.full(len(CLASSES), 0.05), 800).astype(np.float32)
    rows = np.repeat(rows, rng.integers(1, 8, 800), axis=0)[:1500]
    began, texts = clock.process_time(), [""]
    for number, row in enumerate(rows):
        events = speller.update(row, number / 30)
        if not any(event.kind == "delete" for event in events):
            assert speller.text.startswith(texts[-1])
        texts.append(speller.text)
    seconds = clock.process_time() - began

    assert len(speller.text) > 10
    assert seconds / len(rows) < 1e-3  # measured: 0.06 ms; the rest is room for a busy machine


@pytest.mark.parametrize("seed", [3, 18, 29])
def test_a_commit_that_only_a_hold_too_short_to_be_left_agrees_with(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rules = ViterbiRules(
        coherence_seconds=0.0378, between=0.3337, floor=0.0495, hold_seconds=0.1374, pace_share=0.0708,
        letter_cost=4.915, change_cost=0.3051, repeat_cost=2.8626, gap_seconds=0.1083, margin=0.4408,
        lag_seconds=0.2809,
    )  # fmt: skip
    speller = Speller(SpellingSpec(viterbi=rules), ["A", "B", "C", "nothing"])
    probabilities = rng.dirichlet([0.5] * 4)
    for number in range(200):
        if rng.random() < 0.35:
            probabilities = rng.dirichlet([0.5] * 4)
        speller.update(probabilities.astype(np.float32), number / 30)
    before = speller.text
    assert len(before) > 5
    for number in range(200, 230):
        speller.update(np.float32([0.97, 0.01, 0.01, 0.01]), number / 30)
    assert speller.text.startswith(before)
    assert speller.text[-1] == "A", "it spells on"
