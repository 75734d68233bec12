"""Writes ONNX files of Keras networks, with tf2onnx and with Keras's own export, and inputs and Keras's outputs.

Usage: export_onnx_tensorflow.py FOLDER [NAME...]. Each case is FOLDER/NAME with model.onnx, input.npy (NHWC) and
expected.npy. Needs tensorflow, keras 3, tf2onnx and onnx.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf
import tf2onnx

from export_cases import attempt
from export_savedmodel import images, randomize, save, small_resnet

layers = keras.layers
NETWORKS = {}


def network(function):
    NETWORKS[function.__name__] = function
    return function


@network
def resnet_v1():
    return small_resnet(1)


@network
def resnet_v2():
    return small_resnet(2, use_bias=True)


@network
def depthwise_relu6():
    x = inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.AveragePooling2D(3, 2, padding="same")(x)
    x = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    x = layers.Flatten()(x)
    return randomize(keras.Model(inputs, layers.Dense(7)(x)))


@network
def shapes():
    x = inputs = keras.Input((21, 17, 4))
    x = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
    x = layers.Concatenate()([layers.AveragePooling2D(2)(x), layers.MaxPooling2D(2)(x)])
    x = layers.Conv2D(6, (3, 5), (1, 2), padding="same", activation="relu")(x)
    m = layers.GlobalMaxPooling2D()(x)
    g = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    f = layers.Reshape((-1,))(layers.Cropping2D(((1, 0), (2, 1)))(x))
    return randomize(keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.Concatenate()([m, g, f]))))


@network
def shortcut_a():
    x = inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same")(x)
    y = layers.Lambda(lambda t: tf.pad(t[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [4, 4]]))(x)
    x = layers.Conv2D(16, 3, 2, padding="same")(x)
    x = layers.Lambda(lambda t: tf.clip_by_value(t * 5.0, 0.0, 6.0))(layers.Add()([x, y]))
    x = layers.Lambda(lambda t: tf.reduce_mean(t, [1, 2]))(x)
    return randomize(keras.Model(inputs, layers.Dense(5)(x)))


@network
def computed_reshape():
    x = inputs = keras.Input((16, 12, 3))
    x = layers.Conv2D(8, 3, 2, activation="relu")(x)
    x = layers.Lambda(lambda t: tf.reshape(t, [tf.shape(t)[0], t.shape[1] * t.shape[2] * t.shape[3]]))(x)
    return randomize(keras.Model(inputs, layers.Dense(5)(x)))


@network
def pixelwise_dense():
    x = inputs = keras.Input((10, 9, 3))
    x = layers.Dense(6, activation="relu")(layers.Conv2D(8, 3)(x))
    x = layers.Dense(4, use_bias=False)(x)
    return randomize(keras.Model(inputs, layers.GlobalAveragePooling2D()(x)))


@network
def rescaled():
    return small_resnet(head=layers.Rescaling(1 / 127.5, -1.0))


@network
def caffe_bgr():
    """keras.applications.resnet50.preprocess_input inside of the network."""
    return small_resnet(head=layers.Lambda(lambda x: tf.nn.bias_add(x[..., ::-1], -np.array([0.4, 0.5, 0.6], np.float32))))


@network
def dilated():
    x = inputs = keras.Input((18, 18, 4))
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="relu")(x)
    x = layers.SeparableConv2D(6, 3, padding="same")(x)
    return randomize(keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))


def convert(model, path, opset, **options):
    signature = [tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32, name="image")]
    function = tf.function(lambda image: model(image, training=False))
    tf2onnx.convert.from_function(function, input_signature=signature, opset=opset, output_path=path, **options)


def ways(name):
    yield "tf2onnx13", lambda model, path: convert(model, path, 13)
    yield "tf2onnx18", lambda model, path: convert(model, path, 18)
    yield "tf2onnx_nchw", lambda model, path: convert(model, path, 15, inputs_as_nchw=["image"])
    yield "keras", lambda model, path: model.export(path, format="onnx", verbose=False)
    if name in ("resnet_v1", "shortcut_a"):
        for opset in (9, 10, 11, 12, 14, 15, 16, 17)[name == "shortcut_a":]:  # Opset 9 cannot slice with a step.
            yield f"tf2onnx{opset}", lambda model, path, opset=opset: convert(model, path, opset)


def export(folder, make, way):
    os.makedirs(folder)
    keras.backend.clear_session()
    model = make()
    model(images(*model.inputs[0].shape[1:], count=1))  # Keras exports only models that have been called.
    way(model, os.path.join(folder, "model.onnx"))
    x = images(*model.inputs[0].shape[1:], count=2)
    save(folder, x, model(x, training=False))


def main():
    wanted, failed = sys.argv[2:], 0
    for name, make in NETWORKS.items():
        for label, way in ways(name):
            case = f"{name}_{label}"
            if wanted and name not in wanted and case not in wanted:
                continue
            failed += not attempt(case, lambda: export(os.path.join(sys.argv[1], case), make, way))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
