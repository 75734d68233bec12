"""Writes Keras and TFLite files of every kind octet reads, with inputs and the frameworks' own outputs.

Usage: export_keras_tflite.py FOLDER [--small | NAME...]; --small leaves the networks of keras.applications out. Each case is FOLDER/NAME with
  model.keras, model.h5, fp32.tflite, input.npy and expected.npy (Keras's outputs), and for most
  fp16.tflite, hybrid.tflite, int8.tflite (integers in and out) and int8_float.tflite (floats in and out),
  int8_input.npy and int8_expected.npy: bytes, as uint8 whatever the file's type, from the reference kernels;
  int16.tflite and int16_float.tflite (16x8) with their _input.npy and _expected.npy as floats, from the same.
Or export_keras_tflite.py FOLDER --flowers MODELS: the two 16x8 files of the flower model in that folder.
Needs tensorflow and keras 3.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

from export_savedmodel import block, images, randomize

layers = keras.layers
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def finish(x, inputs, units=5, head="softmax"):
    x = layers.GlobalAveragePooling2D()(x)
    return randomize(keras.Model(inputs, layers.Dense(units, activation=head)(x)))


@case
def resnet_v1():
    x = inputs = keras.Input((33, 30, 3))
    x = layers.ZeroPadding2D(((3, 3), (2, 3)))(x)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 7, 2, use_bias=False)(x)))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = block(block(x, 16), 32, 2)
    return finish(x, inputs)


@case
def resnet_v2():
    x = inputs = keras.Input((24, 24, 3))
    x = layers.Conv2D(16, 3, padding="same")(x)
    x = block(block(x, 16, version=2), 32, 2, version=2)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(24, activation="relu")(x)
    return randomize(keras.Model(inputs, layers.Softmax()(layers.Dense(7)(layers.Dropout(0.5)(x)))))


@case
def sequential():
    return randomize(keras.Sequential([
        keras.Input((20, 20, 3)),
        layers.Conv2D(12, (3, 5), (2, 1), padding="same", activation="relu6"),
        layers.AveragePooling2D(3, 2, padding="same"),
        layers.Conv2D(20, (2, 3), activation="relu"),
        layers.AveragePooling2D((1, 2)),
        layers.Flatten(),
        layers.Dense(6),
    ]))


@case
def tiny():
    """What tests/unit and tests/fuzz have in tests/data; every structure of the formats, and few bytes."""
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="scale")(x)
    x = layers.Conv2D(4, 3, 2, padding="same", use_bias=False, name="conv")(x)
    x = y = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    tail = keras.Sequential([keras.Input((4, 4, 4)), layers.MaxPooling2D(2, name="pool"), layers.Conv2D(4, 1, name="conv")], name="tail")
    x = tail(layers.Add(name="add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return randomize(keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(x), name="tiny"))


@case
def dilated():
    x = inputs = keras.Input((16, 15, 3))
    x = layers.Conv2D(20, 3, dilation_rate=2, padding="same", activation="relu")(x)
    return finish(layers.DepthwiseConv2D(3, dilation_rate=(2, 3))(x), inputs)


@case
def preprocessing():
    norm = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.09, 0.05])
    x = inputs = keras.Input((18, 18, 3))
    x = norm(layers.Rescaling(1 / 255.0, 0.01)(x))
    x = layers.Conv2D(8, 3, activation="relu")(x)
    return finish(x, inputs)


@case
def depthwise():
    x = inputs = keras.Input((21, 17, 4))
    x = layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(scale=False)(x))
    x = layers.DepthwiseConv2D((5, 3), depth_multiplier=2, activation="relu")(x)
    x = layers.Conv2D(24, 1, activation="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    return finish(layers.BatchNormalization(center=False)(x), inputs)


@case
def branches():
    x = inputs = keras.Input((16, 16, 3))
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = layers.Conv2D(16, 1, activation="relu")(x)
    c = layers.MaxPooling2D(3, 1, padding="same")(layers.Conv2D(8, 5, padding="same")(x))
    x = layers.Concatenate()([a, b, c])
    d = layers.Conv2D(32, 1)(x)
    x = layers.Subtract()([layers.Add()([x, d, x]), layers.Conv2D(32, 3, padding="same")(x)])
    x = layers.Multiply()([layers.ReLU()(x), layers.Conv2D(32, 1, activation="relu")(x)])
    return finish(layers.Activation("relu")(x), inputs, head=None)


@case
def nested():
    inner_in = y = keras.Input((None, None, 8))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", name="conv")(y)))
    inner = keras.Model(inner_in, layers.Add()([y, inner_in]), name="inner")
    tail = keras.Sequential([layers.Conv2D(16, 3, 2, name="conv"), layers.ReLU()], name="tail")
    shared = layers.Conv2D(8, 1, activation="relu", name="shared")
    x = inputs = keras.Input((17, 17, 3))
    x = layers.Conv2D(8, 3, name="conv")(x)
    x = tail(inner(shared(inner(shared(x)))))
    return finish(x, inputs)


@case
def reshape():
    x = inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(6, 3, groups=2, padding="same")(x)
    x = layers.Reshape((4, -1, 6))(layers.ReLU()(x))
    x = layers.Conv2D(5, 3, activation="relu")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return randomize(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)))


@case
def pixelwise_dense():
    x = inputs = keras.Input((10, 10, 3))
    x = layers.Dense(9, activation="relu")(x)
    x = layers.Dense(12)(x)
    return finish(x, inputs)


STRUCTURES = {}


def structure(function):
    """A case of both versions of Keras, as .keras and .h5 only; `k` is the version's module."""
    STRUCTURES[function.__name__] = function
    return function


@structure
def transfer(k):
    x = base_in = k.Input((12, 11, 3))
    x = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Conv2D(6, 3)(x)))
    base = k.Model(base_in, x, name="base")
    inputs = k.Input((12, 11, 3))
    x = k.layers.GlobalAveragePooling2D()(base(inputs, training=False))
    return k.Model(inputs, k.layers.Dense(4, "softmax")(k.layers.Dropout(0.2)(x)))


@structure
def called_twice(k):
    shared_in = k.Input((None, None, 3))
    shared = k.Model(shared_in, k.layers.Conv2D(3, 3, padding="same")(shared_in), name="shared")
    inputs = k.Input((8, 8, 3))
    x = k.layers.Subtract()([shared(shared(inputs)), inputs])
    return k.Model({"image": inputs}, {"scores": k.layers.Dense(3)(k.layers.Flatten()(x))})


@structure
def separable(k):
    x = inputs = k.Input((11, 10, 3))
    x = k.layers.SeparableConv2D(7, 3, 2, padding="same", depth_multiplier=2, activation="tanh")(x)
    x = k.layers.SeparableConv2D(5, (2, 3), use_bias=False)(k.layers.Cropping2D(((0, 1), 0))(x))
    return k.Model(inputs, k.layers.Dense(1, "sigmoid")(k.layers.Flatten()(x)))


@structure
def operators(k):
    inputs = k.Input((9, 8, 3))
    x = k.layers.Conv2D(3, 1)(inputs) - inputs
    x = 2.0 - (x + 1.5) * np.array([1, 2, 3], "float32") / 3.0
    x = k.layers.Concatenate()([x[:, 1:, ::2, 1:], -x[:, :-1, ::2, :2]])
    x = k.layers.Activation(k.layers.ReLU(max_value=1.5))(k.layers.Conv2D(4, 3)(x))
    return k.Model(inputs, k.layers.Dense(5, "log_softmax")(k.layers.GlobalMaxPooling2D()(x)))


@structure
def gray(k):
    x = inputs = k.Input((12, 10))
    x = k.layers.Rescaling(1 / 255.0)(x)
    x = k.layers.Permute((2, 1))(k.layers.Dense(4, "relu")(k.layers.BatchNormalization()(x)))
    return k.Model(inputs, k.layers.Dense(3, "softmax")(k.layers.Flatten()(x)))


@structure
def four_channels(k):
    x = inputs = k.Input((8, 8, 4))
    x = k.layers.Resizing(8, 8)(k.layers.Rescaling(1 / 255.0)(x))
    return k.Model(inputs, k.layers.Dense(3)(k.layers.Flatten()(k.layers.Conv2D(4, 3)(x))))


APPLICATIONS = {
    "resnet50": lambda: keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10),
    "resnet101": lambda: keras.applications.ResNet101(weights=None, input_shape=(64, 64, 3), classes=10),
    "resnet50v2": lambda: keras.applications.ResNet50V2(weights=None, input_shape=(64, 64, 3), classes=10),
    "resnet101v2": lambda: keras.applications.ResNet101V2(weights=None, input_shape=(64, 64, 3), classes=10),
    "resnet152v2": lambda: keras.applications.ResNet152V2(weights=None, input_shape=(64, 64, 3), classes=10),
    "mobilenet": lambda: keras.applications.MobileNet(weights=None, input_shape=(64, 64, 3), classes=10, alpha=0.25),
    "mobilenetv2": lambda: keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), classes=10, alpha=0.35),
}
for application_name, build in APPLICATIONS.items():
    CASES[application_name] = lambda build=build: randomize(build(), gain=0.7)

VERSIONS = {"keras3": keras}
try:
    import tf_keras
    VERSIONS["keras2"] = tf_keras
except ImportError:
    print("no tf_keras: files of Keras 2 are left out", file=sys.stderr)
for version, module in VERSIONS.items():
    for structure_name, build in STRUCTURES.items():
        CASES[f"{version}_{structure_name}"] = lambda build=build, module=module: randomize(build(module))

# Convolutions in groups and Multiply have no integer kernel in TFLite or octet that would be worth a comparison.
FLOAT_ONLY = {"reshape", "branches"}


def convert(model, optimize=False, half=False, samples=None, integer_ends=False, int16=False):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if optimize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if half:
        converter.target_spec.supported_types = [tf.float16]
    if samples is not None:
        converter.representative_dataset = lambda: ([s[None]] for s in samples)
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8 if int16 else sets.TFLITE_BUILTINS_INT8]
        if integer_ends:
            converter.inference_input_type = converter.inference_output_type = tf.int16 if int16 else tf.int8
    return converter.convert()


def run_kernels(content, encode):
    """What `encode` makes of the input's details, and the outputs, by the reference kernels."""
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    inputs, outputs = encode(into), []
    for x in inputs:
        interpreter.set_tensor(into["index"], x[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(out["index"])[0])
    return inputs, outputs


def run_reference(content, inputs):
    """Inputs and outputs as uint8, that is int8 + 128."""
    def encode(into):
        scale, zero = into["quantization"]
        return np.clip(np.rint(inputs / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    quantized, outputs = run_kernels(content, encode)
    to_bytes = lambda v: (np.asarray(v).astype(np.int32) + 128).astype(np.uint8)
    return to_bytes(quantized), to_bytes(outputs)


def run_reference_int16(content, inputs):
    """Inputs and outputs as the file has them: int16, or float32."""
    def encode(into):
        if into["dtype"] != np.int16:
            return inputs
        return np.clip(np.rint(inputs / np.float32(into["quantization"][0])), -32768, 32767).astype(np.int16)
    codes, outputs = run_kernels(content, encode)
    return codes, np.asarray(outputs)


def export_int16(path, name, content, inputs):
    """NAME.tflite, NAME_input.npy and NAME_expected.npy; int16 codes as floats, which hold them."""
    write(path(f"{name}.tflite"), content)
    for end, values in zip(("input", "expected"), run_reference_int16(content, inputs)):
        np.save(path(f"{name}_{end}.npy"), values.astype(np.float32))


def export_flowers(folder, models):
    """The flower model, on the photos of the test split, calibrated on those of the other."""
    os.makedirs(folder, exist_ok=True)
    load = lambda split: ((np.load(f"{models}/{split}_images_160.npy").astype(np.float32) / 255 - np.float32([0.485, 0.456, 0.406]))
                          / np.float32([0.229, 0.224, 0.225]))
    path = lambda file: os.path.join(folder, file)
    samples = load("validation")
    for name, ends in ("int16_float", None), ("int16", tf.int16):
        converter = tf.lite.TFLiteConverter.from_saved_model(f"{models}/savedmodel")
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([s[None]] for s in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
        if ends:
            converter.inference_input_type = converter.inference_output_type = ends
        export_int16(path, name, converter.convert(), load("test"))


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


def export(folder, name):
    os.makedirs(folder, exist_ok=True)
    keras.utils.clear_session(free_memory=False)
    model = CASES[name]()
    path = lambda file: os.path.join(folder, file)
    shape = [d or 1 for d in model.inputs[0].shape[1:]]
    structural = name.split("_", 1)[0] in VERSIONS
    x = images(*(shape if len(shape) == 3 else [*shape, 1]), count=40).reshape(40, *shape)
    if name == "preprocessing":
        x = (x * 60 + 128).astype(np.float32)
    np.save(path("input.npy"), x[:4])
    y = model({"image": x[:4]} if name.endswith("called_twice") else x[:4], training=False)
    np.save(path("expected.npy"), np.asarray(y["scores"] if isinstance(y, dict) else y, np.float32))
    model.save(path("model.keras"))
    model.save(path("model.h5"))
    if structural:
        return
    write(path("fp32.tflite"), convert(model))
    if name in FLOAT_ONLY:
        return
    write(path("fp16.tflite"), convert(model, optimize=True, half=True))
    write(path("hybrid.tflite"), convert(model, optimize=True))
    write(path("int8_float.tflite"), convert(model, optimize=True, samples=x))
    int8 = convert(model, optimize=True, samples=x, integer_ends=True)
    write(path("int8.tflite"), int8)
    quantized, outputs = run_reference(int8, x)
    np.save(path("int8_input.npy"), quantized)
    np.save(path("int8_expected.npy"), outputs)
    export_int16(path, "int16_float", convert(model, optimize=True, samples=x, int16=True), x)
    export_int16(path, "int16", convert(model, optimize=True, samples=x, integer_ends=True, int16=True), x)


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    if names[:1] == ["--flowers"]:
        return export_flowers(folder, names[1])
    if names == ["--small"]:
        names = [n for n in CASES if n not in APPLICATIONS]
    for name in names or CASES:
        export(os.path.join(folder, name), name)


if __name__ == "__main__":
    main()
