"""`eigenpair check`: verdicts on a user's own loss."""

import json
from pathlib import Path

import numpy as np
import pytest

MODULE = """
import jax, jax.numpy as jnp
import eigenpair

def loss(a, b):
    return eigenpair.eigvalsh(a, b)[0]

@jax.custom_vjp
def wrong(x):
    return jnp.sum(x**2)

wrong.defvjp(lambda x: (wrong(x), x), lambda x, g: (1.9 * x * g,))

def matrix(a):
    return a

def through_numpy(a):
    import numpy
    return numpy.sum(numpy.asarray(a))

def fails(a):
    return undefined_name

not_a_function = 3

def lowest(a):
    return eigenpair.eigvalsh(a)[0]

def inputs():
    return (jnp.diag(jnp.arange(3.0)),)
"""


@pytest.fixture
def check(run):
    Path("losses_to_check.py").write_text(MODULE)
    Path("imports_what_is_not_there.py").write_text("import nowhere_to_be_found")
    Path("is_not_python.py").write_text("def loss(:")
    return lambda *arguments: run("check", *arguments)


def test_right(check):
    code, out, err, _ = check("losses_to_check:loss", "symmetric:4", "positive:4")
    assert code == 0, err
    assert out.splitlines()[-1] == "The gradient is right in 2 inputs."


def test_second_order_and_files(check):
    np.save("a.npy", np.diag([1.0, 3.0, 2.0]))
    code, out, _, _ = check("losses_to_check:lowest", "a.npy", "--order", "2")
    assert code == 0, out


def test_inputs_of_the_module(check):
    code, out, _, _ = check("losses_to_check:lowest")
    assert code == 0
    assert "1 input" in out


def test_wrong(check):
    code, out, _, _ = check("losses_to_check:wrong", "random:2x3")
    assert code == 1
    assert "WRONG      by 5 %" in out


def test_degenerate(check):
    code, out, _, _ = check("losses_to_check:lowest", "degenerate:4")
    assert code == 1
    assert "KINK" in out


def test_json(check):
    code, out, _, _ = check("losses_to_check:wrong", "random:2x3", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["ok"] is False
    assert found["inputs"][0]["verdict"] == "wrong"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["losses_to_check"], "MODULE:FUNCTION"),
        (["no_such_module:loss", "symmetric:3"], "no module no_such_module"),
        (["no_such_package.module:loss", "symmetric:3"], "no module no_such_package,"),
        (["json.no_such_module:loss", "symmetric:3"], "no module json.no_such_module"),
        (["losses_to_check.py:loss", "symmetric:3"], "name the module, not its file: losses_to_check:loss"),
        (["imports_what_is_not_there:loss", "symmetric:3"], "No module named 'nowhere_to_be_found'"),
        (["is_not_python:loss", "symmetric:3"], "SyntaxError"),
        (["losses_to_check:not_a_function", "symmetric:3"], "is no function but of type int"),
        (["losses_to_check:fails", "symmetric:3"], "NameError: name 'undefined_name' is not defined (/"),
        (["losses_to_check:through_numpy", "symmetric:3"], "write the loss with jax.numpy"),
        (["losses_to_check:lowest", "symetric:3"], "symmetric:3 is one"),
        (["losses_to_check:lowest", "symmetric:99999"], "too large"),
        (["losses_to_check:lowest", "symmetric:3", "--seed", "-1"], "--seed at least 0"),
        (["losses_to_check:nothing", "symmetric:3"], "has no nothing"),
        (["losses_to_check:lowst", "symmetric:3"], "has no lowst; it has lowest"),
        (["losses_to_check:loss", "symmetric:three"], "the size is one number"),
        (["losses_to_check:loss", "nowhere.npy"], "no file nowhere.npy"),
        (["losses_to_check:loss", "symmetric:3"], "losses_to_check:loss"),
        (["losses_to_check:matrix", "symmetric:3"], "one real number"),
        (["json:dumps"], "say at which inputs"),
    ],
)
def test_bad_input(check, arguments, said):
    code, out, err, _ = check(*arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1
    assert out == ""
