"""Writes models that scale photos themselves, at their head, with a photo and the framework's answer.

Usage: export_resizing.py FOLDER keras|onnx. Each case is FOLDER/NAME with model.keras or model.onnx, photo.npy (uint8 [1, height, width, 3])
and expected.npy, what the framework says of the photo.
"""

import os
import sys

import numpy as np

folder, kind = sys.argv[1:3]
rng = np.random.default_rng(5)


def save(name, model_path, photo, expected):
    np.save(f"{folder}/{name}/photo.npy", photo)
    np.save(f"{folder}/{name}/expected.npy", np.asarray(expected, np.float32))


def make(name):
    os.makedirs(f"{folder}/{name}", exist_ok=True)
    base = rng.integers(0, 256, (9, 7, 3))  # Smooth enough to look like something.
    photo = np.kron(base, np.ones((8, 9, 1))) + rng.integers(-9, 10, (72, 63, 3))
    return np.clip(photo, 0, 255).astype(np.uint8)[None]


def keras_models():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers

    cases = [(i, a, c) for i in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area") for a in (False, True) for c in (False, True)]
    for n, (interpolation, antialias, crop) in enumerate(cases):
        name = f"{interpolation}_{int(antialias)}_{int(crop)}"
        photo = make(name)
        head = [layers.Resizing(20, 24, interpolation, antialias=antialias, crop_to_aspect_ratio=crop), layers.Rescaling(1 / 127.5, offset=-1)]
        body = [layers.Conv2D(6, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")]
        if n % 2 == 0:
            model = keras.Sequential([keras.Input((None, None, 3)), *head, *body])
        else:
            x = inputs = keras.Input((None, None, 3))
            for layer in head + body:
                x = layer(x)
            model = keras.Model(inputs, x)
        model.save(f"{folder}/{name}/model.keras")
        save(name, "model.keras", photo, model.predict(photo.astype(np.float32), verbose=0))


def onnx_models():
    import onnxruntime
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, align):
            super().__init__()
            self.align = align
            self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5), nn.Softmax(1))

        def forward(self, x):
            x = nn.functional.interpolate(x, size=(20, 24), mode="bilinear", align_corners=self.align)
            return self.body(x / 127.5 - 1)

    for align in (False, True):
        name = f"align_{int(align)}"
        photo = make(name)
        x = torch.from_numpy(photo.transpose(0, 3, 1, 2).astype(np.float32))
        model = Net(align).eval()
        path = f"{folder}/{name}/model.onnx"
        torch.onnx.export(model, (x,), path, dynamo=False, opset_version=17, input_names=["image"],
                          dynamic_axes={"image": {0: "batch", 2: "height", 3: "width"}})
        expected = onnxruntime.InferenceSession(path).run(None, {"image": x.numpy()})[0]
        save(name, "model.onnx", photo, expected)


{"keras": keras_models, "onnx": onnx_models}[kind]()
