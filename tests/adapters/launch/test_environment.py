"""What of a silo's environment reaches an app: where Python is, and which kernels to take; nothing else."""

from pathlib import Path

from septum.adapters.launch.interpreter import KERNELS, environment_of_app

OURS = {"PATH": "/bin", "PYTHONPATH": "/x", "AWS_SECRET_ACCESS_KEY": "secret", "HTTPS_PROXY": "http://proxy:1"}


def test_the_kernels_that_an_operator_chose_are_an_apps_too():
    chosen = dict.fromkeys(KERNELS, "chosen")
    found = environment_of_app(Path("/scratch"), OURS | chosen | {"OPENBLAS_VERBOSE": "2"})
    assert {name: found.get(name) for name in KERNELS} == chosen
    assert "OPENBLAS_VERBOSE" not in found


def test_nothing_else_of_ours_is_there():
    found = environment_of_app(Path("/scratch"), OURS)
    assert not {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", *KERNELS} & found.keys()
    assert (found["PATH"], found["PYTHONPATH"], found["HOME"]) == ("/bin", "/x", "/scratch")
