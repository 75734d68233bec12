"""The path of TensorFlow's own programs, from the record to the answer: tf.io.decode_jpeg, tf.image.resize(method="nearest"),
division by 255, LiteRT with its reference kernels.

Usage: tensorflow_path.py DATA MODELS prints a line for each of the 130 flower photos: CRC-32 of the float32 array [160, 160, 3], the
five probabilities of flowers_resnet_fp32.tflite, and the five codes of flowers_resnet_int8.tflite. tests/golden/tensorflow_path.txt is
what it printed; tensorflow_path_test holds octet to it.
"""

import os
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import numpy as np
import tensorflow as tf

data, models = sys.argv[1:3]


def interpreter(name):
    # Without delegates integers are computed by the reference kernels, with the same bits everywhere.
    i = tf.lite.Interpreter(f"{models}/flowers/{name}", experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF)
    i.allocate_tensors()
    return i, i.get_input_details()[0], i.get_output_details()[0]


def run(model, values):
    i, into, out = model
    i.set_tensor(into["index"], values[None])
    i.invoke()
    return i.get_tensor(out["index"])[0]


floats, codes = interpreter("flowers_resnet_fp32.tflite"), interpreter("flowers_resnet_int8.tflite")
scale, zero_point = codes[1]["quantization"]
for part in ("test", "validation"):
    for record in tf.data.TFRecordDataset(f"{data}/flowers/{part}.tfrecord"):
        example = tf.train.Example.FromString(record.numpy())
        image = tf.io.decode_jpeg(example.features.feature["image/encoded"].bytes_list.value[0], channels=3)
        image = tf.image.resize(image, (160, 160), method="nearest")
        image = (tf.cast(image, tf.float32) / 255.0).numpy()
        quantized = np.clip(np.rint(image / np.float32(scale)) + zero_point, 0, 255).astype(codes[1]["dtype"])
        answer = " ".join(f"{v:.9g}" for v in run(floats, image))
        print(f"{zlib.crc32(image.tobytes()):08x}", answer, *run(codes, quantized))
