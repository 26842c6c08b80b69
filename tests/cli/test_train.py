"""`asl-edge train`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from asl_edge.cli import main
from asl_edge.data.arrays import sha256_of

pytestmark = pytest.mark.usefixtures("tiny_network")

QUICK = ["--recipe", "tutorial", "--network", "tiny", "--epochs", "2", "--batch-size", "16", "--classes", "A,B,C"]


@pytest.fixture
def with_manifest(colour_arrays):
    names = sorted(path.name for path in colour_arrays.iterdir())
    manifest = {
        "classes": ["A", "B", "C"],
        "fit": "crop",
        "split": "blocks",
        "sources": [{"path": "hands", "images": 78}],
        "files": {name: {"sha256": sha256_of(colour_arrays / name)} for name in names},
    }
    (colour_arrays / "manifest.json").write_text(json.dumps(manifest))
    return colour_arrays


def run(*words):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as stopped:
        main(["train", *map(str, words)])
    return stopped.value.code


def test_trains_and_ends_with_the_export_command_and_a_run_in_the_way_names_both_ways_out(
    colour_arrays, tmp_path, capsys
):
    out = tmp_path / "my run"
    assert run(colour_arrays, "--out", out, *QUICK) == 0
    printed = capsys.readouterr()
    assert "test accuracy" in printed.out
    assert "on 15 images" in printed.out
    assert "Epoch 2/2  loss" in printed.err
    assert printed.err.rstrip().endswith(f"asl-edge export '{out}' --out '{out / 'model.onnx'}'")

    assert run(colour_arrays, "--out", out, *QUICK) == 2
    printed = capsys.readouterr()
    assert "--resume" in printed.err
    assert "--overwrite" in printed.err

    assert run(colour_arrays, "--out", out, "--overwrite", "--json", *QUICK) == 0
    result = json.loads(capsys.readouterr().out)  # one value
    assert result["epochs"] == 2
    assert result["test"]["images"] == 15
    assert [row["epoch"] for row in result["history"]] == [1, 2]


def test_options_override_the_recipe_every_other_choice_can_be_set_and_all_are_recorded(
    colour_arrays, tmp_path, capsys
):
    options = ["--learning-rate", "0.02", "--seed", "5", "--precision", "mixed"]
    options += ["--early-stopping", "9", "--keep", "all", "--set", "clip_norm=5", "--set", "drop_last=true"]
    assert run(colour_arrays, "--out", tmp_path / "run", *QUICK, *options) == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["recipe"], config["epochs"], config["batch_size"], config["seed"]) == ("tutorial", 2, 16, 5)
    assert (config["learning_rate"], config["precision"], config["early_stopping"]) == (0.02, "mixed", 9)
    assert (config["keep"], config["optimizer"], config["classes"]) == ("all", "sgd", ["A", "B", "C"])
    assert (config["clip_norm"], config["drop_last"]) == (5.0, True)
    capsys.readouterr()
    assert run(colour_arrays, "--out", tmp_path / "other", *QUICK, "--set", "epochs=3") == 2
    assert "epochs is given by an option and by --set" in capsys.readouterr().err


def test_damaged_arrays_are_found_before_training_and_the_manifest_travels_into_the_run(
    with_manifest, tmp_path, capsys
):
    images = np.load(with_manifest / "train_set.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(with_manifest / "train_set.npy", images)
    assert run(with_manifest, "--out", tmp_path / "run", *QUICK) == 2
    assert "train_set.npy is damaged or was changed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert run(with_manifest, "--out", tmp_path / "run", "--no-check", *QUICK) == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["fit"] == "crop"
    assert config["data"]["split"] == "blocks"
    assert config["data"]["sources"] == [{"path": "hands", "images": 78}]
    assert set(config["data"]["fingerprint"]) >= {"train_set.npy", "test_classes.npy"}


def test_set_help_lists_every_choice(capsys):
    assert run("--set", "help") == 0
    printed = capsys.readouterr().out
    assert "label_smoothing" in printed
    assert "at least 0 and below 1" in " ".join(printed.split())


def test_interrupted_says_how_to_resume_and_resumes(colour_arrays, tmp_path, capsys, monkeypatch):
    from asl_edge.training.loop import epoch_checkpointer

    out, real = tmp_path / "run", epoch_checkpointer.EpochCheckpointer.begin_epoch

    def stop_at_the_second(self, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        real(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(epoch_checkpointer.EpochCheckpointer, "begin_epoch", stop_at_the_second)
        assert run(colour_arrays, "--out", out, *QUICK[:-1], "X,Y,space", "--bgr") == 130
    printed = capsys.readouterr().err
    assert "keeps 1 complete epoch of 2" in printed
    assert f"asl-edge train {colour_arrays} --out {out} --resume" in printed
    assert run(colour_arrays, "--out", out, "--resume") == 0  # classes and colours as begun
    printed = capsys.readouterr().err
    assert "Resuming after epoch 1 of 2" in printed
    assert "Epoch 1/2" not in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "asl-edge train ARRAYS --out RUN"),
        (["ARRAYS"], "asl-edge train ARRAYS --out RUN"),
        (["ARRAYS", "--out", "RUN", "--recipe", "best"], "Unknown recipe 'best'"),
        (["ARRAYS", "--out", "RUN", "--network", "lenet"], "Unknown network 'lenet'"),
        (["ARRAYS", "--out", "RUN", "--epochs", "0"], "epochs must be a whole number of at least 1"),
        (["ARRAYS", "--out", "RUN", "--precision", "half"], "precision must be one of"),
        (["ARRAYS", "--out", "RUN", "--classes", "A,B"], "3 columns. Received 2 classes"),
        (["ARRAYS", "--out", "RUN", "--resume", "--overwrite"], "exclude each other"),
        (["ARRAYS", "--out", "RUN", "--resume"], "There is no run folder at"),
        (["nowhere", "--out", "RUN"], "No folder of prepared arrays at nowhere"),
        (["--summary"], "--summary needs the number of classes"),
        (["ARRAYS", "--out", "RUN", "--recipe", "finetune"], "add --from-pretrained, or --start-from MODEL"),
        (["ARRAYS", "--out", "RUN", "--start-from", "nowhere"], "There is no model at nowhere to start from"),
        (["ARRAYS", "--out", "RUN", "--start-from", "x.onnx", "--from-pretrained"], "Choose one."),
    ],
)
def test_mistakes_are_explained(words, message, colour_arrays, tmp_path, capsys):
    places = {"ARRAYS": str(colour_arrays), "RUN": str(tmp_path / "run")}
    assert run(*(places.get(word, word) for word in words)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_arrays_of_the_tutorials_own_script(colour_arrays, tmp_path, capsys):
    """BGR, no manifest: classes are A, B, C by the number of columns, and a warning says so."""
    for split in ("train", "validation", "test"):
        path = colour_arrays / f"{split}_set.npy"
        np.save(path, np.load(path)[..., ::-1])
    assert run(colour_arrays, "--out", tmp_path / "run", "--bgr", *QUICK[:-2]) == 0
    assert "no manifest: its 3 columns are assumed to be A,B,C" in capsys.readouterr().err
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["classes"], config["colour"], config["data"]["bgr"]) == (["A", "B", "C"], "RGB", True)


def test_summary_prints_the_network_without_training(colour_arrays, capsys):
    names = ",".join("ABCDEFGHIKLMNOPQRSTUVWXY")
    assert run("--summary", "--classes", names) == 0
    printed = capsys.readouterr().out
    assert "28,103,776" in printed
    assert all(layer in printed for layer in ("conv1", "norm5", "dropout7", "logits", "probabilities"))
    assert run(colour_arrays, "--summary", "--network", "tiny", "--classes", "A,B,C") == 0
    assert "global_average_pooling2d" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("--from-pretrained",),
        ("--recipe", "signer-independent"),
        ("--recipe", "signer-independent", "--size", "128"),
        ("--recipe", "strangers"),  # the recipe's earlier name
    ],
)
def test_summary_is_of_the_network_that_would_be_trained(words, capsys):
    assert run(*words, "--summary", "--classes", "A,B") == 0
    printed = capsys.readouterr().out
    assert "alexnet-edge" in printed
    assert "(None, 128, 128, 3)" in printed
    assert "28,081,754" not in printed


@pytest.fixture(scope="module")
def trained(make_run, tmp_path_factory, tiny_network):
    """A run of the tiny network with the classes A, B, C and D."""
    from asl_edge.training import networks

    return make_run(tmp_path_factory.mktemp("model") / "trained", networks.build("tiny", 4, 32), network="tiny")


@pytest.fixture(scope="module")
def exported(trained):
    """What is exported from it."""
    from asl_edge.export.export import export_run

    return export_run(trained, trained.with_name("model.onnx")).model_path


def test_starts_from_a_trained_model(trained, exported, colour_arrays, tmp_path, capsys):
    """The model says which network, the recipe is the one for it, and what was taken over is printed once."""
    quick = ["--epochs", "1", "--batch-size", "16", "--classes", "A,B,del", "--augmentation", "none"]
    for model in (trained, exported):
        out = tmp_path / f"run-{model.name}"
        assert run(colour_arrays, "--out", out, "--start-from", model, *quick) == 0
        printed = capsys.readouterr().err
        assert printed.count("Started from") == 1
        assert f"Started from {model}: 4 layers of tiny; outputs kept: 2 (A, B); " in printed
        assert "outputs trained from scratch: 1 (del); outputs left out: 2 (C, D)." in printed
        config = json.loads((out / "config.json").read_text())
        assert (config["recipe"], config["network"], config["start_from"]) == ("finetune", "tiny", str(model))
    assert run(colour_arrays, "--out", out, "--resume") == 0
    assert "Started from" not in capsys.readouterr().err
    assert run(colour_arrays, "--out", out, "--resume", "--start-from", trained) == 2
    assert "start_from was" in capsys.readouterr().err


def test_a_model_of_another_network_is_refused(trained, colour_arrays, tmp_path, capsys):
    words = ["--start-from", trained, "--network", "alexnet-edge", "--classes", "A,B,C"]
    assert run(colour_arrays, "--out", tmp_path / "run", *words) == 2
    assert "is the network tiny, and alexnet-edge is to be trained" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_starts_from_the_pretrained_model(exported, colour_arrays, tmp_path, capsys, monkeypatch):
    from asl_edge.runtime import pretrained as pretrained_module

    monkeypatch.setattr(pretrained_module, "_FOLDER", tmp_path)
    quick = ["--from-pretrained", "--recipe", "tutorial", "--epochs", "1", "--batch-size", "16", "--classes", "A,B,C"]
    assert run(colour_arrays, "--out", tmp_path / "run", *quick) == 2
    assert "The pretrained model" in capsys.readouterr().err
    shutil.copyfile(exported, tmp_path / pretrained_module.MODEL_FILE)
    assert run(colour_arrays, "--out", tmp_path / "run", *quick) == 0
    assert "Started from the pretrained model: 4 layers of tiny" in capsys.readouterr().err
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["recipe"], config["start_from"]) == ("tutorial", "pretrained")


@pytest.mark.parametrize("name", ["pretrained", "box"])
def test_a_run_folder_of_its_name_is_not_the_pretrained_model(trained, colour_arrays, tmp_path, monkeypatch, name):
    from asl_edge.training.loop import epoch_checkpointer

    def stop(self, epoch):
        raise KeyboardInterrupt

    monkeypatch.setattr(epoch_checkpointer.EpochCheckpointer, "begin_epoch", stop)  # enough has been seen
    shutil.copytree(trained, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    quick = ["--epochs", "1", "--batch-size", "16", "--classes", "A,B,C", "--augmentation", "none"]
    assert run(colour_arrays, "--out", tmp_path / "run", "--start-from", name, *quick) == 130
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["start_from"], config["data"]["started_from"]["file"]) == (f"./{name}", "best.keras")
