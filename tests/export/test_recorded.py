"""What a run records beside its weights goes into the exported file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asl_edge.errors import ModelError
from asl_edge.export.recorded import read_recorded
from asl_edge.export.source.open_source import open_source
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec, ViterbiRules


def test_the_spelling_spec_of_a_run_is_recorded(mini_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(mini_run, tmp_path / "run"))
    assert read_recorded(open_source(run)).spelling == {}
    spec = SpellingSpec(viterbi=ViterbiRules(margin=1.5))
    (run / "spelling.json").write_text(spec.to_json(), encoding="utf-8")

    recorded = read_recorded(open_source(run)).spelling

    assert SpellingSpec.from_dict(json.loads(json.dumps(recorded))) == spec


def test_a_damaged_spelling_spec_is_named(mini_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(mini_run, tmp_path / "run"))
    (run / "spelling.json").write_text("[]", encoding="utf-8")

    with pytest.raises(ModelError, match="spelling.json is not a spelling spec"):
        read_recorded(open_source(run))
