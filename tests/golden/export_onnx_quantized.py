"""Writes quantized ONNX files: ONNX Runtime's quantizer on PyTorch's networks, and PyTorch's quantization-aware training.

Usage: export_onnx_quantized.py FOLDER. Each case is FOLDER/NAME with model.onnx, input.npy (NHWC) and expected.npy: the exact
evaluation, which is that of the QDQ graph operator by operator in float, and of a QOperator graph that of the QDQ graph with
the same quantizations. ONNX Runtime's integer kernels saturate on some processors. Needs torch, numpy and, for the quantizer,
onnx and onnxruntime.
"""

import os
import sys
import tempfile
import warnings

import numpy as np
import torch
from torch import nn

from export_onnx_torch import NETWORKS, Net, OLD, Residual, conv, network
from export_pytorch import randomize

warnings.filterwarnings("ignore")


@network(3, 24, 24)
def residual():
    """Every kind of layer of a ResNet, logits at the end."""
    def block(channels_in, channels, stride):
        branch = nn.Sequential(conv(channels_in, channels, 3, stride), nn.ReLU(), conv(channels, channels))
        shortcut = conv(channels_in, channels, 1, stride) if stride > 1 else None
        return nn.Sequential(Residual(branch, shortcut), nn.ReLU())
    return Net(lambda net, x: net.linear(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)),
               conv(3, 16, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), block(16, 16, 1), block(16, 24, 2), features=24)


@network(3, 16, 16)
def softmax_relu6():
    return Net(lambda net, x: net.linear(x.mean((2, 3))).softmax(1), conv(3, 8, 3, 2), nn.ReLU6(), conv(8, 8, groups=8), nn.ReLU6(), conv(8, 8, 1))


def inputs(shape, count, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (count, *shape)).astype(np.float32))


def write(folder, x, expected):
    np.save(os.path.join(folder, "input.npy"), x.permute(0, 2, 3, 1).contiguous().numpy())
    np.save(os.path.join(folder, "expected.npy"), np.asarray(expected, np.float32))


def make_network(name):
    make, shape, _ = NETWORKS[name]
    torch.manual_seed(1)
    return randomize(make()).eval(), shape


def exact(path, x):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": x[i:i + 1].numpy()})[0] for i in range(len(x))])


def quantizer_cases(root):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, x):
            self.items = iter([{"x": x[i:i + 1].numpy()} for i in range(len(x))])

        def get_next(self):
            return next(self.items, None)

    u8, s8 = QuantType.QUInt8, QuantType.QInt8
    variants = {
        "u8s8": (u8, s8, {}),
        "u8s8_per_channel": (u8, s8, {"per_channel": True}),
        "s8s8_per_channel": (s8, s8, {"per_channel": True}),
        "s8s8_symmetric": (s8, s8, {"extra_options": {"ActivationSymmetric": True}}),
        "u8u8": (u8, u8, {}),
        "u8s8_percentile": (u8, s8, {"per_channel": True, "calibrate_method": CalibrationMethod.Percentile}),
        "u8s8_reduced": (u8, s8, {"per_channel": True, "reduce_range": True}),
    }
    for name in ("residual", "softmax_relu6", "shortcut_a"):
        model, shape = make_network(name)
        x = inputs(shape, 4, seed=2)
        with tempfile.TemporaryDirectory() as work:
            plain, prepared = os.path.join(work, "plain.onnx"), os.path.join(work, "prepared.onnx")
            torch.onnx.export(model, (x[:1],), plain, input_names=["x"], opset_version=13, dynamo=False)
            quant_pre_process(plain, prepared)
            for label, (activation, weight, options) in variants.items():
                for form in (QuantFormat.QDQ, QuantFormat.QOperator):
                    case = f"{name}_{form.name.lower()}_{label}"
                    folder = os.path.join(root, case)
                    os.makedirs(folder)
                    path = os.path.join(folder, "model.onnx")
                    quantize_static(prepared, path, Reader(inputs(shape, 16, seed=3)), quant_format=form, activation_type=activation,
                                    weight_type=weight, **options)
                    if form == QuantFormat.QDQ:
                        expected = exact(path, x)
                    write(folder, x, expected)
                    print(case, flush=True)


def training_cases(root):
    """Fake quantization as training leaves it, weights per channel or per tensor."""
    from torch.ao import quantization as q
    for label, weights in (("per_channel", q.default_per_channel_weight_fake_quant), ("per_tensor", q.default_weight_fake_quant)):
        for name in ("plain", "residual", "partial"):
            make = NETWORKS["residual"][0]
            torch.manual_seed(1)
            model, shape = randomize(make()).eval(), NETWORKS["residual"][1]
            if name == "plain":
                model.body = nn.Sequential(conv(3, 24, 5, 2), nn.ReLU())
                randomize(model).eval()
            modules = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
            model = q.fuse_modules(model, [[n, n[:-1] + "1"] for n in modules])
            # Activations of 8 bits and no more: ONNX has no 7-bit types.
            activations = q.FakeQuantize.with_args(observer=q.MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8)
            config = q.QConfig(activation=activations, weight=weights)
            model = nn.Sequential(q.QuantStub(), model)
            for n, m in model.named_modules():
                if isinstance(m, (nn.Conv2d, nn.Linear, q.QuantStub)) or name != "partial" and isinstance(m, torch.ao.nn.quantized.FloatFunctional):
                    m.qconfig = config
            model.train()
            q.prepare_qat(model, inplace=True)
            for i in range(8):
                model(inputs(shape, 4, seed=10 + i))
            model.eval().apply(q.disable_observer)
            x = inputs(shape, 4, seed=2)
            with torch.no_grad():
                expected = model(x).numpy()
            case = f"training_{name}_{label}"
            folder = os.path.join(root, case)
            os.makedirs(folder)
            options = {} if OLD else {"dynamo": False}
            torch.onnx.export(model, (x[:1],), os.path.join(folder, "model.onnx"), input_names=["x"], opset_version=13, **options)
            write(folder, x, expected)
            print(case, flush=True)


def main():
    root = sys.argv[1]
    os.makedirs(root, exist_ok=True)
    training_cases(root)
    if not OLD:
        quantizer_cases(root)


if __name__ == "__main__":
    main()
