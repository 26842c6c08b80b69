"""A `.keras` file or a run folder as a classifier."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import MissingPackageError, ModelError, RunError
from asl_edge.evaluation.classifiers.open_classifier import open_classifier


@pytest.fixture(scope="module")
def alone(mini_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .keras file that lies in no run folder."""
    path = tmp_path_factory.mktemp("alone") / "model.keras"
    mini_model.save(path)
    return path


class NoKeras:
    """A finder that finds Keras nowhere."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "keras":
            raise ModuleNotFoundError("No module named 'keras'", name="keras")


def images(count: int, size: int = 32) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def numpy_softmax_of(model: Any, batch: Any) -> Any:
    """What the network answers, its last layers computed in NumPy from the values before them."""
    import keras

    hidden = keras.Model(model.inputs, model.get_layer("norm2").output).predict(batch, verbose=0)
    kernel, bias = (np.asarray(value) for value in model.get_layer("logits").get_weights())
    logits = hidden.astype(np.float64) @ kernel + bias
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


class TestKeras:
    def test_run_folder_says_everything(self, mini_run: Path) -> None:
        classifier = open_classifier(mini_run)
        assert classifier.classes == ("A", "B", "C")
        assert (classifier.input_size, classifier.fit, classifier.fit_known) == (32, "crop", True)

    def test_probabilities_are_the_networks(self, mini_run: Path, mini_model: Any) -> None:
        batch = images(37)  # a full batch and a rest
        answers = open_classifier(mini_run).probabilities(batch)
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, numpy_softmax_of(mini_model, batch), atol=2e-5)

    def test_answers_do_not_depend_on_the_batch(self, mini_run: Path) -> None:
        classifier, batch = open_classifier(mini_run), images(70)
        whole = classifier.probabilities(batch)
        np.testing.assert_array_equal(classifier.probabilities(batch), whole)
        parts = [classifier.probabilities(batch[start : start + 7]) for start in range(0, 70, 7)]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)

    def test_one_function_is_traced_for_all_batches(self, mini_run: Path) -> None:
        classifier: Any = open_classifier(mini_run)
        traced = []
        step = classifier.model.predict_step
        classifier.model.predict_step = lambda data: (traced.append(1), step(data))[1]
        for count in (3, 64, 1, 33):
            classifier.probabilities(images(count))
        assert len(traced) == 1

    def test_no_image_is_no_answer(self, mini_run: Path) -> None:
        assert open_classifier(mini_run).probabilities(images(0)).shape == (0, 3)

    @pytest.mark.parametrize("place", ["best.keras", "checkpoints/weights.01-0.50.keras"])
    def test_file_inside_a_run_takes_what_the_run_says(self, mini_run: Path, tmp_path: Path, place: str) -> None:
        shutil.copytree(mini_run, tmp_path / "run")
        path = tmp_path / "run" / place
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            (tmp_path / "run" / "best.keras").rename(path)  # also where no best model stands yet
        assert open_classifier(path).classes == ("A", "B", "C")

    def test_file_alone_needs_names(self, alone: Path) -> None:
        with pytest.raises(ModelError, match="--classes A,B,C"):
            open_classifier(alone)
        classifier = open_classifier(alone, classes=["X", "Y", "Z"], fit="pad")
        assert classifier.classes == ("X", "Y", "Z")
        assert (classifier.fit, classifier.fit_known) == ("pad", True)
        assert not open_classifier(alone, classes=["X", "Y", "Z"]).fit_known

    def test_wrong_number_of_names(self, alone: Path) -> None:
        with pytest.raises(ModelError, match=r"3 outputs\. Received 2 class names: A,B"):
            open_classifier(alone, classes=["A", "B"])

    def test_run_is_not_contradicted(self, mini_run: Path) -> None:
        with pytest.raises(ModelError, match=r"classes A,B,C\. Received: C,B,A"):
            open_classifier(mini_run, classes=["C", "B", "A"])
        with pytest.raises(ModelError, match=r"fit crop\. Received: pad"):
            open_classifier(mini_run, fit="pad")
        open_classifier(mini_run, classes=["A", "B", "C"], fit="crop")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"something else"])
    def test_damaged_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.keras"
        path.write_bytes(content)
        with pytest.raises(ModelError, match="damaged or not a Keras model"):
            open_classifier(path, classes=["A", "B"])

    def test_without_keras_the_message_names_the_extra(self, mini_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "keras")
        monkeypatch.setattr(sys, "meta_path", [NoKeras(), *sys.meta_path])
        with pytest.raises(MissingPackageError, match=r"best\.keras needs Keras.*asl-edge\[train\]"):
            open_classifier(mini_run)

    def test_float_input_is_refused_with_the_remedy(self, tmp_path: Path) -> None:
        import keras

        layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
        keras.Sequential(layers).save(tmp_path / "floats.keras")
        with pytest.raises(ModelError, match=r"takes float32 images.*asl-edge export"):
            open_classifier(tmp_path / "floats.keras", classes=["A", "B"])

    def test_what_is_no_classifier_of_images(self, tmp_path: Path) -> None:
        import keras

        keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]).save(tmp_path / "vectors.keras")
        with pytest.raises(ModelError, match="must turn square images"):
            open_classifier(tmp_path / "vectors.keras", classes=["A", "B"])

    def test_images_of_another_size(self, mini_run: Path) -> None:
        with pytest.raises(ValueError, match=r"\(N, 32, 32, 3\)"):
            open_classifier(mini_run).probabilities(images(1, size=31))

    def test_run_without_a_finished_epoch(self, mini_run: Path, tmp_path: Path) -> None:
        shutil.copy(mini_run / "config.json", tmp_path)
        with pytest.raises(RunError, match="no finished epoch"):
            open_classifier(tmp_path)

    def test_folder_that_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="not a run folder"):
            open_classifier(tmp_path)
