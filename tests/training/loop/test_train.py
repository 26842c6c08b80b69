"""train(): the run folder, reproducible histories, resuming after every kind of stop, and clear errors."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded_progress import RecordedProgress, StopAt

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import DataError, MissingPackageError, RunError, TrainingError, UserError
from asl_edge.training import recipes
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
    return PreparedArrays.open(colour_arrays, classes=["A", "B", "C"])


@pytest.fixture(scope="module")
def three_epochs(shared_colour_arrays, tmp_path_factory, tiny_network):
    """Run folder of an uninterrupted training of three epochs."""
    run = tmp_path_factory.mktemp("three") / "run"
    train(THREE_EPOCHS, PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"]), run)
    return run


def config(recipe="tutorial", epochs=4, **changes):
    return recipes.get(recipe, **(STATEFUL | {"epochs": epochs} | changes))


THREE_EPOCHS = config("default", epochs=3, augmentation="none")


@pytest.fixture(autouse=True)
def every_step_is_reported(monkeypatch):
    monkeypatch.setattr(Progress, "seconds_between_reports", 0.0)


def without_times(history):
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second", "waiting_share")} for row in history
    ]


def stored_weights(run: Path):
    return [np.asarray(weight) for weight in RunFolder.open(run).load_model().weights]


def test_leaves_a_whole_run_folder(arrays, tmp_path):
    run = tmp_path / "run"
    result = train(config(epochs=5, learning_rate=0.05), arrays, run)
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
    assert opened.config | config(epochs=5, learning_rate=0.05).to_dict() == opened.config
    assert opened.history() == result.history
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 5]
    best = result.history[result.best_epoch - 1]
    assert best["val_accuracy"] == max(row["val_accuracy"] for row in result.history)
    assert result.scores["test"].images == 15
    assert json.loads((run / "results.json").read_text())["test"]["accuracy"] == result.scores["test"].accuracy


def test_learns_what_can_be_learnt(arrays, tmp_path):
    result = train(config("tutorial", epochs=12, learning_rate=0.2, batch_size=8), arrays, tmp_path / "run")
    assert result.scores["test"].accuracy == 1.0


def test_same_seed_same_history_other_seed_another(arrays, tmp_path):
    first, second, other = (
        train(config(epochs=2, seed=seed), arrays, tmp_path / name) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert without_times(first.history) == without_times(second.history)
    assert without_times(first.history) != without_times(other.history)


@pytest.mark.parametrize(
    ("recipe", "stops"),
    [("default", (1, 3)), ("tutorial", (2,))],  # before anything is complete, in the middle, in the last epoch
)
def test_interrupted_and_resumed_gives_the_history_of_an_uninterrupted_run(recipe, stops, arrays, tmp_path):
    wanted = config(recipe, epochs=3)
    whole = train(wanted, arrays, tmp_path / "whole")
    run = tmp_path / "stopped"
    for epoch in stops:
        with pytest.raises(Interrupted):
            train(wanted, arrays, run, resume=run.exists(), progress=StopAt(epoch, 32))
    resumed = train(wanted, arrays, run, resume=True)
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.scores == whole.scores
    for ours, theirs in zip(stored_weights(run), stored_weights(tmp_path / "whole"), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema_momentum": 0.8},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0, "augmentation": "none"},
        {"accumulate": 2, "clip_norm": 0.5, "augmentation": "none"},
        {"drop_last": True, "batch_size": 10, "balance_classes": True, "steps_per_epoch": 2, "augmentation": "none"},
    ],
    ids=str,
)
def test_stopped_within_an_epoch_it_resumes_at_the_step(changes, arrays, tmp_path):
    wanted = config("default", epochs=3, **({"batch_size": 12} | changes))
    whole = train(wanted, arrays, tmp_path / "whole")
    run = tmp_path / "run"
    for epoch, images in ((1, wanted.batch_size), (2, 2 * wanted.batch_size)):
        # Saved after the first step, stopped when the next one is reported; what came between is done again.
        saving = replace(wanted, checkpoint_steps=1)
        with pytest.raises(Interrupted):
            train(saving, arrays, run, resume=run.exists(), progress=StopAt(epoch, images))
    progress = RecordedProgress()
    resumed = train(saving, arrays, run, resume=True, progress=progress)
    assert progress.reports[0] == (2, 2 * wanted.batch_size)  # one step of the second epoch was saved before the stop
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.scores == whole.scores
    for ours, theirs in zip(stored_weights(run), stored_weights(tmp_path / "whole"), strict=True):
        assert np.array_equal(ours, theirs)


def test_what_is_stored_and_validated_with_an_average_is_the_average(arrays, tmp_path):
    plain = config(epochs=2, learning_rate=0.05)
    stored = {}
    for momentum in (0.0, 0.5):
        run = tmp_path / str(momentum)
        result = train(replace(plain, ema_momentum=momentum), arrays, run)
        stored[momentum] = stored_weights(run)
        # What was validated is what is stored: the score of the stored file is the history's.
        assert result.scores["validation"].accuracy == pytest.approx(
            result.history[result.best_epoch - 1]["val_accuracy"]
        )
    assert not np.array_equal(stored[0.0][0], stored[0.5][0])
    state_of_run = train_state.load_state(tmp_path / "0.5/checkpoints/state.npz")
    # The training itself goes on from its own weights, which averaging has left as they are without it.
    assert state_of_run.weights_file is None
    last = tmp_path / "0.0/checkpoints" / train_state.load_state(tmp_path / "0.0/checkpoints/state.npz").weights_file
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


def test_accumulated_batches_are_one_large_batch(arrays, tmp_path):
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
    whole = train(plain, arrays, tmp_path / "whole")
    halves = train(replace(plain, batch_size=8, accumulate=2), arrays, tmp_path / "halves")
    assert halves.history[-1]["val_loss"] == pytest.approx(whole.history[-1]["val_loss"], rel=1e-4)


@pytest.mark.parametrize("bgr", [False, True])
def test_images_on_the_device_train_alike(bgr, colour_arrays, tmp_path):
    arrays = PreparedArrays.open(colour_arrays, classes=["A", "B", "C"], bgr=bgr)
    plain = config("default", epochs=2, on_device="off", augmentation="none")
    ours, theirs = (train(replace(plain, on_device=where), arrays, tmp_path / where).history for where in ("on", "off"))
    for one, two in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
        assert one["val_loss"] == pytest.approx(two["val_loss"], rel=1e-5)
    assert (tmp_path / "on/best.keras").stat().st_size < 1.1 * (tmp_path / "off/best.keras").stat().st_size


def test_what_the_network_sees_is_drawn_and_mirrored_images_are_said_in_the_spec(arrays, tmp_path):
    from asl_edge.export.export import export_run
    from asl_edge.runtime.onnx_file.metadata import read_spec

    train(config("default", epochs=1), arrays, tmp_path / "plain")
    both = config(epochs=1, flip_probability=0.5, mixup_probability=0.3, cutmix_probability=0.3)
    result = train(both, arrays, tmp_path / "both")
    assert np.isfinite(result.history[0]["loss"])
    for run in ("plain", "both"):
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


def test_an_interrupted_run_is_usable_and_says_what_it_keeps(arrays, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Interrupted, match="keeps 1 complete epoch of 4 and the best of them"):
        train(config(), arrays, run, progress=StopAt(2, 16))
    opened = RunFolder.open(run)
    assert len(opened.history()) == 1
    assert opened.load_model().output_shape == (None, 3)
    assert len(opened.samples("test")[0]) == 15


def test_sigterm_is_like_ctrl_c_and_the_handler_is_put_back(arrays, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(config(), arrays, tmp_path / "r", progress=StopAt(1, 16, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_without_a_complete_epoch_cannot_be_opened_but_resumed(arrays, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Interrupted, match="before the first epoch"):
        train(config(), arrays, run, progress=StopAt(1, 16))
    with pytest.raises(RunError, match="no finished epoch yet .*--resume"):
        RunFolder.open(run)
    assert train(config(), arrays, run, resume=True).epochs == 4


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [
        (checkpoints, "save_model", False),
        (checkpoints, "save_model", True),
        (epoch_checkpointer, "save_state", True),
        (epoch_checkpointer, "write_history", True),
        (checkpoints, "link_or_copy", True),
        (checkpoints, "remove_others", True),
    ],
)
def test_killed_around_any_write_it_resumes_to_the_same_history(
    module, name, after, arrays, three_epochs, tmp_path, monkeypatch
):
    class Killed(BaseException):
        """Like kill -9: nothing of ours runs after it that would not run there, since nothing of ours catches it."""

    whole = without_times(RunFolder.open(three_epochs).history())
    run, real = tmp_path / "run", getattr(module, name)
    calls: list[None] = []

    def killed_at_the_second_epoch(*arguments, **options):
        calls.append(None)
        if after and len(calls) == 2:
            real(*arguments, **options)
        if len(calls) == 2:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed_at_the_second_epoch)
        with pytest.raises(Killed):
            train(THREE_EPOCHS, arrays, run)
    resumed = train(THREE_EPOCHS, arrays, run, resume=True)
    assert without_times(resumed.history) == whole
    assert without_times(RunFolder.open(run).history()) == whole
    ours, theirs = ({p.name for p in (folder / "checkpoints").iterdir()} for folder in (run, three_epochs))
    assert ours == theirs


def test_resuming_a_finished_run_says_the_same_again(arrays, tmp_path):
    first = train(config(epochs=2), arrays, tmp_path / "run")
    again = train(config(epochs=2), arrays, tmp_path / "run", resume=True)
    assert again.history == first.history
    assert again.scores == first.scores


def test_more_epochs_may_follow_a_constant_rate_but_not_a_cosine(arrays, tmp_path):
    train(config("tutorial", epochs=1), arrays, tmp_path / "constant")
    more = resumed_config(tmp_path / "constant", epochs=2)
    assert train(more, arrays, tmp_path / "constant", resume=True).epochs == 2
    train(config("default", epochs=1, augmentation="none"), arrays, tmp_path / "cosine")
    with pytest.raises(RunError, match="epochs was 1, now 2"):
        resumed_config(tmp_path / "cosine", epochs=2)


def test_another_choice_cannot_be_resumed_with(arrays, tmp_path):
    train(config(epochs=1), arrays, tmp_path / "run")
    with pytest.raises(RunError, match="batch_size was 16, now 8.*Leave these options out"):
        train(config(epochs=1, batch_size=8), arrays, tmp_path / "run", resume=True)


def test_an_augmentation_that_a_newer_version_changed_is_said(arrays, tmp_path):
    wanted = config("tutorial", epochs=1, augmentation="light")
    train(wanted, arrays, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    before = json.loads(path.read_text())
    assert before["augmentation_values"]["rotation_degrees"] == 12
    before["augmentation_values"] |= {"rotation_degrees": 10, "hue_degrees": 5}
    path.write_text(json.dumps(before))
    progress = RecordedProgress()
    train(resumed_config(tmp_path / "run", epochs=2), arrays, tmp_path / "run", resume=True, progress=progress)
    notes = " ".join(progress.notes)
    assert "The augmentation light has changed since the run began: rotation_degrees 10, now 12, hue_degrees 5" in notes
    assert json.loads(path.read_text())["augmentation_values"]["rotation_degrees"] == 12


def test_changed_arrays_cannot_be_resumed_with(arrays, tmp_path):
    train(config(epochs=1), arrays, tmp_path / "run")
    labels = np.load(arrays.folder / "train_classes.npy")
    np.save(arrays.folder / "train_classes.npy", np.roll(labels, 1, axis=1))
    changed = PreparedArrays.open(arrays.folder, classes=["A", "B", "C"])
    with pytest.raises(TrainingError, match="not those that the run began with .fingerprint differ"):
        train(config(epochs=1), changed, tmp_path / "run", resume=True)
    renamed = PreparedArrays.open(arrays.folder, classes=["A", "B", "D"])
    with pytest.raises(TrainingError, match="began with the classes A,B,C. Received: A,B,D"):
        train(config(epochs=1), renamed, tmp_path / "run", resume=True)


def test_resuming_without_a_run(arrays, tmp_path):
    with pytest.raises(RunError, match="There is no run folder at"):
        train(config(), arrays, tmp_path / "none", resume=True)


def test_what_is_no_runs_is_never_replaced(arrays, tmp_path):
    other = tmp_path / "bert"
    (other / "precious").mkdir(parents=True)
    (other / "config.json").write_text('{"model_type": "bert"}')
    (other / "precious/thesis.txt").write_text("years")
    with pytest.raises(RunError, match=r"not part of a run \(config.json\)"):
        train(config(epochs=1), arrays, other, overwrite=True)
    run = tmp_path / "run"
    train(config(epochs=1), arrays, run)
    (run / "notes.txt").write_text("what I saw")
    with pytest.raises(RunError, match=r"not part of a run \(notes.txt\)"):
        train(config(epochs=1), arrays, run, overwrite=True)
    (run / "notes.txt").rename(run / "model.onnx")
    assert train(config(epochs=1), arrays, run, overwrite=True).epochs == 1
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
    assert train(config(epochs=1), arrays, tmp_path / "half", overwrite=True).epochs == 1


def test_a_folder_in_the_way(arrays, tmp_path):
    run = tmp_path / "run"
    train(config(epochs=1), arrays, run)
    with pytest.raises(RunError, match="already holds a run. To continue it, add --resume"):
        train(config(epochs=1), arrays, run)
    assert train(config(epochs=1, seed=3), arrays, run, overwrite=True).epochs == 1
    assert RunFolder.open(run).config["seed"] == 3
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="holds something that is not part of a run"):
            train(config(), arrays, tmp_path / "letters", overwrite=overwrite)
    with pytest.raises(RunError, match="is a file"):
        train(config(), arrays, tmp_path / "letters" / "mine.txt")


def test_mixed_precision_is_stored_and_scored_in_float32(arrays, tmp_path):
    result = train(config("default", epochs=2, precision="mixed"), arrays, tmp_path / "run")
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


def test_the_stored_network_is_the_plain_one(arrays, tmp_path):
    train(config("default", epochs=1), arrays, tmp_path / "run")
    model = RunFolder.open(tmp_path / "run").load_model()
    names = [type(layer).__name__ for layer in model.layers]
    assert names[:3] == ["Rescaling", "Conv2D", "BatchNormalization"]
    assert model.layers[2].momentum == 0.99  # the recipe's own is for training only
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.3]
    assert model.inputs[0].dtype == "uint8"


def test_the_tutorials_pair_of_files_loads_as_the_tutorial_loads_it(arrays, tmp_path):
    from keras.models import model_from_json

    run = tmp_path / "run"
    train(config(epochs=2), arrays, run)
    model = model_from_json((run / "model.json").read_text())
    model.load_weights(run / "model.weights.h5")
    images = arrays.rgb("test", np.arange(15))
    assert np.array_equal(model.predict_on_batch(images), RunFolder.open(run).load_model().predict_on_batch(images))


def test_keep_all_keeps_every_epoch_under_the_tutorials_names(arrays, tmp_path):
    result = train(config(epochs=5, keep="all"), arrays, tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").glob("*.keras"))
    assert names == [f"weights.{row['epoch']:02d}-{row['val_loss']:.2f}.keras" for row in result.history]


def test_early_stopping_stops_and_a_resume_does_not_go_on(arrays, tmp_path):
    path = arrays.folder / "validation_classes.npy"
    np.save(path, np.roll(np.load(path), 1, axis=1))  # wrong answers: what is learnt makes the loss grow
    wanted = config("tutorial", epochs=40, learning_rate=0.2, early_stopping=2)
    arrays = PreparedArrays.open(arrays.folder, classes=["A", "B", "C"])
    result = train(wanted, arrays, tmp_path / "run")
    assert result.epochs < 40
    assert result.epochs - result.best_epoch == 2
    assert result.stopped_early
    assert train(wanted, arrays, tmp_path / "run", resume=True).epochs == result.epochs


def test_a_loss_that_is_no_number_names_epoch_and_step_and_keeps_the_last_good_weights(arrays, tmp_path):
    run = tmp_path / "run"
    wanted = config("tutorial", epochs=2, learning_rate=0.01)
    train(wanted, arrays, run)
    with pytest.raises(TrainingError, match=r"loss became nan in epoch 1, step \d.*No epoch is complete.*lower --lear"):
        train(config("tutorial", epochs=2, learning_rate=1e30), arrays, tmp_path / "bad")

    more = resumed_config(run, epochs=6)
    built = []
    original = epoch_checkpointer.EpochCheckpointer.__init__

    def remember(self, *arguments, **options):
        original(self, *arguments, **options)
        built.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_checkpointer.EpochCheckpointer, "__init__", remember)

        class Poison(Progress):
            def epoch_begins(self, epoch, epochs, images):
                if epoch == 3:
                    built[0].model.optimizer.learning_rate.assign(float("inf"))

        with pytest.raises(TrainingError, match="in epoch 3, step 2.*keeps its 2 complete epochs"):
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


def test_bgr_arrays_train_as_their_rgb_twins(arrays, tmp_path):
    import shutil

    swapped = tmp_path / "bgr"
    shutil.copytree(arrays.folder, swapped)
    for split in ("train", "validation", "test"):
        np.save(swapped / f"{split}_set.npy", np.load(swapped / f"{split}_set.npy")[..., ::-1])
    bgr = PreparedArrays.open(swapped, classes=["A", "B", "C"], bgr=True)
    ours, theirs = train(config(epochs=2), bgr, tmp_path / "a"), train(config(epochs=2), arrays, tmp_path / "b")
    assert without_times(ours.history) == without_times(theirs.history)
    images, labels = RunFolder.open(tmp_path / "a").samples("test")
    assert np.array_equal(images, arrays.rgb("test", np.arange(15)))
    assert np.array_equal(labels, arrays.split("test").labels)


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


def test_tensorboard_logs_stand_in_the_run(arrays, tmp_path):
    pytest.importorskip("tensorboard")
    train(config(epochs=1, tensorboard=True), arrays, tmp_path / "run")
    assert list((tmp_path / "run/tensorboard").rglob("events.out.tfevents.*"))


def test_a_damaged_state_and_a_missing_checkpoint_are_named(arrays, tmp_path):
    run = tmp_path / "run"
    train(config(epochs=1), arrays, run)
    kept = train_state.load_state(run / "checkpoints/state.npz")
    (run / "checkpoints" / kept.weights_file).unlink()
    with pytest.raises(RunError, match="missing or damaged"):
        train(config(epochs=1), arrays, run, resume=True)
    (run / "checkpoints/state.npz").write_bytes(b"PK damaged")
    with pytest.raises(RunError, match="is damaged .*cannot be resumed"):
        train(config(epochs=1), arrays, run, resume=True)


def test_a_deleted_checkpoint_of_the_best_epoch_does_not_stop_a_resume(arrays, tmp_path):
    path = arrays.folder / "validation_classes.npy"
    np.save(path, np.roll(np.load(path), 1, axis=1))  # wrong answers: the first epoch is the best
    wanted = config("tutorial", epochs=4, learning_rate=0.2)
    arrays = PreparedArrays.open(arrays.folder, classes=["A", "B", "C"])
    whole = train(wanted, arrays, tmp_path / "run")
    assert whole.best_epoch < 4
    next((tmp_path / "run/checkpoints").glob(f"weights.{whole.best_epoch:02d}-*.keras")).unlink()
    kept = (tmp_path / "run/best.keras").read_bytes()
    train(wanted, arrays, tmp_path / "run", resume=True)
    assert (tmp_path / "run/best.keras").read_bytes() == kept
