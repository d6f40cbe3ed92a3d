"""The generator of fields: targets solve Poisson's equation."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from write_fields import fields, main

from hwnas.tasks import make_task


def test_potentials_solve_poissons_equation():
    charges, potentials = fields(5, size=12, charges=4, seed=0)
    u = np.pad(potentials.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    inner = u[..., 1:-1, 1:-1]
    laplacian = u[..., 2:, 1:-1] + u[..., :-2, 1:-1] + u[..., 1:-1, 2:] + u[..., 1:-1, :-2] - 4 * inner
    np.testing.assert_allclose(-laplacian, charges, atol=1e-5)
    assert (np.count_nonzero(charges, axis=(1, 2, 3)) == 4).all()
    assert len(np.unique(charges)) == 21


def test_a_search_reads_the_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.npz"
    monkeypatch.setattr(sys, "argv", ["write", str(path), "--fields", "40", "--size", "16"])
    main()
    assert "40 maps to train on, 10 to test on" in capsys.readouterr().out
    task = make_task(None, str(path))
    assert (task.name, task.metric.name) == ("dense", "relative_l2")
    assert (task.input_shape, task.size("test")) == ((1, 16, 16), 10)
    monkeypatch.setattr(sys, "argv", ["write", str(path), "--size", "16", "--charges", "257"])
    with pytest.raises(SystemExit):
        main()
