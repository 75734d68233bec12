"""Writes TensorFlow SavedModels of every kind octet reads, with inputs and TensorFlow's own outputs.

Usage: export_savedmodel.py FOLDER [NAME...]. Each case is FOLDER/NAME with saved_model.pb, variables/, input.npy
and expected.npy; an input of integers holds pixels, whatever the signature's type. Needs tensorflow and keras 3.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

layers = keras.layers
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def randomize(model, seed=0, gain=1.0):
    """Random weights and statistics; deep networks need a gain below 1 to keep activations in range."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape, name = tuple(weight.shape), getattr(weight, "path", weight.name).split("/")[-1].split(":")[0]
        if name == "gamma":
            weight.assign(rng.uniform(0.5, 1.5, shape) * gain)
        elif name == "moving_variance":
            weight.assign(rng.uniform(0.5, 1.5, shape))
        elif len(shape) > 1:
            fan_in = np.prod(shape[:-1]) if name != "depthwise_kernel" else np.prod(shape[:2])
            weight.assign(rng.normal(0, (1.5 / fan_in) ** 0.5, shape))
        else:
            weight.assign(rng.normal(0, 0.1, shape))
    return model


def images(height, width, channels=3, count=3, integer=False, seed=1):
    rng = np.random.default_rng(seed)
    if integer:
        return rng.integers(0, 256, (count, height, width, channels)).astype(np.uint8)
    return rng.normal(0, 1, (count, height, width, channels)).astype(np.float32)


def save(folder, inputs, outputs):
    np.save(os.path.join(folder, "input.npy"), inputs)
    np.save(os.path.join(folder, "expected.npy"), np.asarray(outputs, np.float32))


def export(folder, model, inputs):
    """Keras 3: model.export."""
    model.export(folder, verbose=False)
    save(folder, inputs, model(tf.cast(inputs, model.inputs[0].dtype), training=False))


def block(x, filters, stride=1, version=1, use_bias=False):
    """One basic residual block with an asymmetric SAME convolution when it strides."""
    shortcut = x
    conv = lambda y, k, s: layers.Conv2D(filters, k, s, padding="same", use_bias=use_bias)(y)
    norm = lambda y: layers.BatchNormalization()(y)
    if version == 2:
        x = layers.ReLU()(norm(x))
        shortcut = conv(x, 1, stride) if stride > 1 or shortcut.shape[-1] != filters else shortcut
        x = layers.ReLU()(norm(conv(x, 3, stride)))
        return layers.Add()([shortcut, conv(x, 3, 1)])
    if stride > 1 or x.shape[-1] != filters:
        shortcut = norm(conv(x, 1, stride))
    x = layers.ReLU()(norm(conv(x, 3, stride)))
    return layers.ReLU()(layers.Add()([norm(conv(x, 3, 1)), shortcut]))


def small_resnet(version=1, size=(33, 30), dtype="float32", head=None, use_bias=False):
    inputs = x = keras.Input((*size, 3), name="image", dtype=dtype)
    if head:
        x = head(x)
    x = layers.Conv2D(8, 5, 2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = block(x, 8, 1, version, use_bias)
    x = block(x, 12, 2, version, use_bias)
    if version == 2:
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(9, activation="relu")(x)
    return randomize(keras.Model(inputs, layers.Dense(5, activation="softmax")(x)))


@case
def resnet_v1(folder):
    export(folder, small_resnet(1), images(33, 30))


@case
def resnet_v2(folder):
    export(folder, small_resnet(2, use_bias=True), images(33, 30))


@case
def functional_tf_save(folder):
    """tf.saved_model.save of a Keras model, several nested functions."""
    model = small_resnet(1)
    signature = tf.function(lambda image: {"scores": model(image, training=False)}).get_concrete_function(
        tf.TensorSpec([None, 33, 30, 3], tf.float32, name="image"))
    tf.saved_model.save(model, folder, signatures=signature)
    save(folder, images(33, 30), model(images(33, 30), training=False))


@case
def uint8_rescaled(folder):
    """Cast, divide, subtract, divide by vectors: torchvision's preprocessing inside the model."""
    def head(x):
        x = keras.ops.cast(x, "float32") / 255.0
        return (x - np.array([0.485, 0.456, 0.406], np.float32)) / np.array([0.229, 0.224, 0.225], np.float32)
    export(folder, small_resnet(head=head, dtype="uint8"), images(33, 30, integer=True))


@case
def float_rescaling(folder):
    """Rescaling(1/127.5, -1) on floats from 0 to 255."""
    export(folder, small_resnet(head=layers.Rescaling(1 / 127.5, -1.0)), images(33, 30, integer=True))


@case
def normalization_layer(folder):
    layer = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3000.0, 3100.0, 3200.0])
    export(folder, small_resnet(head=layer), images(33, 30, integer=True))


@case
def caffe_bgr(folder):
    """keras.applications.resnet50.preprocess_input: reversed channels, mean subtracted."""
    head = layers.Lambda(lambda x: tf.nn.bias_add(x[..., ::-1], -np.array([103.939, 116.779, 123.68], np.float32)))
    export(folder, small_resnet(head=head), images(33, 30, integer=True))


@case
def reverse_v2(folder):
    head = layers.Lambda(lambda x: tf.reverse(x, axis=[-1]) * 0.0125)
    export(folder, small_resnet(head=head), images(33, 30, integer=True))


@case
def negative_scale(folder):
    """Preprocessing that metadata cannot say: stays an operator."""
    head = layers.Lambda(lambda x: 1.0 - x / 127.5)
    export(folder, small_resnet(head=head), images(33, 30, integer=True))


@case
def depthwise_relu6(folder):
    x = inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x * 4.0))
    x = layers.AveragePooling2D(3, 2, padding="same")(x)
    x = layers.Conv2D(12, 3, padding="same")(x)
    x = layers.Flatten()(x)
    export(folder, randomize(keras.Model(inputs, layers.Dense(7)(x))), images(32, 32))


@case
def pooling_shapes(folder):
    """Pads, valid pools, concatenation, computed reshape, global max."""
    x = inputs = keras.Input((21, 17, 4))
    x = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
    a = layers.AveragePooling2D(2)(x)
    b = layers.MaxPooling2D(2)(x)
    x = layers.Concatenate()([a, b])
    x = layers.Lambda(lambda t: tf.reshape(t, [tf.shape(t)[0], t.shape[1], t.shape[2] * 2, t.shape[3] // 2]))(x)
    x = layers.Conv2D(6, (3, 5), (1, 2), padding="same")(x)
    m = layers.GlobalMaxPooling2D()(x)
    g = layers.GlobalAveragePooling2D(keepdims=True)(x)
    g = layers.Lambda(lambda t: tf.squeeze(t, [1, 2]))(g)
    f = layers.Flatten()(layers.Cropping2D(((1, 0), (2, 1)))(x))
    export(folder, randomize(keras.Model(inputs, layers.Dense(5)(layers.Concatenate()([m, g, f])))), images(21, 17, 4))


@case
def shortcut_a(folder):
    """Option A of the CIFAR networks: strided slice and padded channels; clip_by_value as ReLU6."""
    x = inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same")(x)
    y = layers.Lambda(lambda t: tf.pad(t[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [4, 4]]))(x)
    x = layers.Conv2D(16, 3, 2, padding="same")(x)
    x = layers.Lambda(lambda t: tf.clip_by_value(t * 5.0, 0.0, 6.0))(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    export(folder, randomize(keras.Model(inputs, layers.Dense(5)(x))), images(16, 16))


@case
def fixed_batch(folder):
    x = inputs = keras.Input((16, 16, 3), batch_size=1)
    x = layers.Flatten()(layers.Conv2D(4, 3, 2)(x))
    export(folder, randomize(keras.Model(inputs, layers.Dense(5)(x))), images(16, 16, count=1))


@case
def float64_inside(folder):
    x = inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.Lambda(lambda t: tf.cast(tf.nn.relu(tf.cast(t, tf.float64) - 0.25), tf.float32))(x)
    model = randomize(keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x))))
    export(folder, model, images(16, 16))


@case
def shared_layers(folder):
    """One convolution used twice, one ReLU with several users."""
    x = inputs = keras.Input((16, 16, 3))
    conv = layers.Conv2D(3, 3, padding="same", activation="relu")
    a = conv(x)
    b = conv(a)
    x = layers.Add()([a, b])
    x = layers.Multiply()([x, a])
    export(folder, randomize(keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))), images(16, 16))


@case
def tf_module(folder):
    """No Keras: FusedBatchNormV3, explicit padding, transposed matmul, no signature name."""

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            g = tf.random.Generator.from_seed(3)
            self.kernel = tf.Variable(g.normal([3, 3, 3, 8]) * 0.3, name="k")
            self.norm = [tf.Variable(g.uniform([8], 0.5, 1.5)) for _ in range(4)]
            self.dense = tf.Variable(g.normal([6, 8]))
            self.bias = tf.Variable(g.normal([6]))

        @tf.function(input_signature=[tf.TensorSpec([None, 20, 20, 3], tf.float32)])
        def __call__(self, x):
            x = tf.nn.conv2d(x, self.kernel, [1, 2, 2, 1], [[0, 0], [1, 2], [0, 1], [0, 0]])
            x, _, _ = tf.compat.v1.nn.fused_batch_norm(x, *self.norm, epsilon=1e-3, is_training=False)
            x = tf.nn.relu(x)
            x = tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID")
            x = tf.linalg.matmul(tf.reshape(x, [-1, 8]), self.dense, transpose_b=True)
            return tf.nn.softmax(x + self.bias)

    net = Net()
    tf.saved_model.save(net, folder, signatures={"classify": net.__call__.get_concrete_function()})
    save(folder, images(20, 20), net(images(20, 20)))


@case
def tf1_session(folder):
    """TensorFlow 1: variables in the main graph, no functions."""
    v1 = tf.compat.v1
    x_value = images(20, 20)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        x = v1.placeholder(tf.float32, [None, 20, 20, 3], "x")
        k = v1.get_variable("conv/kernel", [3, 3, 3, 8], use_resource=False)
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, k, 2, "SAME"), v1.get_variable("conv/bias", [8], use_resource=True)))
        y = tf.reduce_mean(y, [1, 2])
        y = tf.nn.softmax(tf.matmul(y, v1.get_variable("dense/kernel", [8, 4], use_resource=True)))
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, folder, {"x": x}, {"y": y})
        save(folder, x_value, session.run(y, {x: x_value}))


@case
def frozen(folder):
    """Constants instead of variables: no bundle at all."""
    model = small_resnet(1)
    function = tf.function(lambda image: model(image, training=False)).get_concrete_function(
        tf.TensorSpec([None, 33, 30, 3], tf.float32, name="image"))
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    constant = convert_variables_to_constants_v2(function)
    module = tf.Module()
    module.f = constant
    tf.saved_model.save(module, folder, signatures=constant)
    save(folder, images(33, 30), model(images(33, 30), training=False))


def main():
    for name in sys.argv[2:] or CASES:
        folder = os.path.join(sys.argv[1], name)
        keras.backend.clear_session()
        CASES[name](folder)
        print(name, flush=True)


if __name__ == "__main__":
    main()
