"""Writes random small networks through TensorFlow's doors with the framework's own answers: .keras and .h5 of Keras 3 and
Keras 2, SavedModels, and TFLite with float, half, dynamic-range and integer arithmetic.

Usage: import_oracle_keras.py FOLDER COUNT SEED [KIND...]. Each case is FOLDER/NUMBER_KIND with the model (model.keras,
model.h5, model.tflite, or the folder itself where it is a SavedModel), input.npy and expected.npy, expected_1.npy and so on for
further outputs. Integer ends of TFLite are written as the numbers that the codes stand for; step.npy is the output's scale.
Without KINDs a network of either version of Keras is written as its two files, half of them also as a SavedModel, two thirds in
one of TFLite's kinds. Needs tensorflow, keras 3 and tf_keras (Keras 2).
"""

import os
import random
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import keras
import numpy as np
import tensorflow as tf
import tf_keras

FILES = {"keras": (keras, "keras"), "h5": (keras, "h5"), "keras2": (tf_keras, "keras"), "keras2h5": (tf_keras, "h5")}
SAVED = {"savedmodel": keras, "savedmodel2": tf_keras}
TFLITE = ["tflite", "tflitehalf", "tflitedynamic", "tflitefloat", "tfliteint8", "tfliteuint8"]
KINDS = [*FILES, *SAVED, *TFLITE]


class Maker:
    """One random network in the words of one of the two versions of Keras: the same seed gives the same network."""

    def __init__(self, k, seed):
        self.k, self.layers, self.r, self.seed = k, k.layers, random.Random(seed), seed
        self.v3 = k is keras
        self.rare = self.r.random() < 0.1  # Arithmetic that octet is known to refuse.

    def one(self, *choices):
        return self.r.choice(choices)

    def chance(self, p):
        return self.r.random() < p

    def function(self):
        """The name of an activation, or a layer in its place."""
        if self.chance(0.06):
            return self.layers.ReLU(max_value=self.one(None, 6.0, 1.5, 6))
        if self.rare and self.chance(0.3):
            return self.one("elu", "gelu", "swish", "selu", "hard_sigmoid", "exponential", "softplus")
        return self.one(None, None, "linear", "relu", "relu", "relu", "relu6" if self.v3 else "relu", "sigmoid", "tanh", "softmax")

    def pair(self, *choices):
        a = self.one(*choices)
        return (a, self.one(*choices)) if self.chance(0.3) else a

    def padding(self, x, extent):
        """Valid only where the window fits."""
        fits = min(x.shape[1], x.shape[2]) >= extent
        return self.one("same", "valid") if fits else "same"

    def window(self, x):
        """Kernel, strides, padding and dilation as arguments."""
        kernel = self.pair(1, 2, 3, 3, 3, 5)
        strides = self.pair(1, 1, 1, 2, 3) if min(x.shape[1], x.shape[2]) > 4 else 1
        largest = max(kernel) if isinstance(kernel, tuple) else kernel
        dilation = self.pair(2, 3) if strides == 1 and self.chance(0.2) else 1
        reach = (largest - 1) * (max(dilation) if isinstance(dilation, tuple) else dilation) + 1
        return dict(kernel_size=kernel, strides=strides, padding=self.padding(x, reach), dilation_rate=dilation)

    def conv(self, x, filters=None, **fixed):
        c = x.shape[-1]
        filters = filters or self.r.randint(1, 8)
        options = dict(use_bias=self.chance(0.7), activation=self.function(), **(fixed or self.window(x)))
        kind = self.r.randint(0, 9)
        if kind == 0 and not fixed:
            options.update(activation=None)
            stride = options["strides"]
            if isinstance(stride, tuple):
                options["strides"] = stride[0]  # TensorFlow's depthwise convolutions are square in that.
            return self.layers.DepthwiseConv2D(depth_multiplier=self.one(1, 1, 2, 3), **options)(x)
        if kind == 1 and not fixed:
            stride = options["strides"]
            options["strides"] = stride[0] if isinstance(stride, tuple) else stride
            if options["strides"] != 1:
                options["dilation_rate"] = 1
            return self.layers.SeparableConv2D(filters, depth_multiplier=self.one(1, 1, 2), **options)(x)
        if kind == 2 and c > 1 and not fixed:
            groups = self.one(*[g for g in range(2, c + 1) if c % g == 0])
            return self.layers.Conv2D(groups * self.r.randint(1, 2), groups=groups, **options)(x)
        return self.layers.Conv2D(filters, **options)(x)

    def norm(self, x):
        return self.layers.BatchNormalization(axis=self.one(-1, -1, len(x.shape) - 1), center=self.chance(0.8), scale=self.chance(0.8),
                                              epsilon=self.one(1e-3, 1e-5, 0.1))(x)

    def activation(self, x):
        layers, kind = self.layers, self.r.randint(0, 7)
        if kind <= 3:
            options = {"max_value": self.one(None, None, 6.0, 1.25, 20.0)}
            if self.rare and self.chance(0.5):
                options[self.one("negative_slope", "threshold")] = 0.25
            return layers.ReLU(**options)(x)
        if kind == 4:
            return layers.Softmax(**({"axis": -1} if self.chance(0.5) else {}))(x)
        if kind == 5 and self.rare:
            return self.one(layers.LeakyReLU, layers.PReLU, layers.ELU)()(x)
        name = self.function()
        return layers.Activation(name if name is not None else "relu")(x)

    def constant(self, x):
        if self.chance(0.5):
            return self.one(0.5, -1.5, 2, 3.25, -1)
        rng = np.random.default_rng(self.r.randint(0, 1 << 30))
        values = rng.normal(0, 1, x.shape[-1]).astype(np.float32)
        if self.chance(0.3):
            values = values.reshape((1,) * (len(x.shape) - 1) + (-1,))
        return values

    def operation(self, x):
        """A bare operation."""
        o = keras.ops if self.v3 else None
        low, high = sorted([round(self.r.uniform(-2, 1), 2), round(self.r.uniform(0, 3), 2)])
        choices = [
            lambda: x + self.constant(x), lambda: x * self.constant(x), lambda: x - self.constant(x), lambda: self.constant(x) - x,
            lambda: x / self.one(2.0, 0.3, 127.5), lambda: -x, lambda: x + x, lambda: x * x,
            lambda: o.relu(x) if o else tf.nn.relu(x), lambda: o.relu6(x) if o else tf.nn.relu6(x),
            lambda: o.sigmoid(x) if o else tf.sigmoid(x), lambda: o.tanh(x) if o else tf.tanh(x),
            lambda: o.clip(x, low, high) if o else tf.clip_by_value(x, low, high),
            lambda: o.maximum(x, low) if o else tf.maximum(x, low), lambda: o.minimum(x, high) if o else tf.minimum(x, high),
            lambda: o.log_softmax(x) if o else tf.nn.log_softmax(x), lambda: o.softmax(x, axis=-1) if o else tf.nn.softmax(x, axis=-1),
            lambda: o.concatenate([x, x * 0.5], axis=-1) if o else tf.concat([x, x * 0.5], -1),
        ]
        if len(x.shape) == 4 and x.shape[1] > 2 and x.shape[2] > 2:
            choices += [
                lambda: x[:, 1:, :-1], lambda: x[:, ::2, 1::2], lambda: x[..., :1], lambda: x[:, :, ::-1], lambda: x[..., ::-1],
                lambda: o.transpose(x, (0, 2, 1, 3)) if o else tf.transpose(x, (0, 2, 1, 3)),
                lambda: o.stack([x[..., 0], x[..., -1]], axis=-1) if o else tf.stack([x[..., 0], x[..., -1]], -1),
                lambda: o.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3])) if o else tf.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3])),
            ]
        return self.r.choice(choices)()

    def harmless(self, x):
        layers = self.layers
        choices = [layers.Dropout(0.3), layers.GaussianNoise(0.1), layers.GaussianDropout(0.2), layers.AlphaDropout(0.1),
                   layers.ActivityRegularization(l2=0.01), layers.Activation("linear")]
        if len(x.shape) == 4:
            choices += [layers.SpatialDropout2D(0.3), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.2),
                        layers.RandomTranslation(0.1, 0.1), layers.RandomContrast(0.1), layers.Resizing(x.shape[1], x.shape[2])]
        return self.r.choice(choices)(x)

    def scaled(self, x):
        layers, c = self.layers, x.shape[-1]
        if self.chance(0.5):
            several = self.chance(0.3)
            return layers.Rescaling([round(self.r.uniform(0.3, 2), 2) for _ in range(c)] if several else self.one(0.5, 1 / 127.5, 1 / 255),
                                    [round(self.r.uniform(-1, 1), 2) for _ in range(c)] if several else self.one(0.0, -1, 0.25))(x)
        kind, rng = self.r.randint(0, 2), np.random.default_rng(self.r.randint(0, 1 << 30))
        mean, variance = rng.normal(0, 1, c).tolist(), rng.uniform(0.2, 3, c).tolist()
        if kind == 0:
            return layers.Normalization(mean=mean, variance=variance, **({"invert": True} if self.chance(0.15) else {}))(x)
        if kind == 1:
            return layers.Normalization(axis=None, mean=0.4, variance=0.3)(x)
        layer = layers.Normalization(axis=self.one(-1, -1, None))
        layer.adapt(rng.normal(0.5, 2, (6, *[d or 1 for d in x.shape[1:]])).astype(np.float32))
        return layer(x)

    def pool(self, x):
        layers = self.layers
        size = self.pair(2, 2, 3) if min(x.shape[1], x.shape[2]) > 3 else 2
        largest = max(size) if isinstance(size, tuple) else size
        return self.one(layers.MaxPooling2D, layers.AveragePooling2D)(size, strides=self.one(None, 1, 2, 2), padding=self.padding(x, largest))(x)

    def padded(self, x):
        layers = self.layers
        amount = self.one(1, (1, 2), ((0, 1), (0, 1)), ((1, 2), (0, 3)))
        if self.chance(0.3) and min(x.shape[1], x.shape[2]) > 5:
            return layers.Cropping2D(amount)(x)
        x = layers.ZeroPadding2D(amount)(x)
        if self.chance(0.6):
            x = layers.Conv2D(self.r.randint(2, 6), 3, self.one(1, 2), activation=self.function())(x)
        elif self.chance(0.5):
            x = layers.MaxPooling2D(3, 2)(x)
        return x

    def branches(self, x):
        layers, c = self.layers, x.shape[-1]
        a = self.conv(x, c, kernel_size=self.one(1, 3), padding="same")
        if self.chance(0.6):
            a = self.norm(a)
        b = x if self.chance(0.5) else self.conv(x, c, kernel_size=self.one(1, 3), padding="same")
        kind = self.r.randint(0, 8)
        if kind == 0:
            return layers.Subtract()([a, b])
        if kind == 1:
            return layers.Multiply()([a, b])
        if kind == 2:
            return layers.Average()([a, b, x] if self.chance(0.3) else [a, b])
        if kind in (3, 4):
            return layers.Concatenate(axis=self.one(-1, -1, 3, 1, 2))([a, b, x] if self.chance(0.3) else [a, b])
        if kind == 5:
            return a + b
        y = layers.Add()([a, b, x] if self.chance(0.2) else [a, b])
        return layers.Activation("relu")(y) if self.chance(0.6) else y

    def nested(self, x, depth):
        layers = self.layers
        if self.chance(0.4):
            inner = [layers.Conv2D(x.shape[-1], 3, padding="same", activation=self.function(), **({"name": "conv"} if self.chance(0.5) else {})),
                     layers.BatchNormalization(), layers.ReLU()]
            if self.chance(0.3):
                inner.insert(0, self.k.Input(x.shape[1:]))
            model = self.k.Sequential(inner[:self.r.randint(2, len(inner))])
        else:
            y = start = self.k.Input(x.shape[1:])
            for _ in range(self.r.randint(1, 2)):
                y = self.block(y, depth + 1)
            model = self.k.Model(start, y)
        x1 = model(x)
        if x1.shape == x.shape and self.chance(0.3):
            x1 = model(x1)
        return x1

    def shaped(self, x):
        layers, dims = self.layers, list(x.shape[1:])
        kind = self.r.randint(0, 3)
        if kind == 0:
            return layers.Permute(self.one((2, 1, 3), (1, 2, 3)))(x)
        if kind == 1:
            return layers.Reshape(self.one((dims[1], dims[0], dims[2]), (-1, dims[1], dims[2]), (dims[0] * dims[1], 1, dims[2])))(x)
        if kind == 2:
            return layers.Reshape((*dims[:2], dims[2]))(layers.Reshape((dims[0] * dims[1], dims[2]))(x))
        return layers.Reshape(dims)(layers.Flatten()(x))

    def block(self, x, depth=0):
        if len(x.shape) != 4:
            return self.row_block(x)
        kind = self.r.randint(0, 15)
        if min(x.shape[1], x.shape[2]) < 2 and kind in (5, 6, 8, 12):
            kind = 0
        if kind <= 4:
            x = self.conv(x)
            if self.chance(0.5):
                x = self.norm(x)
            return self.activation(x) if self.chance(0.5) else x
        if kind == 5:
            return self.pool(x)
        if kind == 6:
            return self.padded(x)
        if kind in (7, 8):
            return self.branches(x)
        if kind == 9 and depth < 2:
            return self.nested(x, depth)
        if kind == 10:
            return self.operation(x)
        if kind == 11:
            return self.harmless(x)
        if kind == 12 and self.chance(0.5):
            return self.shaped(x)
        if kind == 13:
            return self.scaled(x)
        if kind == 14:
            return self.layers.Dense(self.r.randint(2, 7), activation=self.function(), use_bias=self.chance(0.8))(x)
        return self.activation(self.norm(x) if self.chance(0.4) else x)

    def row_block(self, x):
        kind = self.r.randint(0, 7)
        if kind <= 3:
            return self.layers.Dense(self.r.randint(2, 12), activation=self.function(), use_bias=self.chance(0.8))(x)
        if kind == 4:
            return self.norm(x)
        if kind == 5:
            return self.operation(x)
        if kind == 6:
            y = self.layers.Dense(x.shape[-1], activation=self.function())(x)
            return self.one(self.layers.Add, self.layers.Concatenate)()([x, y])
        return self.one(self.activation, self.harmless, self.scaled)(x)

    def head(self, x):
        layers, out = self.layers, self.r.randint(2, 7)
        last = lambda x: layers.Dense(out, activation=self.one("softmax", "softmax", None, "sigmoid", "tanh", "relu"))(x)
        kind = self.r.randint(0, 8)
        if len(x.shape) != 4:
            return last(layers.Flatten()(x) if len(x.shape) > 2 and self.chance(0.7) else x)
        if kind == 0:
            return last(layers.Flatten()(x))
        if kind == 1:
            return last(layers.GlobalMaxPooling2D()(x))
        if kind == 2:
            return last(layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x)))
        if kind == 3:
            y = layers.Dense(8, activation="relu")(layers.GlobalAveragePooling2D()(x))
            return last(layers.Dropout(0.5)(self.norm(y) if self.chance(0.5) else y))
        if kind == 4:
            return layers.Conv2D(out, 1, activation=self.function())(x)
        if kind == 5:
            mean = keras.ops.mean if self.v3 else tf.reduce_mean
            top = keras.ops.max if self.v3 else tf.reduce_max
            return last(self.one(mean, top)(x, (1, 2)))
        if kind == 6:
            return layers.Softmax()(layers.Dense(out)(layers.GlobalAveragePooling2D()(x)))
        return last(layers.GlobalAveragePooling2D()(x))

    def make(self):
        """The model and its input's shape; whether the inputs are pixels."""
        layers, c = self.layers, self.one(1, 3, 3, 3, 4)
        shape = self.one((8, 8, c), (9, 7, c), (12, 12, c), (6, 10, c), (12, 12, c))
        kind, pixels, options = self.r.randint(0, 19), False, {}
        if self.chance(0.05):
            options["batch_size"] = 1
        if kind == 0:
            shape = self.one((28, 28), (12, 10))
        elif kind == 1:
            shape = (self.one(10, 24, 144),)
        elif kind == 2:
            pixels = True
            options["dtype"] = self.one("uint8", "int32")
        elif kind == 3:
            pixels = True
        x = inputs = self.k.Input(shape, **options)
        if len(shape) == 2:
            x = layers.Reshape((*shape, 1))(x) if self.chance(0.8) else layers.Flatten()(x)
        elif shape == (144,) and self.chance(0.6):
            x = layers.Reshape((12, 12, 1))(x)
        if pixels:
            x = layers.Rescaling(self.one(1 / 255, 1 / 127.5), self.one(0.0, -1))(x)
            if self.chance(0.3) and len(shape) == 3:
                x = layers.Normalization(mean=[0.4] * c, variance=[0.2 + 0.1 * i for i in range(c)])(x)
        elif self.chance(0.15):
            x = self.scaled(x)
        for _ in range(self.r.randint(1, 6)):
            x = self.block(x)
        outputs = self.head(x)
        if self.chance(0.04):
            outputs = [outputs, self.head(x)]
        elif self.chance(0.04):
            outputs = {"b": outputs, "a": self.head(x)} if self.chance(0.3) else [x, outputs]
        model = self.k.Model(inputs, outputs)
        self.randomize(model)
        return model, shape, pixels

    def randomize(self, model):
        rng = np.random.default_rng(self.seed)
        for w in model.weights:
            name = (w.path if self.v3 else w.name).split("/")[-1].split(":")[0]
            shape = tuple(w.shape)
            if name in ("gamma",):
                w.assign(rng.uniform(0.5, 1.5, shape).astype(np.float32))
            elif name in ("beta", "bias", "moving_mean"):
                w.assign(rng.normal(0, 0.3, shape).astype(np.float32))
            elif name == "moving_variance":
                w.assign(rng.uniform(0.5, 2, shape).astype(np.float32))
            elif "kernel" in name:
                taps = int(np.prod(shape[:2] if name == "depthwise_kernel" else shape[:-1]))
                w.assign(rng.normal(0, 1.2 / np.sqrt(max(taps, 1)), shape).astype(np.float32))


def listed(outputs):
    if isinstance(outputs, dict):
        outputs = [outputs[key] for key in sorted(outputs)]
    return [np.asarray(y) for y in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def answers(function, x, fixed):
    """Of one image after the other where the network has a fixed batch."""
    rows = [listed(function(x[i:i + 1])) for i in range(len(x))] if fixed else [listed(function(x))]
    return [np.concatenate(column) for column in zip(*rows)]


def lite(kind, model, samples, r):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != "tflite":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "tflitehalf":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("tflitefloat", "tfliteint8", "tfliteuint8"):
        converter.representative_dataset = lambda: ([s[None]] for s in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if kind == "tflitefloat" and r.random() < 0.3:
            converter.target_spec.supported_ops.append(tf.lite.OpsSet.TFLITE_BUILTINS)
        converter._experimental_disable_per_channel = r.random() < 0.3
        converter._experimental_disable_per_channel_quantization_for_dense_layers = r.random() < 0.3
    if kind in ("tfliteint8", "tfliteuint8"):
        converter.inference_input_type = converter.inference_output_type = tf.int8 if kind == "tfliteint8" else tf.uint8
    return converter.convert()


def run_lite(content, x):
    """The inputs as the numbers that their codes stand for, the answers, and the output's scale."""
    interpreter = tf.lite.Interpreter(model_content=content,
                                      experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()
    scale, zero = into["quantization"]
    integer = into["dtype"] in (np.int8, np.uint8) and scale != 0
    kind = np.iinfo(into["dtype"]) if integer else None
    codes = np.clip(np.rint(x / np.float32(scale)) + zero, kind.min, kind.max) if integer else x
    rows = []
    for q in codes.astype(into["dtype"]):
        interpreter.set_tensor(into["index"], q[None])
        interpreter.invoke()
        rows.append([real(interpreter.get_tensor(o["index"]), o["quantization"]) for o in out])
    step = out[0]["quantization"][0]
    if step == 0:
        tensors = {t["index"]: t for t in interpreter.get_tensor_details()}
        for op in interpreter._get_ops_details():
            if op["op_name"] == "DEQUANTIZE" and out[0]["index"] in op["outputs"]:
                step = tensors[op["inputs"][0]]["quantization"][0]
    x = real(codes, (scale, zero)) if integer else x
    return x.astype(np.float32), [np.concatenate(c) for c in zip(*rows)], step


def real(codes, quantization):
    scale, zero = quantization
    return (codes.astype(np.float32) - zero) * np.float32(scale) if scale != 0 else codes


def write(root, number, kind, save, x, expected, step=0.0):
    """`save` writes the model into the folder that it is given."""
    if not all(np.isfinite(y).all() and np.abs(y).max() > 0 for y in expected):
        raise ValueError("an answer is zero or not finite")
    with tempfile.TemporaryDirectory(dir=root) as work:
        folder = os.path.join(work, "case")
        os.makedirs(folder)
        save(folder)
        np.save(os.path.join(folder, "input.npy"), x)
        for i, y in enumerate(expected):
            np.save(os.path.join(folder, f"expected_{i}.npy" if i else "expected.npy"), np.ascontiguousarray(y, dtype=np.float32))
        if step:
            np.save(os.path.join(folder, "step.npy"), np.float32([step]))
        os.replace(folder, os.path.join(root, f"{number:06d}_{kind}"))


def saved_answers(folder, x, fixed):
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    name = next(iter(signature.structured_input_signature[1]))
    kind = signature.structured_input_signature[1][name].dtype
    return answers(lambda v: signature(**{name: tf.constant(v, kind)}), x, fixed)


def case(root, number, kind, k, made):
    """`made` is where this network's models are kept, by version of Keras."""
    r = random.Random(f"{number} {kind}")
    k = FILES[kind][0] if kind in FILES else SAVED.get(kind, k)
    if k not in made:
        made[k] = Maker(k, number).make()
    model, shape, pixels = made[k]
    fixed = model.inputs[0].shape[0] is not None
    dtype = tf.as_dtype(model.inputs[0].dtype).as_numpy_dtype
    rng = np.random.default_rng(number)
    count = 16 if kind in TFLITE else 3
    x = (rng.integers(0, 256, (count, *shape)) if pixels else rng.normal(0, 1, (count, *shape))).astype(np.float32)
    if kind in TFLITE:
        samples = x.astype(dtype)
        content = lite(kind, model, samples, r)
        x, expected, step = run_lite(content, x[:3])

        def save(folder):
            with open(os.path.join(folder, "model.tflite"), "wb") as f:
                f.write(content)
        write(root, number, kind, save, x, expected, step)
        return
    if kind in SAVED:
        with tempfile.TemporaryDirectory() as work:
            if r.random() < 0.3:
                tf.saved_model.save(model, work)
            else:
                model.export(work, **({"verbose": False} if k is keras else {}))
            # The signature's own answers: it has an order of outputs of its own, and may hold layers as they train.
            expected = saved_answers(work, x, fixed)
            write(root, number, kind, lambda folder: shutil.copytree(work, folder, dirs_exist_ok=True), x, expected)
        return
    expected = answers(lambda v: model(v.astype(dtype), training=False), x, fixed)
    write(root, number, kind, lambda folder: model.save(os.path.join(folder, "model." + FILES[kind][1])), x, expected)


def main():
    import contextlib
    import io
    import logging
    import warnings
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    root, count, first, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    os.makedirs(root, exist_ok=True)
    written = failed = 0
    for number in range(first, first + count):
        r, made = random.Random(number), {}
        k = r.choice([keras, tf_keras])
        kinds = wanted or [*(f for f in FILES if FILES[f][0] is k), *(s for s in SAVED if SAVED[s] is k and r.random() < 0.5),
                           *(r.sample(TFLITE, 1) if r.random() < 0.67 else [])]
        for kind in kinds:
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    case(root, number, kind, k, made)
                written += 1
            except Exception as e:  # A combination that the framework does not have.
                failed += 1
                print(number, kind, type(e).__name__, str(e)[:160].replace("\n", " "), flush=True)
        keras.utils.clear_session(free_memory=False)
        tf_keras.backend.clear_session()
    print(f"{count} networks: {written} files written, {failed} not")


if __name__ == "__main__":
    main()
