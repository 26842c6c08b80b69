"""train(): the run folder, reproducible histories, resuming after every kind of stop, and clear errors."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from recorded_progress import RecordedProgress, StopAt

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import DataError, MissingPackageError, RunError, TrainingError, UserError
from asl_edge.training import augmentation, recipes
from asl_edge.training.loop import epoch_checkpointer
from asl_edge.training.loop import train as train_module
from asl_edge.training.loop.build import class_weights
from asl_edge.training.loop.progress import Progress
from asl_edge.training.loop.start import resumed_config
from asl_edge.training.loop.train import Interrupted, train
from asl_edge.training.runs import checkpoints, train_state
from asl_edge.training.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("tiny_network")

# All that has a state: momentum of the optimizer, a schedule, dropout, augmentation, batch normalisation.
STATEFUL = {"learning_rate": 0.02, "batch_size": 16, "precision": "float32", "network": "tiny"}


@pytest.fixture
def arrays(colour_arrays):
    """Arrays of this test alone, which may change their files."""
    return PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])


@pytest.fixture(scope="module")
def shared_arrays(shared_colour_arrays):
    """The same arrays, for tests that only read them."""
    return PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])


def config(recipe="tutorial", epochs=4, **changes):
    return recipes.get(recipe, **(STATEFUL | {"epochs": epochs} | changes))


FIVE_EPOCHS = config(epochs=5, learning_rate=0.05)
THREE_EPOCHS = config("default", epochs=3, augmentation="none", on_device="off")


@pytest.fixture(scope="module")
def finished(shared_arrays, tmp_path_factory, tiny_network):
    """What an uninterrupted training of `FIVE_EPOCHS` returned; do not change its run folder."""
    return train(FIVE_EPOCHS, shared_arrays, tmp_path_factory.mktemp("five") / "run")


@pytest.fixture(scope="module")
def three_epochs(shared_arrays, tmp_path_factory, tiny_network):
    """The same of `THREE_EPOCHS`."""
    return train(THREE_EPOCHS, shared_arrays, tmp_path_factory.mktemp("three") / "run")


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run folder of `finished`."""
    return Path(shutil.copytree(finished.run, tmp_path / "run"))


@pytest.fixture(autouse=True)
def every_step_is_reported(monkeypatch):
    monkeypatch.setattr(Progress, "seconds_between_reports", 0.0)


def without_times(history):
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second", "waiting_share")} for row in history
    ]


def stored_weights(run: Path):
    return [np.asarray(weight) for weight in RunFolder.open(run).load_model().weights]


def test_leaves_a_whole_run_folder(finished):
    run, result = finished.run, finished
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    kept = {f"checkpoints/{path.name}" for path in (run / "checkpoints").glob("weights.*.keras")}
    assert names - kept == {
        "config.json", "environment.json", "history.csv", "results.json", "curves.png", "best.keras", "model.json",
        "model.weights.h5", "checkpoints/state.npz", "samples/test_images.npy", "samples/test_classes.npy",
        "samples/train_images.npy", "samples/train_classes.npy",
    }  # fmt: skip
    assert 3 <= len(kept) <= 4
    assert any(name.startswith("checkpoints/weights.05-") for name in kept)
    opened = RunFolder.open(run)
    assert opened.classes == ("A", "B", "C")
    assert (opened.input_size, opened.fit, opened.network) == (32, "stretch", "tiny")
    assert opened.config["asl_edge_version"]
    assert opened.config["colour"] == "RGB"
    assert opened.config["data"]["counts"] == {"train": 48, "validation": 15, "test": 15}
    assert opened.config | FIVE_EPOCHS.to_dict() == opened.config
    assert opened.history() == result.history
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 5]
    best = result.history[result.best_epoch - 1]
    assert best["val_accuracy"] == max(row["val_accuracy"] for row in result.history)
    assert result.scores["test"].images == 15
    assert json.loads((run / "results.json").read_text())["test"]["accuracy"] == result.scores["test"].accuracy


def test_learns_what_can_be_learnt(shared_arrays, tmp_path):
    result = train(config("tutorial", epochs=12, learning_rate=0.2, batch_size=8), shared_arrays, tmp_path / "run")
    assert result.scores["test"].accuracy == 1.0


@pytest.mark.parametrize(
    ("wanted", "stops"),
    [(config("default", epochs=3), (1, 3)), (FIVE_EPOCHS, (2,))],  # before anything is complete, in the last epoch
    ids=["default", "tutorial"],
)
def test_interrupted_and_resumed_gives_the_history_of_an_uninterrupted_run(
    wanted, stops, finished, shared_arrays, tmp_path
):
    whole = finished if wanted == FIVE_EPOCHS else train(wanted, shared_arrays, tmp_path / "whole")
    run = tmp_path / "stopped"
    for epoch in stops:
        with pytest.raises(Interrupted):
            train(wanted, shared_arrays, run, resume=run.exists(), progress=StopAt(epoch, 32))
    resumed = train(wanted, shared_arrays, run, resume=True)
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.scores == whole.scores
    for ours, theirs in zip(stored_weights(run), stored_weights(whole.run), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        ({"ema_momentum": 0.8}, (1, 2)),
        ({"accumulate": 2, "clip_norm": 0.5, "augmentation": "none"}, (2,)),
        (
            {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0, "augmentation": "none"}
            | {"drop_last": True, "batch_size": 10, "balance_classes": True, "steps_per_epoch": 2},
            (2,),
        ),
    ],
    ids=["averages", "accumulated", "momentum and part of the images"],
)
def test_stopped_within_an_epoch_it_resumes_at_the_step(changes, epochs, shared_arrays, tmp_path):
    arrays, wanted = shared_arrays, config("default", epochs=3, **({"batch_size": 12} | changes))
    whole = train(wanted, arrays, tmp_path / "whole")
    run = tmp_path / "run"
    for epoch in epochs:
        # Saved after the first step, stopped when the next one is reported; what came between is done again.
        saving = replace(wanted, checkpoint_steps=1)
        with pytest.raises(Interrupted):
            train(saving, arrays, run, resume=run.exists(), progress=StopAt(epoch, epoch * wanted.batch_size))
    progress = RecordedProgress()
    resumed = train(saving, arrays, run, resume=True, progress=progress)
    assert progress.reports[0] == (2, 2 * wanted.batch_size)  # one step of the second epoch was saved before the stop
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.scores == whole.scores
    for ours, theirs in zip(stored_weights(run), stored_weights(tmp_path / "whole"), strict=True):
        assert np.array_equal(ours, theirs)


def test_what_is_stored_and_validated_with_an_average_is_the_average(finished, shared_arrays, tmp_path):
    run = tmp_path / "averaged"
    averaged = train(replace(FIVE_EPOCHS, ema_momentum=0.5), shared_arrays, run)
    for result in (finished, averaged):
        # What was validated is what is stored: the score of the stored file is the history's.
        assert result.scores["validation"].accuracy == pytest.approx(
            result.history[result.best_epoch - 1]["val_accuracy"]
        )
    assert not np.array_equal(stored_weights(finished.run)[0], stored_weights(run)[0])
    state_of_run = train_state.load_state(run / "checkpoints/state.npz")
    # The training itself goes on from its own weights, which averaging has left as they are without it.
    assert state_of_run.weights_file is None
    checkpoints_without = finished.run / "checkpoints"
    last = checkpoints_without / train_state.load_state(checkpoints_without / "state.npz").weights_file
    import keras

    own = [weight.numpy() for weight in keras.models.load_model(last, compile=False).weights]
    for ours, theirs in zip(state_of_run.weights, own, strict=True):
        assert np.array_equal(ours, theirs)


def test_classes_count_alike_when_balanced(tmp_path, arrays):
    folder = tmp_path / "unbalanced"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        labels = arrays.split(split).labels
        rows = np.flatnonzero((labels != 2) | (np.arange(len(labels)) < 12))
        np.save(folder / f"{split}_set.npy", arrays.rgb(split, rows))
        np.save(folder / f"{split}_classes.npy", np.eye(3, dtype=np.float32)[labels[rows]])
    unbalanced = PreparedArrays.open(folder, classes=["A", "B", "C"])
    labels = unbalanced.split("train").labels
    weights = class_weights(unbalanced)
    totals = np.bincount(labels, weights=weights[labels])
    assert totals == pytest.approx(np.full(3, len(labels) / 3), rel=1e-6)
    plain = train(config(epochs=1), unbalanced, tmp_path / "plain").history[0]["loss"]
    balanced = train(config(epochs=1, balance_classes=True), unbalanced, tmp_path / "balanced").history[0]["loss"]
    assert plain != balanced


def test_accumulated_batches_are_one_large_batch(shared_arrays, tmp_path):
    """With neither dropout nor batch statistics in play, two batches of 8 make the update of one of 16."""
    from asl_edge.training import networks

    def build(classes, size):
        import keras

        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((size, size, 3), dtype="uint8"),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(classes),
                layers.Activation("softmax"),
            ]
        )

    if "linear" not in networks.names():
        networks.register(networks.Network("linear", "for tests", 32, 8, build))
    plain = config(epochs=2, learning_rate=0.01, network="linear")
    whole = train(plain, shared_arrays, tmp_path / "whole")
    halves = train(replace(plain, batch_size=8, accumulate=2), shared_arrays, tmp_path / "halves")
    assert halves.history[-1]["val_loss"] == pytest.approx(whole.history[-1]["val_loss"], rel=1e-4)


@pytest.mark.parametrize("bgr", [False, True])
def test_images_on_the_device_train_alike(bgr, three_epochs, arrays, tmp_path):
    if bgr:
        arrays = swapped(arrays)
    ours = train(replace(THREE_EPOCHS, on_device="on"), arrays, tmp_path / "on")
    for one, two in zip(ours.history, three_epochs.history, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
        assert one["val_loss"] == pytest.approx(two["val_loss"], rel=1e-5)
    sizes = [(run / "best.keras").stat().st_size for run in (ours.run, three_epochs.run)]
    assert sizes[0] < 1.1 * sizes[1]


def test_what_the_network_sees_is_drawn_and_mirrored_images_are_said_in_the_spec(shared_arrays, tmp_path):
    from asl_edge.export.export import export_run
    from asl_edge.runtime.onnx_file.metadata import read_spec

    arrays = shared_arrays
    with pytest.raises(Interrupted):  # it is drawn before the first step
        train(config("default", epochs=1), arrays, tmp_path / "default", progress=StopAt(1, 0))
    both = config(epochs=1, flip_probability=0.5, mixup_probability=0.3, cutmix_probability=0.3)
    result = train(both, arrays, tmp_path / "both")
    assert np.isfinite(result.history[0]["loss"])
    for run in ("default", "both"):
        assert (tmp_path / run / "augmentation.png").read_bytes().startswith(b"\x89PNG")
    export_run(tmp_path / "both", tmp_path / "both.onnx")
    trained_on = read_spec(tmp_path / "both.onnx").trained_on
    assert (trained_on["augmentation"], trained_on["flip_probability"]) == ("none", 0.5)
    with pytest.raises(DataError, match="must not add up to more than 1"):
        train(replace(both, mixup_probability=0.8), arrays, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_a_training_that_diverges_is_stopped(arrays, tmp_path):
    with pytest.raises(TrainingError, match=r"The loss rose to .* times the chance level: the training diverges"):
        train(config(epochs=3, learning_rate=300.0, momentum=0.9), arrays, tmp_path / "run")


def test_a_run_folder_that_is_removed_under_the_training_is_named(arrays, tmp_path):
    run = tmp_path / "run"

    class Remover(Progress):
        def epoch_begins(self, epoch, epochs, images):
            if epoch == 2:
                shutil.rmtree(run)

    with pytest.raises(TrainingError, match=r"The run folder .*run was removed during"):
        train(config(epochs=3), arrays, run, progress=Remover())
    assert not run.exists()


def test_sigterm_is_like_ctrl_c_and_what_an_interrupted_run_keeps_is_said_and_usable(shared_arrays, tmp_path):
    run, before = tmp_path / "run", signal.getsignal(signal.SIGTERM)
    terminated = StopAt(1, 16, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="before the first epoch"):
        train(config(), shared_arrays, run, progress=terminated)
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(RunError, match="no finished epoch yet .*--resume"):
        RunFolder.open(run)

    with pytest.raises(Interrupted, match="keeps 1 complete epoch of 4 and the best of them"):
        train(config(), shared_arrays, run, resume=True, progress=StopAt(2, 16))
    opened = RunFolder.open(run)
    assert len(opened.history()) == 1
    assert opened.load_model().output_shape == (None, 3)
    assert len(opened.samples("test")[0]) == 15


WRITES = [
    (checkpoints, "link_or_copy", True),  # first, while every other epoch is the best
    (checkpoints, "save_model", False),
    (checkpoints, "save_model", True),
    (epoch_checkpointer, "save_state", True),
    (epoch_checkpointer, "write_history", True),
    (checkpoints, "remove_others", True),
]


def test_killed_around_any_write_it_resumes_to_the_same_history(shared_arrays, tmp_path, monkeypatch):
    """Killed around one write after the other, each time at its second call since the training was resumed."""

    class Killed(BaseException):
        """Like kill -9: nothing of ours runs after it that would not run there, since nothing of ours catches it."""

    wanted = replace(THREE_EPOCHS, epochs=2 * len(WRITES) + 1)
    whole = train(wanted, shared_arrays, tmp_path / "whole")
    run = tmp_path / "run"
    for module, name, after in WRITES:
        real = getattr(module, name)
        calls: list[None] = []

        def killed_at_the_second_call(*arguments, real=real, calls=calls, after=after, **options):
            calls.append(None)
            if after and len(calls) == 2:
                real(*arguments, **options)
            if len(calls) == 2:
                raise Killed
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed_at_the_second_call)
            with pytest.raises(Killed):
                train(wanted, shared_arrays, run, resume=run.exists())
        kept = without_times(RunFolder.open(run).history())
        assert kept == without_times(whole.history)[: len(kept)], f"killed around {name}"
    resumed = train(wanted, shared_arrays, run, resume=True)
    assert without_times(resumed.history) == without_times(whole.history)
    assert without_times(RunFolder.open(run).history()) == without_times(whole.history)
    ours, theirs = ({p.name for p in (folder / "checkpoints").iterdir()} for folder in (run, whole.run))
    assert ours == theirs


def test_resuming_a_finished_run_says_the_same_again(run, finished, shared_arrays):
    again = train(FIVE_EPOCHS, shared_arrays, run, resume=True)
    assert again.history == finished.history
    assert again.scores == finished.scores


def test_more_epochs_may_follow_a_constant_rate_but_not_a_cosine(run, three_epochs, shared_arrays):
    assert train(resumed_config(run, epochs=6), shared_arrays, run, resume=True).epochs == 6
    with pytest.raises(RunError, match="epochs was 3, now 4"):
        resumed_config(three_epochs.run, epochs=4)


def test_another_choice_cannot_be_resumed_with(run, shared_arrays):
    with pytest.raises(RunError, match="batch_size was 16, now 8.*Leave these options out"):
        train(replace(FIVE_EPOCHS, batch_size=8), shared_arrays, run, resume=True)


def test_an_augmentation_that_a_newer_version_changed_is_said(run, shared_arrays):
    path = run / "config.json"
    before = json.loads(path.read_text())
    earlier = asdict(augmentation.get("light")) | {"rotation_degrees": 10, "hue_degrees": 5}
    path.write_text(json.dumps(before | {"augmentation": "light", "augmentation_values": earlier}))
    progress = StopAt(6, 0)
    with pytest.raises(Interrupted):
        train(resumed_config(run, epochs=6), shared_arrays, run, resume=True, progress=progress)
    notes = " ".join(progress.notes)
    assert "The augmentation light has changed since the run began: rotation_degrees 10, now 12, hue_degrees 5" in notes
    assert json.loads(path.read_text())["augmentation_values"]["rotation_degrees"] == 12


def test_changed_arrays_cannot_be_resumed_with(run, arrays):
    labels = np.load(arrays.folder / "train_classes.npy")
    np.save(arrays.folder / "train_classes.npy", np.roll(labels, 1, axis=1))
    changed = PreparedArrays.open(arrays.folder, classes=["A", "B", "C"])
    with pytest.raises(TrainingError, match="not those that the run began with .fingerprint differ"):
        train(FIVE_EPOCHS, changed, run, resume=True)
    renamed = PreparedArrays.open(arrays.folder, classes=["A", "B", "D"])
    with pytest.raises(TrainingError, match="began with the classes A,B,C. Received: A,B,D"):
        train(FIVE_EPOCHS, renamed, run, resume=True)


def test_resuming_without_a_run(arrays, tmp_path):
    with pytest.raises(RunError, match="There is no run folder at"):
        train(config(), arrays, tmp_path / "none", resume=True)


def test_what_is_no_runs_is_never_replaced(run, shared_arrays, tmp_path):
    other = tmp_path / "bert"
    (other / "precious").mkdir(parents=True)
    (other / "config.json").write_text('{"model_type": "bert"}')
    (other / "precious/thesis.txt").write_text("years")
    with pytest.raises(RunError, match=r"not part of a run \(config.json\)"):
        train(config(epochs=1), shared_arrays, other, overwrite=True)
    (run / "notes.txt").write_text("what I saw")
    with pytest.raises(RunError, match=r"not part of a run \(notes.txt\)"):
        train(config(epochs=1), shared_arrays, run, overwrite=True)
    (run / "notes.txt").rename(run / "model.onnx")
    assert train(config(epochs=1, seed=3), shared_arrays, run, overwrite=True).epochs == 1
    assert RunFolder.open(run).config["seed"] == 3
    assert not (run / "model.onnx").exists()
    assert (other / "precious/thesis.txt").read_text() == "years"


def test_a_run_that_cannot_begin_leaves_nothing(arrays, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError("3161088 requested and 139136 written")  # NumPy's words, without an errno

    with monkeypatch.context() as patch:
        patch.setattr("asl_edge.training.runs.image_samples.write_samples", full)
        with pytest.raises(
            TrainingError, match=r"is full. Nothing of the run was written; free some space and train again"
        ):
            train(config(epochs=1), arrays, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "afile").write_text("")
    with pytest.raises(RunError, match="cannot be made .*another --out"):
        train(config(epochs=1), arrays, tmp_path / "afile/run")
    # Of a process that was killed before its config stood, --overwrite makes a run.
    (tmp_path / "half/samples").mkdir(parents=True)
    with pytest.raises(RunError, match="never began. To replace it, add --overwrite"):
        train(config(epochs=1), arrays, tmp_path / "half")
    with pytest.raises(Interrupted):
        train(config(epochs=1), arrays, tmp_path / "half", overwrite=True, progress=StopAt(1, 0))
    assert (tmp_path / "half/config.json").is_file()


def test_a_folder_in_the_way(finished, shared_arrays, tmp_path):
    arrays = shared_arrays
    with pytest.raises(RunError, match="already holds a run. To continue it, add --resume"):
        train(config(epochs=1), arrays, finished.run)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="holds something that is not part of a run"):
            train(config(), arrays, tmp_path / "letters", overwrite=overwrite)
    with pytest.raises(RunError, match="is a file"):
        train(config(), arrays, tmp_path / "letters" / "mine.txt")


def test_mixed_precision_is_stored_and_scored_in_float32(shared_arrays, tmp_path):
    arrays = shared_arrays
    result = train(replace(THREE_EPOCHS, precision="mixed"), arrays, tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    assert run.config["dtype_policy"] == "mixed_bfloat16"
    for path in [run.best_model_path, *(tmp_path / "run/checkpoints").glob("*.keras")]:
        import keras

        model = keras.models.load_model(path, compile=False)
        assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
        assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    probabilities = run.load_model().predict_on_batch(arrays.rgb("test", np.arange(15)))
    assert (probabilities.argmax(axis=1) == arrays.split("test").labels).mean() == result.scores["test"].accuracy
    assert keras.config.dtype_policy().name == "float32"


def test_the_stored_network_is_the_plain_one(three_epochs):
    model = RunFolder.open(three_epochs.run).load_model()
    names = [type(layer).__name__ for layer in model.layers]
    assert names[:3] == ["Rescaling", "Conv2D", "BatchNormalization"]
    assert model.layers[2].momentum == 0.99  # the recipe's own is for training only
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.3]
    assert model.inputs[0].dtype == "uint8"


def test_the_tutorials_pair_of_files_loads_as_the_tutorial_loads_it(finished, shared_arrays):
    from keras.models import model_from_json

    run, arrays = finished.run, shared_arrays
    model = model_from_json((run / "model.json").read_text())
    model.load_weights(run / "model.weights.h5")
    images = arrays.rgb("test", np.arange(15))
    assert np.array_equal(model.predict_on_batch(images), RunFolder.open(run).load_model().predict_on_batch(images))


def test_keep_all_keeps_every_epoch_under_the_tutorials_names_and_tensorboard_has_its_logs(shared_arrays, tmp_path):
    pytest.importorskip("tensorboard")
    result = train(config(epochs=5, keep="all", tensorboard=True), shared_arrays, tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").glob("*.keras"))
    assert names == [f"weights.{row['epoch']:02d}-{row['val_loss']:.2f}.keras" for row in result.history]
    assert list((tmp_path / "run/tensorboard").rglob("events.out.tfevents.*"))


def test_early_stopping_stops_and_a_resume_does_not_go_on_even_without_the_best_checkpoint(arrays, tmp_path):
    path = arrays.folder / "validation_classes.npy"
    np.save(path, np.roll(np.load(path), 1, axis=1))  # wrong answers: what is learnt makes the loss grow
    wanted = config("tutorial", epochs=40, learning_rate=0.2, early_stopping=2)
    arrays = PreparedArrays.open(arrays.folder, classes=["A", "B", "C"])
    run = tmp_path / "run"
    result = train(wanted, arrays, run)
    assert result.epochs < 40
    assert result.epochs - result.best_epoch == 2
    assert result.stopped_early
    next((run / "checkpoints").glob(f"weights.{result.best_epoch:02d}-*.keras")).unlink()
    kept = (run / "best.keras").read_bytes()
    assert train(wanted, arrays, run, resume=True).epochs == result.epochs
    assert (run / "best.keras").read_bytes() == kept


def test_a_loss_that_is_no_number_names_epoch_and_step_and_keeps_the_last_good_weights(run, shared_arrays, tmp_path):
    arrays = shared_arrays
    with pytest.raises(TrainingError, match=r"loss became nan in epoch 1, step \d.*No epoch is complete.*lower --lear"):
        train(config("tutorial", epochs=2, learning_rate=1e30), arrays, tmp_path / "bad")

    more = resumed_config(run, epochs=7)
    built = []
    original = epoch_checkpointer.EpochCheckpointer.__init__

    def remember(self, *arguments, **options):
        original(self, *arguments, **options)
        built.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_checkpointer.EpochCheckpointer, "__init__", remember)

        class Poison(Progress):
            def epoch_begins(self, epoch, epochs, images):
                if epoch == 6:
                    built[0].model.optimizer.learning_rate.assign(float("inf"))

        with pytest.raises(TrainingError, match="in epoch 6, step 2.*keeps its 5 complete epochs"):
            train(more, arrays, run, resume=True, progress=Poison())
    assert all(np.isfinite(weight).all() for weight in stored_weights(run))


def test_a_full_disk_is_named(arrays, tmp_path, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(epoch_checkpointer, "save_state", full)
    with pytest.raises(
        TrainingError, match="The disk that holds .* is full.*free some space and continue with --resume"
    ):
        train(config(), arrays, tmp_path / "run")


def swapped(arrays):
    """Write the colours of the arrays' images in the other order, and open them as what they are then."""
    for split in ("train", "validation", "test"):
        path = arrays.folder / f"{split}_set.npy"
        np.save(path, np.load(path)[..., ::-1])
    return PreparedArrays.open(arrays.folder, classes=["A", "B", "C"], bgr=True)


def test_bgr_arrays_train_as_their_rgb_twins_with_the_same_seed(finished, arrays, shared_arrays, tmp_path):
    ours = train(FIVE_EPOCHS, swapped(arrays), tmp_path / "run")
    assert without_times(ours.history) == without_times(finished.history)
    images, labels = RunFolder.open(tmp_path / "run").samples("test")
    assert np.array_equal(images, shared_arrays.rgb("test", np.arange(15)))
    assert np.array_equal(labels, shared_arrays.split("test").labels)


def test_another_seed_gives_another_history(finished, shared_arrays, tmp_path):
    other = train(replace(FIVE_EPOCHS, epochs=1, seed=1), shared_arrays, tmp_path / "run")
    assert without_times(other.history) != without_times(finished.history)[:1]


def test_images_too_small_for_the_network(arrays, tmp_path):
    with pytest.raises(DataError, match="alexnet needs images of at least 215x215"):
        train(config(network="alexnet"), arrays, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_names_are_refused_before_anything_is_written(arrays, tmp_path):
    for changes in ({"network": "lenet"}, {"augmentation": "wild"}):
        with pytest.raises(UserError, match="Unknown"):
            train(config(**changes), arrays, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_validation_images_there_is_nothing_to_choose_by(arrays, tmp_path):
    (arrays.folder / "validation_set.npy").unlink()
    lacking = PreparedArrays.open(arrays.folder, classes=["A", "B", "C"])
    with pytest.raises(DataError, match="no validation images"):
        train(config(), lacking, tmp_path / "run")


def test_without_test_images_the_samples_come_from_validation(arrays, tmp_path):
    (arrays.folder / "test_set.npy").unlink()
    lacking = PreparedArrays.open(arrays.folder, classes=["A", "B", "C"])
    result = train(config(epochs=1), lacking, tmp_path / "run")
    assert set(result.scores) == {"validation"}
    run = RunFolder.open(tmp_path / "run")
    assert run.config["samples"]["test"] == {"split": "validation", "images": 15}


def test_without_tensorboard_nothing_begins(arrays, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr(train_module, "load_keras", pytest.fail)
    with pytest.raises(MissingPackageError, match=r"tensorboard not found.*asl-edge\[train,tensorboard\]"):
        train(config(epochs=1, tensorboard=True), arrays, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_state_and_a_missing_checkpoint_are_named(run, shared_arrays):
    kept = train_state.load_state(run / "checkpoints/state.npz")
    (run / "checkpoints" / kept.weights_file).unlink()
    with pytest.raises(RunError, match="missing or damaged"):
        train(FIVE_EPOCHS, shared_arrays, run, resume=True)
    (run / "checkpoints/state.npz").write_bytes(b"PK damaged")
    with pytest.raises(RunError, match="is damaged .*cannot be resumed"):
        train(FIVE_EPOCHS, shared_arrays, run, resume=True)
