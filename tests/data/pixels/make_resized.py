"""Writes images that frameworks scaled, for resize_test.cc: the small set beside this file, and larger ones when the
frameworks are installed.

Usage: make_resized.py FRAMEWORK OUTPUT [COUNT SEED]. FRAMEWORK is tensorflow, pillow (the newest), pillow12, torchvision or opencv. OUTPUT.txt has a line for each
case: width, height and channels of the source, those of the result, u1 or f4, and the preprocessing as JSON; OUTPUT.bin has the
results one after the other. Sources are noise that the test makes too. Without COUNT the small set, else every size from 1 to 70 pixels and COUNT random cases.
"""

import json
import random
import sys

import numpy as np


def noise(width, height, channels):
    state, values = (width * 31 + height) * 31 + channels, bytearray()
    for _ in range(width * height * channels):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values.append(state >> 24)
    return np.frombuffer(bytes(values), np.uint8).reshape(height, width, channels)


def tensorflow_rules():
    import tensorflow as tf

    v1 = tf.compat.v1.image
    methods = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "area": "area", "lanczos": "lanczos3",
               "lanczos5": "lanczos5"}
    old = {"nearest": v1.resize_nearest_neighbor, "bilinear": v1.resize_bilinear, "bicubic": v1.resize_bicubic, "area": v1.resize_area}

    def stretch(method, antialias):
        return lambda image, w, h: tf.image.resize(image, (h, w), method, antialias=antialias).numpy()

    def legacy(function, align):
        return lambda image, w, h: function(image[None], (h, w), align_corners=align).numpy()[0]

    def saturated(f):
        return lambda image, w, h: tf.saturate_cast(f(image, w, h), tf.uint8).numpy()

    for name, method in methods.items():
        rule = {"framework": "tensorflow", "filter": name}
        yield rule, stretch(method, False)
        if name in ("bilinear", "bicubic", "lanczos", "lanczos5"):
            yield {**rule, "antialias": True}, stretch(method, True)
        if name in old:
            yield {**rule, "coordinates": "align-corners"}, legacy(old[name], True)
            if name != "area":
                yield {**rule, "coordinates": "asymmetric"}, legacy(old[name], False)
    rule = {"framework": "tensorflow", "filter": "bicubic"}
    yield {**rule, "result": "uint8"}, saturated(stretch("bicubic", False))
    yield {**rule, "resize": "letterbox"}, lambda image, w, h: tf.image.resize_with_pad(image, h, w, "bicubic").numpy()
    yield ({**rule, "filter": "bilinear", "resize": "crop-to-aspect"},
           lambda image, w, h: np.array(tf.keras.preprocessing.image.smart_resize(image, (h, w))))


def pillow_rules():
    import PIL
    from PIL import Image, ImageOps

    passes = {} if int(PIL.__version__.split(".")[0]) < 13 else {"passes": "cheaper-first"}

    def array(image):
        a = np.asarray(image)
        return a if a.ndim == 3 else a[:, :, None]

    def picture(a):
        return Image.fromarray(a if a.shape[2] == 3 else a[:, :, 0])

    def stretch(code, gap=None):
        return lambda a, w, h: array(picture(a).resize((w, h), code, reducing_gap=gap))

    def floats(code):
        def f(a, w, h):
            return np.dstack([np.asarray(Image.fromarray(a[:, :, c].astype(np.float32)).resize((w, h), code)) for c in range(a.shape[2])])
        return f

    for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"):
        code = Image.Resampling[name.upper()]
        yield {"filter": name, **passes}, stretch(code)
        yield {"filter": name, "result": "float", **passes}, floats(code)
        for gap in (1.0, 2.0, 3.0):
            if name != "nearest":
                yield {"filter": name, "reducing_gap": gap, **passes}, stretch(code, gap)
    def letterbox(a, w, h):
        if 0 in ImageOps.contain(picture(a), (w, h)).size:
            raise ValueError("nothing is left")
        return array(ImageOps.pad(picture(a), (w, h), color=(10, 200, 90) if a.shape[2] == 3 else 131))

    yield {"filter": "bicubic", "resize": "letterbox", "pad_color": [10, 200, 90], **passes}, letterbox


def torchvision_rules():
    import PIL
    from PIL import Image
    import torch  # noqa: F401
    from torchvision import transforms

    passes = {} if int(PIL.__version__.split(".")[0]) < 13 else {"passes": "cheaper-first"}

    def crop(mode, extra):
        def f(a, w, h):
            steps = transforms.Compose([transforms.Resize(max(w, h) + extra, mode), transforms.CenterCrop((h, w))])
            return np.asarray(steps(Image.fromarray(a)))
        return f

    for name, mode in (("bilinear", transforms.InterpolationMode.BILINEAR), ("bicubic", transforms.InterpolationMode.BICUBIC)):
        for extra in (0, 1, 2, 3, 5, 32):
            yield {"filter": name, "resize": "center-crop", "extra": extra, **passes}, crop(mode, extra)
    if passes:
        return  # timm's configuration cannot say in which order Pillow filters.

    from timm.data import create_transform

    def timm_crop(config):
        def f(a, w, h):
            config_here = {k: v for k, v in config.items() if k != "input_size"}
            return create_transform((3, h, w), **config_here)(Image.fromarray(a)).numpy().transpose(1, 2, 0)
        return f

    for crop_pct in (0.875, 0.9, 0.95, 1.0):
        config = {"input_size": None, "interpolation": "bicubic", "crop_pct": crop_pct, "mean": [0.485, 0.456, 0.406],
                  "std": [0.229, 0.224, 0.225]}
        yield config, timm_crop(config)


def opencv_rules():
    """Only what cv2.resize has no name for; tests/data/pixels/make_opencv.py and tests/golden/opencv_resize.py have its filters."""
    import cv2

    def letterbox(image, w, h):  # As ultralytics' LetterBox without stride, for networks of one size.
        height, width = image.shape[:2]
        ratio = min(h / height, w / width)
        new = int(round(width * ratio)), int(round(height * ratio))
        if 0 in new:
            raise ValueError("nothing is left")
        dw, dh = (w - new[0]) / 2, (h - new[1]) / 2
        resized = cv2.resize(image, new, interpolation=cv2.INTER_LINEAR)
        top, bottom = int(round(dh - 0.1)), int(round(dh + 0.1))
        left, right = int(round(dw - 0.1)), int(round(dw + 0.1))
        return cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)).reshape(h, w, -1)

    yield {"framework": "opencv", "filter": "bilinear", "resize": "letterbox", "pad_color": 114}, letterbox


def run(rules, sizes, colors, output):
    with open(output + ".txt", "w") as text, open(output + ".bin", "wb") as binary:
        for rule, resize in rules:
            for w, h, out_w, out_h in sizes():
                c = colors()
                if "input_size" in rule:
                    out_h = out_w
                    rule["input_size"] = [3, out_h, out_w]
                try:
                    result = resize(noise(w, h, c), out_w, out_h)
                except (ValueError, ZeroDivisionError):  # Nothing is left of an image.
                    continue
                except Exception as error:  # TensorFlow's own.
                    if "InvalidArgument" not in type(error).__name__:
                        raise
                    continue
                kind = "u1" if result.dtype == np.uint8 else "f4"
                rule_here = dict(rule)
                if "extra" in rule_here:
                    rule_here["resize_shorter"] = max(out_w, out_h) + rule_here.pop("extra")
                assert result.shape == (out_h, out_w, c), (rule, result.shape)
                print(w, h, c, out_w, out_h, c, kind, json.dumps(rule_here, separators=(",", ":")), file=text)
                binary.write(np.ascontiguousarray(result).astype(kind).tobytes())


def main():
    framework, output = sys.argv[1:3]
    rules = {"tensorflow": tensorflow_rules, "pillow": pillow_rules, "pillow12": pillow_rules, "torchvision": torchvision_rules,
             "opencv": opencv_rules}[framework]()
    gray = framework != "torchvision"
    if len(sys.argv) == 3:
        small = [(23, 17, 9, 8), (7, 9, 13, 16), (40, 11, 6, 11)]
        run(rules, lambda: small, lambda: 3, output)
        return
    count, r = int(sys.argv[3]), random.Random(int(sys.argv[4]))

    def side():
        return r.choice([r.randint(1, 8), r.randint(1, 70), r.randint(1, 70), r.randint(1, 400)])

    def sizes():
        for w in range(1, 71):  # Every width and every height.
            yield w, w * 37 % 71, r.randint(1, 70), r.randint(1, 70)
        for _ in range(count):
            w, h, out_w, out_h = side(), side(), r.randint(1, 70), r.randint(1, 70)
            yield r.choice([(w, h, out_w, out_h), (w, h, w, out_h), (w, h, out_w, h), (w, h, w, h), (out_w, out_h, out_w * 2, out_h * 3),
                            (2 * w, 2 * h, w, h), (w * 3, h * 4, w, h)] + [(w, h, out_w, out_h)] * 6)

    run(rules, sizes, lambda: r.choice([3, 3, 1]) if gray else 3, output)


main()
