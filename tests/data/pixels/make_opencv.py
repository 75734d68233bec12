"""Prints the cases of tests/unit/opencv_resample_test.cc: CRC-32 of what cv2.resize makes of noise
in uint8, and a few values of what it makes of it in float32. Made with OpenCV 5.0.0, and 4.14.0
gives the same.
"""
import os
import sys
import zlib

os.environ.setdefault("OPENCV_IPP", "avx2")  # As tests/golden/opencv_resize.py says.

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../golden"))
import cv2
import numpy as np
from opencv_resize import FILTERS, noise

NAMES = {0: "kBilinear", 1: "kBicubic", 3: "kArea"}
SIZES = (
    (13, 9, 3, 7, 5),
    (13, 9, 3, 20, 11),
    (7, 5, 1, 7, 11),
    (7, 5, 1, 3, 5),
    (13, 9, 1, 39, 4),
    (24, 18, 3, 24, 18),
    (48, 36, 3, 24, 18),
    (48, 36, 1, 24, 18),
    (48, 36, 3, 16, 9),
    (50, 40, 1, 10, 20),
    (97, 61, 3, 64, 48),
    (64, 48, 1, 97, 61),
    (31, 150, 3, 20, 8),
    (3, 40, 3, 17, 23),
    (40, 2, 1, 33, 9),
    (1, 1, 3, 4, 3),
    (320, 240, 3, 160, 160),
    (333, 500, 3, 224, 224),
)


def main():
    cv2.setNumThreads(1)
    print(f"// OpenCV {cv2.__version__}, {cv2.ipp.getIppVersion()}")
    for width, height, channels, out_width, out_height in SIZES:
        for filter, name in NAMES.items():
            image = noise(width, height, channels, 0)
            size, flag = (out_width, out_height), FILTERS[filter]
            crc = zlib.crc32(cv2.resize(image, size, interpolation=flag).tobytes())
            floats = cv2.resize(image.astype(np.float32), size, interpolation=flag).ravel()
            picked = ", ".join(f"{floats[i * (len(floats) - 1) // 4]:.9g}" for i in range(5))
            print(f"{{{width}, {height}, {channels}, {out_width}, {out_height}, {name}, "
                  f"0x{crc:08x}u, {{{picked}}}}},")


main()
