"""`eigenpair bench`: prints a table of times."""

import json

import pytest


def test_table(run):
    code, out, _, _ = run("bench", "--n", "2", "3", "--batch", "4", "--seconds", "0.01")
    assert code == 0
    assert len(out.splitlines()) == 4
    assert "×" in out


def test_json(run):
    code, out, _, _ = run("--json", "bench", "--n", "2", "--batch", "4", "--seconds", "0.01", "--dtype", "complex64")
    (row,) = json.loads(out)["rows"]
    assert code == 0
    assert row["n"] == 2
    assert min(row[name] for name in ("forward_ms", "forward_jnp_ms", "gradient_ms", "gradient_jnp_ms")) > 0


@pytest.mark.parametrize("arguments", [["--n", "0"], ["--batch", "0"], ["--seconds", "0"]])
def test_bad_input(run, arguments):
    code, _, err, _ = run("bench", *arguments)
    assert code == 2
    assert "must be positive" in err
