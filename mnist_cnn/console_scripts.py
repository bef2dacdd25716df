"""The installed commands: each is `python -m` of its module, in the working folder."""

import runpy
import sys
from functools import partial


def run(module: str) -> None:
    sys.path.insert(0, "")  # a user's own modules are found as with `python -m`
    runpy.run_module(module, run_name="__main__", alter_sys=True)


train = partial(run, "mnist_cnn.train")
evaluate = partial(run, "mnist_cnn.evaluate")
demo = partial(run, "mnist_cnn.demo")
export = partial(run, "mnist_cnn.export")
inspect = partial(run, "mnist_cnn.inspect")
predict = partial(run, "mnist_cnn.predict")
validate = partial(run, "mnist_cnn.validate")
sweep = partial(run, "mnist_cnn.sweep")
runs = partial(run, "mnist_cnn.runs")
search = partial(run, "mnist_cnn.search")
compare = partial(run, "mnist_cnn.compare")
reproduce = partial(run, "mnist_cnn.reproduce")
records = partial(run, "mnist_cnn.records")
