"""Writes every network of keras.applications, and those that only Keras 2 has, in every format that Keras and TensorFlow write and
octet reads, with Keras's answers, for networks_test.cc.

Usage: export_networks_tensorflow.py FOLDER LOG [NAME...]; see export_cases.Queue. Weights are random: nothing is downloaded.
Needs tensorflow, keras 3, tf_keras and tf2onnx.
"""

import inspect
import os
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf
import tf_keras

from export_cases import Queue
from export_keras_tflite import convert, write
from export_onnx_tensorflow import convert as to_onnx

NORMS = keras.layers.BatchNormalization, tf_keras.layers.BatchNormalization
RESCALINGS = keras.layers.Rescaling, tf_keras.layers.Rescaling
# Written by tf2onnx too, which takes minutes.
SAMPLE = ("ResNet50", "ResNet50V2", "MobileNet", "MobileNetV2")
# Networks whose smallest has their layers: as .keras and .h5 alone.
REPEATED = r"ConvNeXt(?!Tiny)|EfficientNetB[1-7]|EfficientNetV2(?!B0)"


def randomize(model, x):
    """Random weights whose activations stay in range: batch norms have the statistics of `x`. Scales below 1 and
    shifts above 0 keep a deep network of random blocks from amplifying every rounding."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        value = np.asarray(weight)
        if value.dtype != np.float32 or value.size > 1 and value.std() > 0:
            continue  # Keras's own random values; the others are constants such as 0 or 1.
        weight.assign(value * rng.uniform(0.2, 0.6, value.shape) + (value == 0) * rng.normal(0.3, 0.2, value.shape))
    norms = [(layer, layer.momentum) for layer in model._flatten_layers() if isinstance(layer, NORMS)]
    for layer, _ in norms:
        layer.momentum = 0.0
    model(x, training=True)
    for layer, momentum in norms:
        layer.momentum = momentum
        variance = np.asarray(layer.moving_variance)
        variance = np.maximum(variance, 0.1 * variance.mean())  # A channel that is 0 throughout.
        layer.moving_variance.assign(variance if layer.scale else 6 * variance)  # As a scale of 0.4.
    return model


def prepare(name, make):
    def write_all(folder):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        tf.random.set_seed(1)
        options = {"weights": None, "classes": 10}
        if "classifier_activation" in inspect.signature(make).parameters:
            options["classifier_activation"] = None  # A softmax would hide errors.
        try:
            model = make(input_shape=(96, 96, 3), **options)
        except ValueError:
            model = make(**options)  # NASNet, Xception and Inception: some sizes only.
        shape = model.inputs[0].shape[1:]
        x = np.random.default_rng(2).normal(0, 1, (4, *shape)).astype(np.float32)
        if any(isinstance(layer, RESCALINGS) for layer in model._flatten_layers()):
            x = x * 60 + 128
        randomize(model, x)
        np.save(os.path.join(folder, "input.npy"), x[:2])
        np.save(os.path.join(folder, "expected.npy"), np.asarray(model(x[:2], training=False)))
        doors = {"keras": ("model.keras", model.save), "h5": ("model.h5", model.save)}
        if not re.match(REPEATED, name):
            keras3 = isinstance(model, keras.Model)
            doors["savedmodel"] = "saved", lambda path: model.export(path, verbose=False) if keras3 else tf.saved_model.save(model, path)
            doors["tflite"] = "model.tflite", lambda path: write(path, convert(model))
        if name in SAMPLE:
            doors["tf2onnx"] = "model.onnx", lambda path: to_onnx(model, path, 17)
        return doors
    return write_all


def main():
    queue = Queue(*sys.argv[1:3], sys.argv[3:])
    by_cost = lambda network: (not network[0].startswith("ResNet"), bool(re.match(REPEATED, network[0])))
    for name, make in sorted(vars(keras.applications).items(), key=by_cost):
        if inspect.isfunction(make) and queue.wants("keras.applications", name):
            queue.write("keras.applications", name, prepare(name, make))
    for name in ("RegNetX002", "RegNetY002", "ResNetRS50"):
        if queue.wants("tf_keras.applications", name):
            queue.write("tf_keras.applications", name, prepare(name, getattr(tf_keras.applications, name)))


if __name__ == "__main__":
    main()
