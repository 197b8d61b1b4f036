"""The bench of networks: all that can run is in its table, the rest says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.figures import Plan
from bench.graphs import COLUMNS, measure


@pytest.mark.slow
def test_every_network_is_measured_on_every_runtime(tmp_path: Path) -> None:
    part = measure(Plan(1.0, tmp_path))
    table = part.tables["One call, one thread"]
    assert table.columns == COLUMNS
    measured = {(str(row[0]).split()[0], row[1], row[2]) for row in table.rows}
    for name in ("separator", "musicface", "lite"):
        for backend in ("openvino", "onnxruntime", "eager"):
            assert (name, backend, "fp32") in measured
    assert {("lite", "openvino", "int8"), ("lite", "onnxruntime", "int8")} <= measured
    for row in table.rows:
        assert row[3] > 0
        if row[2] == "fp32":
            assert float(str(row[5])) < 1e-3
    ran = {row[1] for row in table.rows}
    assert ("tensorrt" in ran) != any("tensorrt" in note for note in part.notes)
