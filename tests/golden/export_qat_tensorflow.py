"""Writes TFLite files of networks after quantization-aware training, by Keras's toolkit and by TensorFlow's fake quantization.

Usage: export_qat_tensorflow.py FOLDER. Each case is FOLDER/NAME with model.tflite or a SavedModel in saved_model, input.npy (NHWC) and
expected.npy: what LiteRT's reference kernels compute of the file, or TensorFlow of the SavedModel. Needs tensorflow;
tensorflow_model_optimization and tf_keras for the cases of Keras.
"""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
import tf_keras as keras

from export_cases import attempt

LAYERS = keras.layers


def photos(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    x = rng.normal(0, 0.4, (count, 32, 32, 3)) + rng.normal(0, 0.5, (count, 1, 1, 3))
    for i, label in enumerate(labels):
        y0, x0 = 16 * (label // 2 % 2), 16 * (label // 4 % 2)
        x[i, y0:y0 + 16, x0:x0 + 16, label % 2 * 2] += 0.8 + 0.1 * label
    return x.astype(np.float32), labels


def network():
    def conv(x, channels, kernel, strides=1):
        x = LAYERS.Conv2D(channels, kernel, strides, padding="same", use_bias=False)(x)
        return LAYERS.BatchNormalization()(x)

    def block(x, channels, strides):
        y = LAYERS.ReLU()(conv(x, channels, 3, strides))
        y = conv(y, channels, 3)
        if strides > 1:
            x = conv(x, channels, 1, strides)
        return LAYERS.ReLU()(LAYERS.Add()([y, x]))

    inputs = keras.Input((32, 32, 3), name="x")
    x = LAYERS.ReLU()(conv(inputs, 16, 3))
    x = LAYERS.MaxPooling2D(3, 2, padding="same")(x)
    x = block(block(block(x, 16, 1), 24, 2), 32, 2)
    x = LAYERS.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, LAYERS.Dense(10)(x))


def train(model, steps, rate):
    optimizer = keras.optimizers.legacy.SGD(rate, momentum=0.9)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for i in range(steps):
        model.train_on_batch(*photos(32, 1000 + i))
    return model


def keras_qat(trained):
    import tensorflow_model_optimization as tfmot
    return train(tfmot.quantization.keras.quantize_model(trained), 10, 0.002)


class Fake(tf.Module):
    """A network whose fake quantization was written by hand, with ranges as training leaves them."""

    def __init__(self, model, per_channel, bits=8, narrow=True):
        super().__init__()
        self.per_channel, self.bits, self.narrow = per_channel, bits, narrow
        self.layers, self.ranges = [], {}
        convs = [l for l in model.layers if isinstance(l, LAYERS.Conv2D)]
        norms = [l for l in model.layers if isinstance(l, LAYERS.BatchNormalization)]
        for layer, norm in zip(convs, sorted(norms, key=lambda n: [c.output.name for c in convs].index(n.input.name))):
            gamma, beta, mean, variance = norm.get_weights()
            factor = gamma / np.sqrt(variance + norm.epsilon)
            self.layers.append((layer.get_weights()[0] * factor, beta - mean * factor, layer.strides[0]))
        self.dense = model.layers[-1].get_weights()
        self.watching = True
        for i in range(4):
            self.network(tf.constant(photos(32, 2000 + i)[0]))
        self.watching = False

    def weights(self, w):
        axes = tuple(range(w.ndim - 1))
        high = np.abs(w).max(axes) if self.per_channel else np.abs(w).max()
        low = -high if self.narrow else -high * 128 / 127
        op = tf.quantization.fake_quant_with_min_max_vars_per_channel if self.per_channel else tf.quantization.fake_quant_with_min_max_vars
        return op(w, np.float32(low), np.float32(high), num_bits=8, narrow_range=self.narrow)

    def fake(self, x, name):
        if self.watching:
            low, high = self.ranges.get(name, (0.0, 0.0))
            self.ranges[name] = min(low, float(tf.reduce_min(x))), max(high, float(tf.reduce_max(x)))
            return x
        return tf.quantization.fake_quant_with_min_max_vars(x, *self.ranges[name], num_bits=self.bits)

    def conv(self, x, i, relu):
        w, bias, strides = self.layers[i]
        x = tf.nn.conv2d(x, self.weights(w), strides, "SAME") + bias
        return self.fake(tf.nn.relu(x) if relu else x, f"conv{i}")

    def network(self, x):
        x = self.conv(self.fake(x, "input"), 0, True)
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        at = 1
        for block, strides in enumerate((1, 2, 2)):
            y = self.conv(self.conv(x, at, True), at + 1, False)
            at += 2
            if strides > 1:
                x = self.conv(x, at, False)
                at += 1
            x = self.fake(tf.nn.relu(y + x), f"sum{block}")
        x = self.fake(tf.reduce_mean(x, (1, 2)), "mean")
        return self.fake(tf.matmul(x, self.weights(self.dense[0])) + self.dense[1], "logits")

    @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.float32, name="x")])
    def __call__(self, x):
        return self.network(x)


def lite(path, x):
    interpreter = tf.lite.Interpreter(path, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for row in x:
        interpreter.set_tensor(into["index"], row[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(out["index"])[0].copy())
    return np.stack(answers)


def with_fake_quant(path):
    """Replaces QUANTIZE and DEQUANTIZE by the FAKE_QUANT of older converters."""
    from tensorflow.lite.python import schema_py_generated as schema
    with open(path, "rb") as file:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(file.read(), 0))
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FAKE_QUANT
    code.version = 2
    codes = [c.builtinCode for c in model.operatorCodes]
    model.operatorCodes.append(code)
    readers = {op.inputs[0]: op for op in graph.operators if codes[op.opcodeIndex] == schema.BuiltinOperator.DEQUANTIZE}
    for op in graph.operators:
        if codes[op.opcodeIndex] != schema.BuiltinOperator.QUANTIZE:
            continue
        reader = readers[op.outputs[0]]
        q = graph.tensors[op.outputs[0]].quantization
        options = schema.FakeQuantOptionsT()
        options.min, options.max = float(-q.zeroPoint[0] * q.scale[0]), float((255 - q.zeroPoint[0]) * q.scale[0])
        options.numBits, options.narrowRange = 8, False
        op.opcodeIndex, op.outputs = len(codes), reader.outputs
        op.builtinOptions, op.builtinOptionsType = options, schema.BuiltinOptions.FakeQuantOptions
        graph.operators.remove(reader)
    import flatbuffers
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    with open(path, "wb") as file:
        file.write(builder.Output())


def main():
    root = sys.argv[1]
    os.makedirs(root, exist_ok=True)
    keras.utils.set_random_seed(1)
    x = photos(100, 7)[0]
    trained = train(network(), 60, 0.02)

    def write(folder, expected):
        np.save(os.path.join(folder, "input.npy"), x)
        np.save(os.path.join(folder, "expected.npy"), np.asarray(expected, np.float32))

    def tflite(name, converter, edit=None, **options):
        converter = converter()
        for key, value in options.items():
            setattr(converter, key, value)
        converted = converter.convert()
        folder = os.path.join(root, name)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "model.tflite")
        with open(path, "wb") as file:
            file.write(converted)
        if edit:
            edit(path)
        write(folder, lite(path, x))

    optimize = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    tflite_float = lambda: tf.lite.TFLiteConverter.from_keras_model(trained)
    attempt("float", lambda: tflite("float", tflite_float))
    qat = []

    def of_keras():
        if not qat:
            qat.append(keras_qat(trained))
        return tf.lite.TFLiteConverter.from_keras_model(qat[0])

    attempt("keras", lambda: tflite("keras", of_keras, **optimize))
    attempt("keras_float", lambda: tflite("keras_float", of_keras))
    for label, per_channel, bits in (("per_channel", True, 8), ("per_tensor", False, 8)):
        fake = Fake(trained, per_channel, bits)

        def of_fake(fake=fake):
            return tf.lite.TFLiteConverter.from_concrete_functions([fake.__call__.get_concrete_function()], fake)

        # Per channel the dense weights are rounded in another order than TFLite's, which its converter refuses.
        if not per_channel:
            attempt(f"fake_{label}", lambda: tflite(f"fake_{label}", of_fake, **optimize))
        attempt(f"fake_{label}_float", lambda: tflite(f"fake_{label}_float", of_fake))
        if not per_channel:
            attempt("fake_operators", lambda: tflite("fake_operators", of_fake, with_fake_quant))

        def saved(fake=fake, folder=os.path.join(root, f"fake_{label}_saved_model")):
            tf.saved_model.save(fake, os.path.join(folder, "saved_model"))
            write(folder, np.concatenate([fake(x[i:i + 1]) for i in range(len(x))]))

        attempt(f"fake_{label}_saved_model", saved)

        def by_tf2onnx(fake=fake, folder=os.path.join(root, f"fake_{label}_tf2onnx")):
            import tf2onnx
            os.makedirs(folder, exist_ok=True)
            tf2onnx.convert.from_function(fake.__call__, input_signature=fake.__call__.input_signature, opset=13,
                                          output_path=os.path.join(folder, "model.onnx"))
            write(folder, np.concatenate([fake(x[i:i + 1]) for i in range(len(x))]))

        attempt(f"fake_{label}_tf2onnx", by_tf2onnx)


if __name__ == "__main__":
    main()
