"""The program in an empty folder."""

import jax
import numpy as np
import pytest
from eigenpair.command_line import main


@pytest.fixture(autouse=True)
def _leave_jax_as_it_was():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the program in an empty directory; returns exit code, stdout, stderr and the results it wrote to out.npz."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            code = main([str(x) for x in arguments])
        except SystemExit as stop:  # argparse's own errors
            code = stop.code
        captured = capsys.readouterr()
        out = tmp_path / "out.npz"
        results = dict(np.load(out)) if out.exists() else {}
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err, results

    return run
