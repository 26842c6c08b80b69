"""Log records for users of the library, silent by default."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_bundles import write

from asl_edge.process import log
from asl_edge.runtime.engine import precision as precision_module
from asl_edge.runtime.engine.fingerprint import machine_id, model_id
from asl_edge.runtime.model_loading import open_model
from asl_edge.runtime.predictor import Predictor


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "asl_edge"]


def test_opening_a_model_is_logged(colour_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="asl_edge"):
        Predictor(colour_model, provider="cpu", threads=1)

    chosen, opened = messages(caplog)
    assert chosen == f"provider cpu chosen for {colour_model} (requested: cpu)"
    assert opened.startswith("session opened in ")
    assert opened.endswith(" ms (opening: lasting, threads: 1, workers: 1, all providers: cpu)")
    assert caplog.records[0].levelno == logging.INFO
    assert caplog.records[0].filename == "session.py", "records name the line that logs"


def test_precision_and_golden_test_of_a_bundle_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision_module, "preference", lambda _: (("int8", None),))
    path = write(tmp_path / "b.aslz")
    with caplog.at_level(logging.INFO, logger="asl_edge"):
        open_model(path, provider="cpu")
        open_model(path, provider="cpu")

    found = messages(caplog)
    assert found.count(f"precision int8 of the bundle {path} chosen for provider cpu") == 2
    assert f"golden examples of {path}, int8 on cpu, tested now: passed" in found
    assert f"golden examples of {path}, int8 on cpu, tested earlier: passed" in found


def test_tuned_settings_are_logged(
    tmp_path: Path, make_colour_model: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    model = tmp_path / "m.onnx"
    make_colour_model(model)
    chosen = {"provider": "cpu", "threads": 1, "precision": "fp32"}
    found = {"format": 1, "model": model_id(model), "machine": machine_id(), "chosen": chosen}
    (tmp_path / "m.onnx.tuned.json").write_text(json.dumps(found))
    with caplog.at_level(logging.INFO, logger="asl_edge"):
        open_model(model)

    assert messages(caplog)[0] == f"tuned settings of {model} used: provider cpu, threads 1, precision fp32"


def test_nothing_is_printed_unless_logging_is_configured(colour_model: Path) -> None:
    code = (
        "import logging, sys\n"
        "from asl_edge import Predictor\n"
        "Predictor(sys.argv[1], provider='cpu')\n"
        "assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger('asl_edge').handlers)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, colour_model], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_predicting_does_not_import_logging(colour_model: Path) -> None:
    """Its import would take a tenth of the time of a single prediction."""
    code = (
        "import sys\n"
        "from asl_edge import Predictor\n"
        "before = 'logging' in sys.modules\n"
        "Predictor(sys.argv[1], provider='cpu')\n"
        "from asl_edge.process import log\n"
        "log.info('nobody listens')\n"
        "print(before, 'logging' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, colour_model], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_values_are_filled_in_only_if_the_record_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    log.debug("%s", Costly())
    with caplog.at_level(logging.DEBUG, logger="asl_edge"):
        log.debug("%d of %d", 1, 2)
    assert messages(caplog) == ["1 of 2"]
