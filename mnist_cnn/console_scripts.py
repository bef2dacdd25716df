"""The installed commands: each is `python -m` of its module, in the working folder."""

import runpy
import sys


def train() -> None:
    _run("mnist_cnn.train")


def evaluate() -> None:
    _run("mnist_cnn.evaluate")


def validate() -> None:
    _run("mnist_cnn.validate")


def sweep() -> None:
    _run("mnist_cnn.sweep")


def search() -> None:
    _run("mnist_cnn.search")


def reproduce() -> None:
    _run("mnist_cnn.reproduce")


def _run(module: str) -> None:
    sys.path.insert(0, "")  # a user's own modules are found as with `python -m`
    runpy.run_module(module, run_name="__main__", alter_sys=True)
