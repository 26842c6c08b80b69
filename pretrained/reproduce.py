"""Make the pretrained model: all stages in order, each resumable.

    python -m pretrained.reproduce --data DATA [--work WORK] [--dry-run] [--from STAGE | --only STAGE ...] [--toy]

DATA holds one folder per source of images (pretrained/README.md says which), WORK keeps everything that is made. A
finished stage leaves a stamp, so after an interruption the same command continues with the next stage, and within a
training after its last checkpoint. A stage runs again when one of its inputs was made again. `--dry-run` lists the
stages and their state, `--from` runs a stage and all after it again, `--only` runs single stages. `--toy` takes the
same path with a handful of images and one step per training, to see that it works. `--chain landmarks` runs the
training that is supervised by hand landmarks (`pretrained/landmarks`) and starts from the pretrained model. The result
is WORK/alexnet-edge-8.onnx; on two cores without a GPU it takes about a day.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from asl_edge.errors import UserError
from asl_edge.files import atomic
from benchmarks.harness.report import argument_parser
from pretrained.chain import TOY, Chain, Scale, Stage
from pretrained.evaluation_log import now
from pretrained.landmarks import stages as landmark_stages
from pretrained.landmarks.sources import SELECTIONS
from pretrained.landmarks.stages import recipe_of

DONE, STALE, UNFINISHED, WAITING = "done", "stale", "unfinished", "waiting"
"""States of a stage: complete; complete, but an input was made again since; begun; not begun."""

CHAINS = ("appearance", "landmarks")
"""The nine trainings on labels alone, and the one that is supervised by hand landmarks, which continues from them."""

_SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class Runner:
    """Runs stages and keeps their stamps.

    A stamp names the stamps of the stages that made the inputs; when one of these is replaced, the stage is stale.
    """

    stages: Sequence[Stage]
    work: Path

    def __post_init__(self) -> None:
        """Check that names are unique and every input is an output of an earlier stage.

        Raises:
            ValueError: the chain is in disorder.
        """
        made: set[str] = set()
        names: set[str] = set()
        for stage in self.stages:
            missing = [name for name in stage.inputs if _maker(name) not in made and name not in made]
            if missing or stage.name in names:
                raise ValueError(f"{stage.name}: {', '.join(missing) or 'two stages have this name'}")
            names.add(stage.name)
            made |= set(stage.outputs)

    def state(self, stage: Stage) -> str:
        """Return the state of a stage."""
        stamp = self._stamp(stage)
        exist = [(self.work / name).exists() for name in stage.outputs]
        if stamp is None or not all(exist):
            return UNFINISHED if any(exist) and stamp is None else WAITING
        return DONE if stamp["inputs"] == self._inputs(stage) else STALE

    def stage(self, name: str) -> Stage:
        """Return the stage of that name.

        Raises:
            UserError: there is none.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UserError(f"There is no stage {name!r}. The stages are: {', '.join(one.name for one in self.stages)}.")

    def run(self, only: Sequence[str] = (), first: str | None = None) -> list[str]:
        """Run what is not done, in order; return the names of the stages that ran.

        Args:
            only: run these stages alone, again if they are done.
            first: run this stage and all after it again.

        Raises:
            UserError: there is no such stage, or an input of a stage in `only` is missing.
        """
        chosen = list(self.stages)
        again: set[str] = {self.stage(name).name for name in only}
        if only:
            chosen = [stage for stage in self.stages if stage.name in again]
        if first is not None:
            names = [stage.name for stage in self.stages]
            again = set(names[names.index(self.stage(first).name) :])
        for name in again:  # before the first of them runs, so that an interruption does not forget the wish
            self._stamp_file(name).unlink(missing_ok=True)
            self._begun_file(self.stage(name)).unlink(missing_ok=True)
        ran = []
        for stage in chosen:
            state = self.state(stage)
            if state == DONE:
                continue
            self._check_inputs(stage)
            inputs = self._inputs(stage)
            if state == STALE or stage.name in again or not self._may_continue(stage, inputs):
                self._remove_outputs(stage)
            print(f"{stage.name}: {stage.about}", flush=True)
            atomic.write_json(self._begun_file(stage), {"inputs": inputs})
            start = time.monotonic()
            stage.run()
            self._write_stamp(stage, inputs, time.monotonic() - start)
            self._begun_file(stage).unlink()
            ran.append(stage.name)
        return ran

    def table(self) -> list[str]:
        """Return a line per stage: state, name, what it does."""
        width = max(len(stage.name) for stage in self.stages)
        return [f"{self.state(stage):<10}  {stage.name:<{width}}  {stage.about}" for stage in self.stages]

    def _may_continue(self, stage: Stage, inputs: dict[str, str]) -> bool:
        """Whether what an interrupted stage left was made from the same inputs."""
        path = self._begun_file(stage)
        return path.is_file() and json.loads(path.read_text()) == {"inputs": inputs}

    def _check_inputs(self, stage: Stage) -> None:
        missing = [name for name in stage.inputs if not (self.work / name).exists()]
        if missing:
            raise UserError(f"{stage.name} needs {', '.join(missing)}. Run the earlier stages first (without --only).")

    def _remove_outputs(self, stage: Stage) -> None:
        for name in stage.outputs:
            path = self.work / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _inputs(self, stage: Stage) -> dict[str, str]:
        """Return the id of the stamp of each stage that made an input."""
        ids = {}
        for maker in self.stages:
            if {_maker(name) for name in stage.inputs} & {_maker(name) for name in maker.outputs}:
                stamp = self._stamp(maker)
                ids[maker.name] = "" if stamp is None else str(stamp["id"])
        return ids

    def _stamp_file(self, name: str) -> Path:
        return self.work / "stamps" / f"{name}.json"

    def _begun_file(self, stage: Stage) -> Path:
        return self.work / "stamps" / f"{stage.name}.begun.json"

    def _stamp(self, stage: Stage) -> dict[str, Any] | None:
        try:
            values: dict[str, Any] = json.loads(self._stamp_file(stage.name).read_text())
        except FileNotFoundError:
            return None
        return values

    def _write_stamp(self, stage: Stage, inputs: dict[str, str], seconds: float) -> None:
        values: dict[str, Any] = {"stage": stage.name, "finished": now(), "seconds": round(seconds, 1)}
        values["id"] = sha256(json.dumps([values, inputs, time.time_ns()]).encode()).hexdigest()[:16]
        atomic.write_json(self._stamp_file(stage.name), values | {"inputs": inputs, "outputs": list(stage.outputs)})


def _maker(name: str) -> str:
    """Return the folder or file right below the work folder that holds an output."""
    return Path(name).parts[0]


def check_settings(work: Path, data: Path, toy: bool, **more: str) -> None:
    """Refuse a work folder that was made with other settings, and note those of a new one.

    Raises:
        UserError: the folder holds stages of another data folder, of the other scale, or of another chain or selection.
    """
    settings = {"data": str(data.resolve()), "toy": toy, **more}
    path = work / _SETTINGS_FILE
    if path.is_file():
        stored = json.loads(path.read_text())
        if stored != settings:
            raise UserError(f"{work} was made with {stored}, not {settings}. Name another folder with --work.")
    atomic.write_json(path, settings)


def chain_settings(options: argparse.Namespace) -> dict[str, str]:
    """Return what the command line chooses about the chain, beyond the images and the scale."""
    if options.chain == "appearance":
        return {}
    start_from = options.start_from or recipe_of(options.selection).start_from
    return {"chain": options.chain, "selection": options.selection, "start_from": start_from}


def chosen_stages(options: argparse.Namespace) -> list[Stage]:
    """Return the stages of the chain that the command line names."""
    if options.chain == "appearance":
        return Chain(options.data, options.work, TOY if options.toy else Scale()).stages()
    usual = recipe_of(options.selection)
    recipe = landmark_stages.TOY if options.toy else landmark_stages.with_minutes(usual, options.minutes)
    recipe = replace(recipe, selection=options.selection, start_from=options.start_from or usual.start_from)
    return landmark_stages.stages(options.data, options.work, recipe)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chain, or list it."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per source of images")
    parser.add_argument("--work", type=Path, default=Path("pretrained-work"), help="keeps everything that is made")
    parser.add_argument("--chain", choices=CHAINS, default="appearance", help="which chain of stages")
    parser.add_argument("--selection", choices=SELECTIONS, default="all", help="images of the chain landmarks")
    parser.add_argument("--start-from", metavar="MODEL", help="weights that the chain landmarks starts from")
    parser.add_argument("--minutes", type=float, default=600, help="time for the training of the chain landmarks")
    parser.add_argument("--dry-run", action="store_true", help="list the stages and their state")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--from", metavar="STAGE", dest="first", help="run this stage and all after it again")
    chosen.add_argument("--only", metavar="STAGE", nargs="+", default=[], help="run single stages, again if done")
    parser.add_argument("--toy", action="store_true", help="a handful of images and one step per training")
    options = parser.parse_args(arguments)
    try:
        if not options.data.is_dir():
            raise UserError(f"{options.data} is not a folder. Name the folder of the images with --data.")
        runner = Runner(chosen_stages(options), options.work)
        if not options.dry_run:
            check_settings(options.work, options.data, options.toy, **chain_settings(options))
            runner.run(options.only, options.first)
        print(*runner.table(), sep="\n")
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted. The same command continues.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
