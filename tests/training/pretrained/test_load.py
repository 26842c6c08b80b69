"""Starting from a trained network: what is transferred predicts as before, and what does not fit is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from recorded_progress import RecordedProgress, StopAt

from asl_edge.data.arrays import PreparedArrays, sha256_of
from asl_edge.errors import ModelError, RunError, UserError
from asl_edge.export.build import build
from asl_edge.export.convert import convert
from asl_edge.export.export import export_run
from asl_edge.export.passes.extra_outputs import apply_temperature
from asl_edge.export.passes.fold_affine import fold_affine
from asl_edge.export.source.open_source import Described
from asl_edge.runtime import pretrained as pretrained_module
from asl_edge.spec import ModelSpec
from asl_edge.training import networks, recipes
from asl_edge.training.loop.train import Interrupted, train
from asl_edge.training.pretrained.batch_statistics import restate
from asl_edge.training.pretrained.load import transfer_weights
from asl_edge.training.pretrained.onnx_weights import read_stages
from asl_edge.training.pretrained.source import open_pretrained
from asl_edge.training.runs.folder import RunFolder
from asl_edge.training.runs.train_state import load_state

pytestmark = pytest.mark.usefixtures("tiny_network")

NETWORKS = ("tiny", "mini", "alexnet-edge", "alexnet-edge-8", "alexnet-edge-8-landmarks")
"""Batch normalisation behind an activation; the same behind a pooling, and dense layers; between kernel and ReLU."""


@pytest.fixture(scope="module", autouse=True)
def mini_network(make_mini_model):
    """The fixtures' small CNN as a network of the registry."""
    if "mini" not in networks.names():
        networks.register(networks.Network("mini", "for tests", 32, 16, lambda n, size: make_mini_model(n, size=size)))


@pytest.fixture(scope="module")
def arrays(shared_colour_arrays):
    return PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])


def built(name, classes=4, size=32, seed=5):
    """A network of the registry with all of its weights and statistics far from their beginnings."""
    import keras

    keras.utils.set_random_seed(seed)  # or its weights would depend on which tests ran before
    model, rng = networks.build(name, classes, size), np.random.default_rng(seed)
    for variable in model.weights:
        if "variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(rng.normal(0, 0.2, variable.shape) + ("gamma" in variable.path))
        else:
            variable.assign(variable + rng.normal(0, 0.3 * np.std(variable), variable.shape))
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_run):
    """Run folders by the name of the network: classes A to D, images of 32 pixels."""
    folder = tmp_path_factory.mktemp("trained")
    return {name: make_run(folder / name, built(name), network=name, fit="stretch") for name in NETWORKS}


@pytest.fixture(scope="module")
def every_precision(trained, tmp_path_factory):
    """Exported files by the name of the network and the precision."""
    folder = tmp_path_factory.mktemp("exported")
    files = {}
    for name, run in trained.items():
        converted = convert(run)  # once for all precisions, as for a bundle
        for precision, file in (("fp32", name), ("fp16", f"{name}-half"), ("fp16-weights", f"{name}-weights")):
            built = build(converted, precision)
            # Of weights that never learnt, some images have two classes alike: labels alone would say nothing.
            assert built.parity.clear_agreement == 1
            assert built.parity.max_probability_difference < 0.002
            files[name, precision] = folder / f"{file}.onnx"
            files[name, precision].write_bytes(built.to_bytes(None))
    return files


@pytest.fixture(scope="module")
def exported(every_precision):
    """Exported files by the name of the network, in full precision."""
    return {name: every_precision[name, "fp32"] for name in NETWORKS}


@pytest.fixture(scope="module")
def plain(trained, tmp_path_factory):
    """The same, their graphs as they were converted: batch normalisation and rescaling still stand in them."""
    folder = tmp_path_factory.mktemp("plain")
    for name in ("mini", "alexnet-edge"):
        export_run(trained[name], folder / f"{name}.onnx", optimized=False)
    return {name: folder / f"{name}.onnx" for name in ("mini", "alexnet-edge")}


def with_classes(arrays, folder, classes, size=None):
    """The arrays with other names, or other numbers, of classes; larger ones are padded."""
    folder.mkdir()
    for split in ("train", "validation", "test"):
        images, labels = arrays.rgb(split, slice(None)), arrays.split(split).labels % len(classes)
        if size is not None:
            images = np.pad(images, ((0, 0), (0, size - 32), (0, size - 32), (0, 0)))
        np.save(folder / f"{split}_set.npy", images)
        np.save(folder / f"{split}_classes.npy", np.eye(len(classes), dtype=np.float32)[labels])
    return PreparedArrays.open(folder, classes=classes)


@pytest.fixture(scope="module")
def four(arrays, tmp_path_factory):
    return with_classes(arrays, tmp_path_factory.mktemp("four") / "arrays", ["A", "B", "C", "D"])


def answers(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"image": images})[0]


def loaded(name, path, arrays):
    """A fresh network with the weights of `path`, and what was transferred."""
    network = networks.build(name, len(arrays.classes), arrays.input_size)
    return network, transfer_weights(network, open_pretrained(str(path)), arrays)


def changed(path, out, change):
    """A copy of an `.onnx` file, changed by `change(model)`."""
    model = onnx.load(path)
    change(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    return out


def with_spec(path, out, **fields):
    def change(model):
        spec = ModelSpec.from_metadata({entry.key: entry.value for entry in model.metadata_props})
        del model.metadata_props[:]
        helper.set_model_props(model, replace(spec, **fields).to_metadata())

    return changed(path, out, change)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_network_answers_as_before_and_batch_normalisation_knows_what_it_sees(name, exported, four):
    """Its statistics are those of the training images, so that training begins with the same function."""
    import keras

    network, taken = loaded(name, exported[name], four)
    images = four.rgb("test", slice(None))
    assert np.abs(network.predict_on_batch(images) - answers(exported[name], images)).max() < 1e-4
    assert (taken.matched, taken.new, taken.left_out) == (("A", "B", "C", "D"), (), ())
    assert taken.layers == len([layer for layer in network.layers if layer.weights])
    assert taken.notes == ()

    images = four.rgb("train", slice(None))  # all 48 are looked at
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        seen = np.asarray(keras.Model(network.inputs[0], norm.input)(images))
        seen = seen.reshape(-1, seen.shape[-1]).astype(np.float64)
        np.testing.assert_allclose(norm.moving_mean, seen.mean(axis=0), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(norm.moving_variance, seen.var(axis=0), rtol=1e-3, atol=1e-4)
        assert norm.moving_mean.numpy().any()
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    there, here = (np.asarray(network(images, training=training)) for training in (False, True))
    assert np.abs(there - here).max() < 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_statistics_are_given_back_without_a_change_of_answers(name, trained, four):
    network = RunFolder.open(trained[name]).load_model()
    images = four.rgb("test", slice(None))
    before = network.predict_on_batch(images)
    restate(network, [four.rgb("train", slice(0, 32)), four.rgb("train", slice(32, 48))])
    assert np.abs(network.predict_on_batch(images) - before).max() < 1e-4


@pytest.mark.parametrize(("precision", "close"), [("fp16-weights", 1e-4), ("fp16", 2e-2)])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_is_read_too(name, precision, close, every_precision, four):
    path = every_precision[name, precision]
    network, _ = loaded(name, path, four)
    images = four.rgb("test", slice(None))
    assert np.abs(network.predict_on_batch(images) - answers(path, images)).max() < close


def fold_batch_normalisation(model):
    """Let every Mul and Add right behind a Conv vanish into its kernel and a bias."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept, behind = [], {node.input[0]: node for node in graph.node}
    gone = []
    for node in graph.node:
        scale = behind.get(node.output[0])
        if node.op_type == "Conv" and len(node.input) == 2 and scale is not None and scale.op_type == "Mul":
            shift = behind[scale.output[0]]
            assert shift.op_type == "Add"
            kernel, factor, offset = (
                numpy_helper.to_array(stored[name]) for name in (node.input[1], scale.input[1], shift.input[1])
            )
            folded = (kernel * factor.reshape(-1, 1, 1, 1)).astype(np.float32)
            stored[node.input[1]].CopyFrom(numpy_helper.from_array(folded, node.input[1]))
            graph.initializer.append(numpy_helper.from_array(offset.reshape(-1), f"{node.name}/bias"))
            node.input.append(f"{node.name}/bias")
            node.output[0] = shift.output[0]
            gone += [scale, shift]
        kept.append(node)
    assert len(gone) == 10
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept if node not in gone]
    del graph.node[:]
    graph.node.extend(nodes)


def test_graphs_as_they_were_converted(plain, exported, four):
    images = four.rgb("test", slice(None))
    for name, path in plain.items():
        assert np.abs(answers(path, images) - answers(exported[name], images)).max() < 1e-4
        network, _ = loaded(name, path, four)
        assert np.abs(network.predict_on_batch(images) - answers(path, images)).max() < 1e-4


def test_another_rescaling_goes_into_the_first_weights(plain, four, tmp_path):
    path = changed(plain["mini"], tmp_path / "rescaled.onnx", other_rescaling)
    images = four.rgb("test", slice(None))
    assert np.abs(answers(path, images) - answers(plain["mini"], images)).max() > 0.01
    network, _ = loaded("mini", path, four)
    assert np.abs(network.predict_on_batch(images) - answers(path, images)).max() < 1e-4


def test_batch_normalisation_that_vanished_into_convolutions(plain, exported, four, tmp_path):
    path = changed(plain["alexnet-edge"], tmp_path / "folded.onnx", fold_batch_normalisation)
    images = four.rgb("test", slice(None))
    assert np.abs(answers(path, images) - answers(exported["alexnet-edge"], images)).max() < 1e-4
    network, _ = loaded("alexnet-edge", path, four)
    assert np.abs(network.predict_on_batch(images) - answers(path, images)).max() < 1e-4


@pytest.mark.parametrize("folded", [True, False])
def test_a_calibration_temperature_is_no_weight(exported, four, tmp_path, folded):
    def change(model):
        apply_temperature(model, 3.0)
        if folded:
            fold_affine(model)

    path = changed(exported["mini"], tmp_path / "calibrated.onnx", change)
    path = with_spec(path, path, temperature=3.0)
    images = four.rgb("test", slice(None))
    assert np.abs(answers(path, images) - answers(exported["mini"], images)).max() > 0.05
    network, _ = loaded("mini", path, four)
    assert np.abs(network.predict_on_batch(images) - answers(exported["mini"], images)).max() < 1e-4


def test_dense_layers_as_gemm(exported, four, tmp_path):
    def change(model):
        for node in model.graph.node:
            if node.op_type == "MatMul":
                node.op_type = "Gemm"
                node.attribute.append(helper.make_attribute("transB", 1))
                tensor = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
                turned = np.ascontiguousarray(numpy_helper.to_array(tensor).T)
                tensor.CopyFrom(numpy_helper.from_array(turned, tensor.name))

    path = changed(exported["mini"], tmp_path / "gemm.onnx", change)
    images = four.rgb("test", slice(None))
    network, _ = loaded("mini", path, four)
    assert np.abs(network.predict_on_batch(images) - answers(exported["mini"], images)).max() < 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_and_its_keras_file_are_copied_bit_for_bit(name, trained, four):
    theirs = RunFolder.open(trained[name]).load_model()
    for path in (trained[name], trained[name] / "best.keras"):
        network, taken = loaded(name, path, four)
        for ours, other in zip(network.weights, theirs.weights, strict=True):
            assert np.array_equal(ours, other)
        assert taken.matched == ("A", "B", "C", "D")


@pytest.mark.parametrize("kind", ["run", "onnx"])
def test_outputs_go_by_the_names_of_their_classes(kind, trained, exported, arrays, tmp_path):
    """Some in another order, one left out and one new."""
    import keras

    chosen = with_classes(arrays, tmp_path / "arrays", ["C", "hello", "A", "B"])
    keras.utils.set_random_seed(3)
    network = networks.build("mini", 4, 32)
    head = network.get_layer("logits")
    fresh = [np.array(weight) for weight in head.weights]
    source = trained["mini"] if kind == "run" else exported["mini"]
    taken = transfer_weights(network, open_pretrained(str(source)), chosen)
    assert (taken.matched, taken.new, taken.left_out) == (("C", "A", "B"), ("hello",), ("D",))
    said = taken.describe()
    assert "outputs kept: 3 (C, A, B); outputs trained from scratch: 1 (hello); outputs left out: 1 (D)." in said
    for ours, before in zip(head.weights, fresh, strict=True):
        assert np.array_equal(np.array(ours)[..., 1], before[..., 1])
    images = chosen.rgb("test", slice(None))
    ours, theirs = network.predict_on_batch(images), answers(exported["mini"], images)
    ours, theirs = ours[:, [2, 3, 0]], theirs[:, :3]
    shares = [values / values.sum(axis=1, keepdims=True) for values in (ours, theirs)]
    assert np.abs(shares[0] - shares[1]).max() < 1e-4


def test_a_keras_file_that_stands_alone_keeps_its_hidden_layers(trained, four, tmp_path):
    path = tmp_path / "alone.keras"
    shutil.copyfile(trained["mini"] / "best.keras", path)
    source = open_pretrained(str(path))
    assert (source.network, source.classes) == ("mini", None)
    network, taken = loaded("mini", path, four)
    theirs = RunFolder.open(trained["mini"]).load_model()
    assert np.array_equal(network.get_layer("dense2").kernel, theirs.get_layer("dense2").kernel)
    assert not np.array_equal(network.get_layer("logits").kernel, theirs.get_layer("logits").kernel)
    assert (taken.matched, taken.new) == ((), ("A", "B", "C", "D"))
    assert "does not name the classes of its outputs" in taken.notes[0]


def test_colours_in_another_order(trained, four, tmp_path):
    shutil.copyfile(trained["mini"] / "best.keras", tmp_path / "bgr.keras")
    described = Described(classes=["A", "B", "C", "D"], colour="BGR", fit="stretch")
    path = tmp_path / "bgr.onnx"
    export_run(tmp_path / "bgr.keras", path, described=described, data=four.folder)
    path = with_spec(path, path, network="mini")
    rgb = four.rgb("test", slice(None))
    network, _ = loaded("mini", path, four)
    theirs = answers(path, np.ascontiguousarray(rgb[..., ::-1]))
    assert np.abs(network.predict_on_batch(rgb) - theirs).max() < 1e-4
    assert np.abs(network.predict_on_batch(rgb) - answers(path, rgb)).max() > 0.01


@pytest.mark.parametrize("kind", ["run", "onnx"])
def test_images_of_another_size(kind, trained, exported, arrays, tmp_path):
    larger = with_classes(arrays, tmp_path / "larger", ["A", "B", "C", "D"], size=40)
    where = trained if kind == "run" else exported
    _, taken = loaded("tiny", where["tiny"], larger)
    assert "was trained on images of 32 pixels; these have 40 (asl-edge data prepare --size 32)" in taken.notes[0]
    with pytest.raises(ModelError, match=r"dense2 of mini has weights 648x64, 64 here and 392x64, 64 in .*--size 32"):
        loaded("mini", where["mini"], larger)


def test_images_made_square_in_another_way(trained, shared_colour_arrays, tmp_path):
    folder = tmp_path / "arrays"
    shutil.copytree(shared_colour_arrays, folder)
    names = sorted(path.name for path in folder.iterdir())
    files = {name: {"sha256": sha256_of(folder / name)} for name in names}
    (folder / "manifest.json").write_text(json.dumps({"classes": ["A", "B", "C"], "fit": "crop", "files": files}))
    _, taken = loaded("mini", trained["mini"], PreparedArrays.open(folder))
    assert "made square by stretch, these by crop (asl-edge data prepare --fit stretch)" in taken.notes[0]


def other_rescaling(model):
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "rescale/scale")
    tensor.CopyFrom(numpy_helper.from_array(np.float32(1 / 127.5), tensor.name))


def branched(model):
    softmax = model.graph.node[-1]
    model.graph.node.insert(
        len(model.graph.node) - 1, helper.make_node("Add", [softmax.input[0]] * 2, ["twice"], name="twice")
    )
    model.graph.node.insert(len(model.graph.node) - 2, helper.make_node("Sigmoid", [softmax.input[0]], ["gate"]))
    model.graph.node[-2].input[1] = "gate"
    softmax.input[0] = "twice"


def not_a_number(model):
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "logits/bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), tensor.name))


def fewer_layers(model):
    """The first dense layer's result goes to the softmax, its first four numbers alone."""
    softmax = model.graph.node[-1]
    (dense,) = (node for node in model.graph.node if node.op_type == "MatMul" and "dense2" in node.name)
    for name, value in (("starts", 0), ("ends", 4), ("axes", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    at = list(model.graph.node).index(dense) + 1
    cut = helper.make_node("Slice", [dense.output[0], "starts", "ends", "axes"], ["cut"], name="cut")
    model.graph.node.insert(at, cut)
    softmax.input[0] = "cut"
    del model.graph.node[at + 1 : -1]
    names = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in names]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.output[1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (branched, "is not a chain of layers: Add twice joins 2"),
        (not_a_number, "logits holds NaN or infinity"),
        (fewer_layers, "its layers are conv1, dense2; they must be conv1, dense2, logits"),
    ],
)
def test_files_that_do_not_fit_are_explained(change, message, plain, four, tmp_path):
    path = changed(plain["mini"], tmp_path / "model.onnx", change)
    with pytest.raises(ModelError, match=message):
        loaded("mini", path, four)


def test_damaged_and_foreign_files(exported, trained, colour_model, four, tmp_path):
    whole = exported["mini"].read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "alone").mkdir()
    cut = (trained["mini"] / "best.keras").read_bytes()
    (tmp_path / "alone/cut.keras").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "folder").mkdir()
    for name, message in (
        ("cut.onnx", "cut.onnx is not an ONNX model, or is damaged: it is truncated"),
        ("empty.onnx", "the file is empty"),
        ("alone/cut.keras", "cut.keras is damaged or not a Keras model"),
        ("letter.txt", "Training cannot start from .*letter.txt. Name a run folder, a .keras"),
        ("folder", "folder is not a run folder"),
        ("missing.onnx", "There is no model at .*missing.onnx to start from"),
    ):
        with pytest.raises(UserError, match=message):
            open_pretrained(str(tmp_path / name))
    with pytest.raises(ModelError, match="holds 8-bit weights, too coarse to train"):
        open_pretrained(str(with_spec(exported["mini"], tmp_path / "int8.onnx", precision="int8")))
    # Damage within the graph, behind which the metadata stands.
    at = whole.index(b"logits/kernel")
    (tmp_path / "bits.onnx").write_bytes(whole[: at - 8] + b"\xff" * 8 + whole[at:])
    with pytest.raises(ModelError, match=r"bits.onnx is damaged or not an ONNX model|bits.onnx is not an ONNX model"):
        loaded("mini", tmp_path / "bits.onnx", four)
    with pytest.raises(ModelError, match="rescales pixels|its layers are"):
        loaded("mini", with_spec(colour_model, tmp_path / "colour.onnx", network="mini"), four)


def test_the_stages_of_an_exported_file(plain, exported):
    folded = read_stages(exported["alexnet-edge"])
    assert folded[0].direct.scale == 1
    stages = read_stages(plain["alexnet-edge"])
    assert [stage.name for stage in folded] == [stage.name for stage in stages]
    assert [stage.name for stage in stages] == ["the image", *(f"conv{n}" for n in range(1, 6)), "logits"]
    assert [stage.kernel.shape for stage in stages[1:]] == [
        (11, 11, 3, 96), (5, 5, 96, 256), (3, 3, 256, 384), (3, 3, 384, 384), (3, 3, 384, 256), (256, 4),
    ]  # fmt: skip
    assert stages[0].direct.scale == pytest.approx(1 / 127.5)
    assert stages[0].direct.shift == pytest.approx(-1)
    assert not any(stage.later for stage in stages)


# Training


def config(start_from, **changes):
    plain = {"network": "tiny", "epochs": 2, "batch_size": 16, "precision": "float32", "augmentation": "none"}
    return recipes.get("finetune", **(plain | {"start_from": str(start_from)} | changes))


def without_times(history):
    return [{k: v for k, v in row.items() if k in ("epoch", "loss", "accuracy", "val_loss")} for row in history]


def weights_of(run):
    return [np.asarray(weight) for weight in RunFolder.open(run).load_model().weights]


@pytest.mark.parametrize("kind", ["run", "keras", "onnx"])
def test_training_begins_where_the_trained_network_ended(kind, trained, exported, four, tmp_path):
    """At a rate of nothing, what is validated and stored after an epoch is what was loaded."""
    path = {"run": trained["tiny"], "keras": trained["tiny"] / "best.keras", "onnx": exported["tiny"]}[kind]
    still = config(path, learning_rate=1e-12, epochs=1, norm_momentum=0.999999, steps_per_epoch=1)
    progress = RecordedProgress()
    result = train(still, four, tmp_path / "run", progress=progress)
    images, labels = four.rgb("validation", slice(None)), four.split("validation").labels
    theirs = answers(exported["tiny"], images)
    stored = RunFolder.open(tmp_path / "run")
    assert np.abs(stored.load_model().predict_on_batch(images) - theirs).max() < 1e-3
    assert result.history[0]["val_accuracy"] == pytest.approx((theirs.argmax(axis=1) == labels).mean())
    assert [note for note in progress.notes if note.startswith("Started from")] == [
        f"Started from {path}: 4 layers of tiny; outputs kept: 4 (A, B, C, D)."
    ]
    file = path / "best.keras" if kind == "run" else path
    record = stored.config["data"]["started_from"]
    assert (stored.config["start_from"], record["sha256"]) == (str(path), sha256_of(file))
    assert (record["file"], record["kept_classes"]) == (file.name, ["A", "B", "C", "D"])
    if kind == "run":
        export_run(tmp_path / "run", tmp_path / "again.onnx")
        assert_said_in_the_spec(tmp_path, sha256_of(file))
    if kind == "onnx":
        with pytest.raises(RunError, match="start_from was .*tiny.onnx, now "):
            train(replace(still, start_from=str(trained["tiny"])), four, tmp_path / "run", resume=True)


def assert_said_in_the_spec(folder, sha256):
    """The export of what was trained says from what file, but not where that was."""
    spec = ModelSpec.from_metadata(
        {entry.key: entry.value for entry in onnx.load(folder / "again.onnx").metadata_props}
    )
    assert spec.trained_on["started_from"]["sha256"] == sha256
    assert str(folder) not in json.dumps(spec.trained_on)


def test_it_learns_faster_than_from_scratch(arrays, tmp_path):
    taught = recipes.get("tutorial", network="tiny", epochs=12, batch_size=8, learning_rate=0.2)
    train(taught, arrays, tmp_path / "taught")
    export_run(tmp_path / "taught", tmp_path / "taught.onnx")
    result = train(config(tmp_path / "taught.onnx", epochs=1, augmentation="strong"), arrays, tmp_path / "run")
    assert result.history[0]["val_accuracy"] == 1.0


@pytest.mark.parametrize("kind", ["run", "onnx"])
def test_interrupted_in_between_it_gives_the_same_again(kind, trained, exported, arrays, tmp_path):
    """Before anything was saved, so that all of it is done twice, and within an epoch; with a new class."""
    chosen = with_classes(arrays, tmp_path / "arrays", ["B", "hello", "D"])
    source = tmp_path / f"source.{kind}"
    shutil.copytree(trained["tiny"], source) if kind == "run" else shutil.copyfile(exported["tiny"], source)
    wanted = config(source, learning_rate=0.01, checkpoint_steps=2)
    whole = train(wanted, chosen, tmp_path / "whole")
    stops: tuple[tuple[int, int], ...] = (
        (1, 48),
    )  # a file in place of a run goes the longer way, so that one of them does
    if kind == "onnx":
        stops = ((1, 16), (1, 48))
    run = tmp_path / "run"
    for epoch, images in stops:
        with pytest.raises(Interrupted):
            train(wanted, chosen, run, resume=run.exists(), progress=StopAt(epoch, images))
        if epoch == 1 and images == 48:  # from here on the run holds everything
            shutil.rmtree(source) if kind == "run" else source.unlink()
    progress = RecordedProgress()
    resumed = train(wanted, chosen, run, resume=True, progress=progress)
    assert not any("Started from" in note for note in progress.notes)
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.scores == whole.scores
    for ours, theirs in zip(weights_of(run), weights_of(tmp_path / "whole"), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_run_that_saved_nothing_begins_again_from_the_same_file_only(exported, four, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(exported["tiny"], "source.onnx")
    wanted = config("source.onnx")
    with pytest.raises(Interrupted):
        train(wanted, four, tmp_path / "run", progress=StopAt(1, 16))
    shutil.copyfile(exported["mini"], "source.onnx")
    with pytest.raises(RunError, match=r"source.onnx, which the run starts from, has changed since. .* a new folder"):
        train(wanted, four, tmp_path / "run", resume=True)
    Path("source.onnx").unlink()
    with pytest.raises(RunError, match=r"source.onnx, which the run starts from, no longer exists"):
        train(wanted, four, tmp_path / "run", resume=True)
    shutil.copyfile(exported["tiny"], "source.onnx")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert train(wanted, four, tmp_path / "run", resume=True).epochs == 2


def test_averages_begin_with_what_was_loaded(exported, four, tmp_path):
    """After a few steps of an average over a hundred (which begins after the first), the stored weights are near."""
    wanted = config(exported["tiny"], epochs=4, learning_rate=0.05, warmup_epochs=0.0, ema_momentum=0.99, keep="all")
    train(wanted, four, tmp_path / "run")
    network, _ = loaded("tiny", exported["tiny"], four)
    (at,) = (at for at, weight in enumerate(network.weights) if weight.path.endswith("logits/kernel"))
    began = network.weights[at].numpy()
    (last,) = (tmp_path / "run/checkpoints").glob("weights.04-*.keras")
    state = load_state(tmp_path / "run/checkpoints/state.npz")
    # The training itself moves as far as without averages (tests/training/loop/test_train.py).
    moved, average_moved = (np.abs(kernel - began).mean() for kernel in (state.weights[at], logits_of(last)))
    assert 0 < average_moved < 0.7 * moved


def logits_of(path):
    import keras

    return keras.models.load_model(path, compile=False).get_layer("logits").kernel.numpy()


def test_what_does_not_fit_leaves_no_run(exported, four, tmp_path):
    for start_from, message in (
        (exported["mini"], r"mini.onnx is the network mini, and tiny is to be trained. .* name --network mini"),
        (tmp_path / "none.onnx", "There is no model at"),
    ):
        with pytest.raises(UserError, match=message):
            train(config(start_from), four, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="start_from names a run folder"):
        config("")


def test_a_run_is_trained_on_in_its_own_place(trained, four, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained["tiny"], run)
    before = sha256_of(run / "best.keras")
    train(config(run, epochs=1), four, run, overwrite=True)
    assert RunFolder.open(run).config["data"]["started_from"]["sha256"] == before


def test_the_pretrained_model(exported, four, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained_module, "_FOLDER", tmp_path)
    with pytest.raises(UserError, match="is missing"):
        train(config("box"), four, tmp_path / "run")
    shutil.copyfile(exported["tiny"], tmp_path / pretrained_module.MODEL_FILE)
    progress = RecordedProgress()
    train(config("pretrained", epochs=1), four, tmp_path / "run", progress=progress)
    assert any(note.startswith("Started from the pretrained model: 4 layers of tiny") for note in progress.notes)
    assert RunFolder.open(tmp_path / "run").config["start_from"] == "pretrained"
