"""The chain of stages: its order, what runs again and what does not, and a toy training that is interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asl_edge.errors import UserError
from pretrained import reproduce
from pretrained.chain import RELEASED, TOY, Chain, Scale, Stage
from pretrained.reproduce import DONE, STALE, UNFINISHED, WAITING, Runner, check_settings


@pytest.fixture
def ran() -> list[str]:
    """The names of the stages that did their work, in order."""
    return []


@pytest.fixture
def runner(tmp_path: Path, ran: list[str]) -> Runner:
    """Three stages in a row, each of which adds its name to what the one before wrote."""

    def stage(name: str, *inputs: str) -> Stage:
        def run() -> None:
            ran.append(name)
            words = [(tmp_path / f"{before}.txt").read_text() for before in inputs]
            (tmp_path / f"{name}.txt").write_text(" ".join([*words, name]))

        return Stage(name, f"Write {name}", run, tuple(f"{before}.txt" for before in inputs), (f"{name}.txt",))

    return Runner([stage("one"), stage("two", "one"), stage("three", "two", "one")], tmp_path)


def states(runner: Runner) -> list[str]:
    return [runner.state(stage) for stage in runner.stages]


def interrupt(runner: Runner, name: str, during: Callable[[], object] = lambda: None) -> Runner:
    """Return a runner whose stage of that name is interrupted."""

    def stop() -> None:
        during()
        raise KeyboardInterrupt

    stages = [
        Stage(stage.name, stage.about, stop if stage.name == name else stage.run, stage.inputs, stage.outputs)
        for stage in runner.stages
    ]
    return Runner(stages, runner.work)


def test_stages_run_in_order_and_only_once(runner: Runner, ran: list[str], tmp_path: Path) -> None:
    assert states(runner) == [WAITING] * 3
    assert runner.run() == ["one", "two", "three"]
    assert (tmp_path / "three.txt").read_text() == "one two one three"
    assert states(runner) == [DONE] * 3
    assert runner.run() == []
    assert ran == ["one", "two", "three"]


def test_after_an_interruption_the_next_stage_continues(runner: Runner, ran: list[str], tmp_path: Path) -> None:
    begun = tmp_path / "two.txt"
    with pytest.raises(KeyboardInterrupt):
        interrupt(runner, "two", lambda: begun.write_text("half")).run()
    assert states(runner) == [DONE, UNFINISHED, WAITING]
    assert begun.read_text() == "half", "what an interrupted stage left is for it to continue with"
    assert runner.run() == ["two", "three"]
    assert ran == ["one", "two", "three"]


def test_what_an_interrupted_stage_made_of_other_inputs_is_removed(runner: Runner, tmp_path: Path) -> None:
    begun = tmp_path / "two.txt"
    with pytest.raises(KeyboardInterrupt):
        interrupt(runner, "two", lambda: begun.write_text("half")).run()
    runner.run(only=["one"])
    seen: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(runner, "two", lambda: seen.append(begun.exists())).run()
    assert seen == [False]


def test_from_a_stage_all_after_it_run_again_from_scratch(runner: Runner, ran: list[str], tmp_path: Path) -> None:
    runner.run()
    seen: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(runner, "two", lambda: seen.append((tmp_path / "two.txt").exists())).run(first="two")
    assert seen == [False], "outputs of the earlier run are removed before"
    assert runner.run() == ["two", "three"], "the wish outlasts the interruption"
    assert ran == ["one", "two", "three", "two", "three"]


def test_a_stage_whose_input_was_made_again_is_stale_and_runs(runner: Runner) -> None:
    runner.run()
    assert runner.run(only=["one"]) == ["one"]
    assert states(runner) == [DONE, STALE, STALE]
    assert runner.run() == ["two", "three"]


def test_a_stage_whose_output_was_deleted_runs_again(runner: Runner, tmp_path: Path) -> None:
    runner.run()
    (tmp_path / "two.txt").unlink()
    assert states(runner) == [DONE, WAITING, DONE]
    assert runner.run() == ["two", "three"]


def test_single_stages_need_their_inputs(runner: Runner, ran: list[str]) -> None:
    with pytest.raises(UserError, match=r"two needs one.txt"):
        runner.run(only=["two"])
    assert ran == []


@pytest.mark.parametrize("choice", [{"only": ["four"]}, {"first": "four"}])
def test_an_unknown_stage_is_named_beside_the_known(runner: Runner, choice: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"no stage 'four'. The stages are: one, two, three"):
        runner.run(**choice)  # type: ignore[arg-type]


def test_a_stamp_tells_when_and_from_what(runner: Runner, tmp_path: Path) -> None:
    runner.run()
    one, two = (json.loads((tmp_path / "stamps" / f"{name}.json").read_text()) for name in ("one", "two"))
    assert two["inputs"] == {"one": one["id"]}
    assert two["outputs"] == ["two.txt"]
    assert two["seconds"] >= 0


@pytest.mark.parametrize(
    "stages",
    [
        [Stage("b", "", print, ("a",), ("b",)), Stage("a", "", print, (), ("a",))],
        [Stage("a", "", print, (), ("a",)), Stage("a", "", print, (), ("b",))],
    ],
    ids=["an input that comes later", "a name twice"],
)
def test_a_chain_in_disorder_is_refused(stages: list[Stage], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a"):
        Runner(stages, tmp_path)


@pytest.mark.parametrize("scale", [Scale(), TOY], ids=["full", "toy"])
def test_the_chain_is_in_order_and_ends_with_the_released_file(scale: Scale, tmp_path: Path) -> None:
    stages = Chain(tmp_path / "data", tmp_path, scale).stages()
    Runner(stages, tmp_path)
    assert stages[-1].outputs == (RELEASED,)
    used = {name.split("/")[0] for stage in stages for name in stage.inputs}
    outputs = [name for stage in stages for name in stage.outputs]
    assert len(outputs) == len(set(outputs))
    assert set(outputs) - used == {RELEASED}, "every other output is an input of a later stage"


def test_every_training_of_the_chain_has_its_record() -> None:
    trainings = [stage.name for stage in Chain(Path("data"), Path("work")).stages() if stage.about.startswith("Train ")]
    folders = sorted(path.name for path in (Path(reproduce.__file__).parent / "stages").iterdir())
    landmarks = [name for name in folders if name.startswith("landmarks-")]  # trainings of the other chain, in turn
    assert landmarks == [f"landmarks-{number}" for number in range(1, len(landmarks) + 1)]
    assert trainings == [name for name in folders if name not in landmarks]


def test_the_command_lists_the_stages_without_making_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    reproduce.main(["--data", str(tmp_path), "--work", str(work), "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [WAITING] * len(lines)
    assert [line.split()[1] for line in lines] == [one.name for one in Chain(tmp_path, work).stages()]
    assert not work.exists()


def test_a_missing_data_folder_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        reproduce.main(["--data", str(tmp_path / "nowhere")])
    assert stop.value.code == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_a_work_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    check_settings(tmp_path, tmp_path, toy=True)
    check_settings(tmp_path, tmp_path, toy=True)
    with pytest.raises(UserError, match="Name another folder with --work"):
        check_settings(tmp_path, tmp_path, toy=False)
    with pytest.raises(UserError, match="permissive"):
        check_settings(tmp_path, tmp_path, toy=True, selection="permissive")


def test_the_chain_of_the_landmark_training_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reproduce.main(["--chain", "landmarks", "--data", str(tmp_path), "--work", str(tmp_path / "work"), "--dry-run"])

    names = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert names == ["landmarks-cache", "landmarks-teacher", "landmarks-train"]
