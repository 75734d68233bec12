"""Writes what cv2.resize makes of noise, for opencv_resize_test.cc: FILE, then a count of cases.

A case is seven int32: 0 for noise or 1 for two shades, filter (ResizeFilter), width, height,
channels, width and height of the result; then the result in uint8 and in float32.
"""
import os
import sys

# IPP, which computes bicubic on x86, has code for each kind of processor, and their results differ
# in the last bits. Its code for AVX2 is what octet follows.
os.environ.setdefault("OPENCV_IPP", "avx2")

import cv2
import numpy as np

FILTERS = {0: cv2.INTER_LINEAR, 1: cv2.INTER_CUBIC, 2: cv2.INTER_NEAREST, 3: cv2.INTER_AREA}


def noise(width, height, channels, shades):
    """As Noise of tests/unit/opencv_resample_test.cc."""
    n = width * height * channels
    powers = np.full(n, 1664525, np.uint32)
    powers = np.cumprod(powers, dtype=np.uint32)
    sums = np.cumsum(np.concatenate([np.ones(1, np.uint32), powers[:-1]]), dtype=np.uint32)
    seed = np.uint32((width * 31 + height) * 31 + channels)
    state = powers * seed + sums * np.uint32(1013904223)
    pixels = (state >> 24).astype(np.uint8)
    if shades:
        pixels = np.where(pixels < 128, 37, 216).astype(np.uint8)
    return pixels.reshape(height, width, channels)


def cases(count):
    sizes = []
    for n in range(1, 71):
        for target in ((7, 5), (32, 32), (70, 1), (n, 2 * n), (2 * n, n + 1)):
            sizes.append((n, 71 - n, *target))
        sizes.append((2 * n, 2 * n, n, n))
        sizes.append((3 * n, 4 * n, n, n))
    random = np.random.default_rng(20)
    while len(sizes) < count:
        kind = len(sizes) % 5
        a, b, c, d = (int(v) for v in random.integers(1, 71, 4))
        if kind == 0:
            a, b = a * int(random.integers(1, 8)), b * int(random.integers(1, 8))
        elif kind == 1:  # By whole factors.
            c, d = a, b
            a, b = a * int(random.integers(1, 6)), b * int(random.integers(1, 6))
        elif kind == 2:
            c, d = c * int(random.integers(1, 5)), d * int(random.integers(1, 5))
        sizes.append((a, b, c, d))
    sizes += [(1280, 720, 224, 224), (720, 1280, 160, 160), (640, 481, 641, 480), (1001, 37, 333, 259)]
    for i, (width, height, out_width, out_height) in enumerate(sizes):
        for filter in FILTERS:
            yield i % 2, filter, width, height, (3, 1)[i // 2 % 2], out_width, out_height


def main():
    cv2.setNumThreads(1)
    cv2.ocl.setUseOpenCL(False)
    with open(sys.argv[1], "wb") as file:
        for case in cases(int(sys.argv[2])):
            shades, filter, width, height, channels, out_width, out_height = case
            image = noise(width, height, channels, shades)
            file.write(np.array(case, np.int32).tobytes())
            for typed in (image, image.astype(np.float32)):
                resized = cv2.resize(typed, (out_width, out_height), interpolation=FILTERS[filter])
                file.write(resized.tobytes())
    print(f"OpenCV {cv2.__version__}, IPP {cv2.ipp.getIppVersion()}")


if __name__ == "__main__":
    main()
