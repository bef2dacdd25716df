"""The net trained as the documents do it: Keras on TensorFlow, arrays in memory, `fit`."""

import gzip
import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
job = json.loads(sys.argv[1])

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
tf.config.threading.set_inter_op_parallelism_threads(job["threads"])


def layer(kind, a):
    L = keras.layers
    return {
        "Conv2d": lambda: L.Conv2D(
            a["out_channels"],
            a["kernel_size"],
            padding="same" if a["padding"] == "same" else "valid",
            use_bias=a["bias"],
        ),
        "Linear": lambda: L.Dense(a["out_features"], use_bias=a["bias"]),
        "BatchNorm2d": lambda: L.BatchNormalization(momentum=1 - a["momentum"], epsilon=a["eps"]),
        "ReLU": lambda: L.Activation("relu"),
        "Dropout": lambda: L.Dropout(a["p"]),
        "MaxPool2d": lambda: L.MaxPooling2D(a["kernel_size"]),
        "AdaptiveAvgPool2d": lambda: L.GlobalAveragePooling2D(),
        "Flatten": lambda: L.Flatten(),
    }[kind]()


class Clock(keras.callbacks.Callback):
    """`epochs`: the difference between epoch ends less validation; `compute`: from the first batch to the last."""

    def __init__(self):
        super().__init__()
        self.first_step, self.epochs, self.compute, self.validation = None, [], [], 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.first_batch, self.validation = time.perf_counter(), None, 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.first_batch = self.first_batch or time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.first_step = self.first_step or time.time()
        self.last_batch = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.validating = time.perf_counter()

    def on_test_end(self, logs=None):
        self.validation = time.perf_counter() - self.validating

    def on_epoch_end(self, epoch, logs=None):
        self.compute.append(self.last_batch - self.first_batch)
        self.epochs.append(time.perf_counter() - self.began - self.validation)


def read(name, offset, shape):
    file = Path(job["root"]) / "MNIST" / "raw" / name
    data = file.read_bytes() if file.exists() else gzip.decompress(file.with_name(name + ".gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)


def main():
    keras.utils.set_random_seed(job["seed"])
    x = read("train-images-idx3-ubyte", 16, (-1, 28, 28, 1)).astype("float32") / 255
    y = keras.utils.to_categorical(read("train-labels-idx1-ubyte", 8, (-1,)), 10)
    x_test = read("t10k-images-idx3-ubyte", 16, (-1, 28, 28, 1)).astype("float32") / 255
    y_test = keras.utils.to_categorical(read("t10k-labels-idx1-ubyte", 8, (-1,)), 10)
    model = keras.Sequential([keras.Input((28, 28, 1)), *(layer(kind, a) for kind, a in job["layers"])])
    name, arguments = job["optimizer"]
    model.compile(
        optimizer=getattr(keras.optimizers, name)(learning_rate=arguments["lr"]),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    clock, n = Clock(), job["images"]
    model.fit(
        x[:n], y[:n], batch_size=job["batch_size"], epochs=job["epochs"], verbose=2, callbacks=[clock],
        validation_data=(x[55_000:], y[55_000:]),
    )  # fmt: skip
    model.evaluate(x_test, y_test, verbose=0)
    print("\n" + json.dumps({"first_step": clock.first_step, "epochs": clock.epochs, "compute": clock.compute}))


if __name__ == "__main__":
    main()
