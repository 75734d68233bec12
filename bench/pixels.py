"""What scaling a photo costs by octet's rules and in the frameworks themselves, one core, in one run.

Usage: pixels.py BENCH_KERNELS [REPETITIONS]. Needs opencv-python-headless, Pillow and, for its rules, TensorFlow: build/exporters/tensorflow/bin/python
has them. Prints a line for each rule: milliseconds and nanoseconds a source pixel of octet on each instruction set, and of the framework on the
same photo; the lowest of all rounds, which alternate.
"""

import json
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["OMP_NUM_THREADS"] = "1"
import cv2
import numpy as np
from PIL import Image

cv2.setNumThreads(1)
FILTERS = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}


def frameworks(width, height, side, pixel_format, rule):
    """The framework's own way to the same pixels, or None."""
    rng = np.random.default_rng(1)
    framework, name, *antialias = rule.split("-")
    if pixel_format == "nv12":
        frame = rng.integers(0, 256, (height * 3 // 2, width), np.uint8)
        if framework == "opencv":
            return lambda: cv2.resize(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12), (side, side), interpolation=FILTERS[name])
        code = Image.Resampling[name.upper()]
        return lambda: Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12)).resize((side, side), code)
    photo = rng.integers(0, 256, (height, width, 3), np.uint8)
    if framework == "opencv":
        return lambda: cv2.resize(photo, (side, side), interpolation=FILTERS[name])
    if framework == "pillow":
        image, code = Image.fromarray(photo), Image.Resampling[name.upper()]
        return lambda: image.resize((side, side), code)
    try:
        import tensorflow as tf
    except ImportError:
        return None
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tensor, method = tf.constant(photo), {"lanczos": "lanczos3"}.get(name, name)
    return lambda: tf.image.resize(tensor, (side, side), method, antialias=bool(antialias)).numpy()


def lowest(function, rounds=15):
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    bench, repetitions = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    ours, theirs = {}, {}
    for _ in range(repetitions):
        # Short ones, of which the lowest counts, as of the frameworks: means of long ones have what else the machine does in them.
        out = subprocess.run([bench, "--benchmark_filter=pixels/[0-9]+x", "--benchmark_format=json", "--benchmark_min_time=0.02",
                              "--benchmark_repetitions=20"], capture_output=True, text=True, check=True).stdout
        for b in json.loads(out)["benchmarks"]:
            if b["run_type"] != "iteration":
                continue
            _, size, pixel_format, rule, isa = b["name"].split("/")
            key = (size, pixel_format, rule)
            ours.setdefault(key, {}).setdefault(isa, []).append(b["real_time"] * 1e-6)
        for size, pixel_format, rule in ours:
            sizes, side = size.split("-")
            width, height = map(int, sizes.split("x"))
            function = frameworks(width, height, int(side), pixel_format, rule)
            if function is not None:
                theirs.setdefault((size, pixel_format, rule), []).append(lowest(function))
    sets = sorted({isa for times in ours.values() for isa in times})
    print("| photo | rule |", " | ".join(sets), "| framework |")
    print("|---|---|" + "---|" * (len(sets) + 1))
    for key, times in ours.items():
        size, pixel_format, rule = key
        width, height = map(int, size.split("-")[0].split("x"))
        cells = [min(times[isa]) for isa in sets] + [min(theirs[key]) if key in theirs else None]
        text = " | ".join("" if t is None else f"{t * 1e3:.3f} ms, {t * 1e9 / (width * height):.3f} ns" for t in cells)
        print(f"| {pixel_format} {size.replace('-', ' to ')} | {rule} | {text} |")


main()
