"""CRC-32s of what Pillow, TensorFlow and OpenCV make of every color, for tests/unit/pixel_rows_test.cc.

    python3 tests/data/pixels/gray_crcs.py

Red slowest, blue fastest. Made with Pillow 12.3 and 13.0, TensorFlow 2.21 and opencv-python 4.10 to 4.14 and 5.0.
"""
import zlib

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image

ways = {
    "Pillow": lambda rgb: np.asarray(Image.fromarray(rgb).convert("L")),
    "TensorFlow": lambda rgb: tf.image.rgb_to_grayscale(rgb).numpy(),
    "OpenCV": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
}
crcs = dict.fromkeys(ways, 0)
for red in range(256):
    rgb = np.stack(np.meshgrid(red, np.arange(256), np.arange(256), indexing="ij"), -1)[0].astype(np.uint8)
    for name, gray in ways.items():
        crcs[name] = zlib.crc32(np.ascontiguousarray(gray(rgb)).tobytes(), crcs[name])
print(*(f"{name} 0x{crc:08x}" for name, crc in crcs.items()))
