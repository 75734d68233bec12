"""Writes random small networks as ONNX with ONNX Runtime's answers: PyTorch's two exporters, and onnxruntime.quantization with
random options.

Usage: import_oracle_torch.py FOLDER COUNT SEED. Each case is FOLDER/NUMBER_KIND with model.onnx, input.npy (the source's own
tensor) and expected.npy (four-dimensional answers channels last). Needs torch, numpy, onnx, onnxruntime and, for the newer
exporter, onnxscript.
"""

import os
import random
import sys
import tempfile
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")


class Step(nn.Module):
    def __init__(self, f, layer=None):
        super().__init__()
        self.f, self.layer = f, layer

    def forward(self, x):
        return self.f(x) if self.layer is None else self.f(self.layer, x)


class Branches(nn.Module):
    """Two ways from one value and back to one."""

    def __init__(self, a, b, join):
        super().__init__()
        self.a, self.b, self.join = a, b, join

    def forward(self, x):
        a, b = self.a(x), self.b(x)
        return {"add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b, "cat": lambda: torch.cat([a, b], 1)}[self.join]()


def conv(r, c, out=None, kernel=None, stride=None):
    out, kernel = out or r.randint(1, 6), kernel or r.choice([1, 1, 3, 3, 5])
    groups = c if r.random() < 0.15 else 1
    out = c * r.randint(1, 2) if groups > 1 else out
    return nn.Conv2d(c, out, kernel, stride or r.choice([1, 1, 2]), kernel // 2 if r.random() < 0.8 else 0, groups=groups, bias=r.random() < 0.6), out


def activation(r):
    return r.choice([nn.ReLU(), nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-r.random() * 2, r.random() * 3), nn.Identity(),
                     Step(lambda x: torch.clamp(x, min=-0.5)), Step(lambda x: torch.clamp(x, max=1.5)), nn.Dropout(0.3)])


def block(r, c, size):
    """A module, its channels and its size."""
    kind = r.randint(0, 11)
    if kind <= 3 or size < 4:
        layer, out = conv(r, c, stride=1 if size < 6 else None)
        parts = [layer] + ([nn.BatchNorm2d(out)] if r.random() < 0.6 else []) + [activation(r)]
        module = nn.Sequential(*parts)
        with torch.no_grad():
            return module, out, module.eval()(torch.zeros(1, c, size, size)).shape[2]
    if kind == 4:
        pool = r.choice([nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1, count_include_pad=r.random() < 0.5),
                         nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 1)])
        return pool, c, pool(torch.zeros(1, c, size, size)).shape[2]
    if kind in (5, 6):
        a, out = conv(r, c, kernel=3, stride=1)
        a.padding = (1, 1)
        b, _ = conv(r, out, out, 1, 1)
        b = nn.Conv2d(out, c, 1)
        return nn.Sequential(Branches(nn.Sequential(a, nn.BatchNorm2d(a.out_channels), nn.ReLU(), nn.Conv2d(a.out_channels, c, 1)), nn.Identity(),
                                      r.choice(["add", "add", "add", "sub", "mul"])), activation(r)), c, size
    if kind == 7:
        a, b = nn.Conv2d(c, 3, 1), nn.Conv2d(c, 2, 3, padding=1)
        return Branches(nn.Sequential(a, activation(r)), b, "cat"), 5, size
    if kind == 8:
        return Step(lambda x: F.pad(x, (1, 0, 0, 1), value=r.choice([0.0]))), c, size + 1
    if kind == 9:
        scale = torch.randn(1, c, 1, 1)
        return Step(lambda x: x * scale + 0.25), c, size
    if kind == 10:
        return Step(lambda x: x[:, :, 1:, ::1][:, :, :, 1:]), c, size - 1
    return activation(r), c, size


def head(r, c, size):
    kind = r.randint(0, 6)
    out = r.randint(2, 7)
    if kind == 0:
        return nn.Sequential(nn.Flatten(), nn.Linear(c * size * size, out))
    if kind == 1:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 8), nn.ReLU(), nn.Linear(8, out), nn.Softmax(1))
    if kind == 2:
        return nn.Sequential(Step(lambda x: x.mean((2, 3))), nn.Linear(c, out), nn.LogSoftmax(1))
    if kind == 3:
        return nn.Sequential(Step(lambda x: x.amax((2, 3))), nn.Linear(c, out), nn.Sigmoid())
    if kind == 4:
        return nn.Sequential(nn.Conv2d(c, out, 1), nn.ReLU())
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, out))


def network(r):
    c, size = r.choice([1, 3, 3, 4]), r.choice([8, 9, 12])
    shape = (c, size, size)
    parts = []
    if r.random() < 0.3:
        parts.append(Step(lambda x: (x - 0.4) / 0.3))
    for _ in range(r.randint(1, 4)):
        module, c, size = block(r, c, size)
        parts.append(module)
        if size < 2:
            break
    parts.append(head(r, c, size))
    model = nn.Sequential(*parts)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.5, 2)
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(0, 0.3)
    return model.eval(), shape


def answers(path, x):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i:i + 1]})[0] for i in range(len(x))])


def quantized(r, plain, path, data):
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.items = iter([{"x": data[i:i + 1]} for i in range(len(data))])

        def get_next(self):
            return next(self.items, None)

    import onnx
    if r.random() < 0.15:
        q.quantize_dynamic(plain, path, weight_type=r.choice([q.QuantType.QInt8, q.QuantType.QUInt8]), per_channel=r.random() < 0.3)
        return "dynamic"
    prepared = plain + ".prepared"
    if r.random() < 0.7:
        quant_pre_process(plain, prepared)
    else:
        prepared = plain
    form = r.choice([q.QuantFormat.QDQ, q.QuantFormat.QDQ, q.QuantFormat.QOperator])
    nodes = [n.name for n in onnx.load(prepared).graph.node if n.op_type in ("Conv", "Gemm", "Add", "MatMul", "Mul")]
    options = {}
    if r.random() < 0.4 and nodes:
        options["nodes_to_exclude"] = r.sample(nodes, r.randint(1, max(1, len(nodes) // 2)))
    if r.random() < 0.3:
        options["op_types_to_quantize"] = r.choice([["Conv"], ["Conv", "Gemm"], ["Conv", "Relu"], ["Conv", "Add", "Gemm", "MaxPool"], ["MatMul", "Gemm"]])
    extra = {}
    for name in ("ActivationSymmetric", "WeightSymmetric", "ForceQuantizeNoInputCheck", "AddQDQPairToWeight", "DedicatedQDQPair", "QuantizeBias"):
        if r.random() < 0.15:
            extra[name] = r.random() < 0.7
    signed = r.random() < 0.4
    q.quantize_static(prepared, path, Reader(), quant_format=form, per_channel=r.random() < 0.5, reduce_range=r.random() < 0.3,
                      activation_type=q.QuantType.QInt8 if signed else q.QuantType.QUInt8,
                      weight_type=q.QuantType.QInt8 if signed or r.random() < 0.7 else q.QuantType.QUInt8,
                      calibrate_method=r.choice([q.CalibrationMethod.MinMax, q.CalibrationMethod.MinMax, q.CalibrationMethod.Percentile]),
                      extra_options=extra, **options)
    return form.name.lower()


def case(root, number, seed):
    r = random.Random(seed)
    torch.manual_seed(seed)
    model, shape = network(r)
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (3, *shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as work:
        plain = os.path.join(work, "plain.onnx")
        dynamo = r.random() < 0.15
        options = dict(dynamo=True, external_data=False, verbose=False) if dynamo else dict(dynamo=False, opset_version=r.choice([11, 12, 13, 14, 15, 17]))
        if not dynamo and r.random() < 0.5:
            options["dynamic_axes"] = {"x": {0: "n"}}
        torch.onnx.export(model, (torch.from_numpy(x[:1]),), plain, input_names=["x"], **options)
        kind = "dynamo" if dynamo else "float"
        path = os.path.join(work, "model.onnx")
        if r.random() < 0.6:
            kind = quantized(r, plain, path, rng.normal(0, 1, (8, *shape)).astype(np.float32))
        else:
            path = plain
        expected = answers(path, x)
        folder = os.path.join(root, f"{number:06d}_{kind}")
        os.makedirs(folder, exist_ok=True)
        os.replace(path, os.path.join(folder, "model.onnx"))
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)
    np.save(os.path.join(folder, "input.npy"), x)
    np.save(os.path.join(folder, "expected.npy"), np.ascontiguousarray(expected, dtype=np.float32))


def main():
    import contextlib
    import io
    import logging
    logging.disable(logging.CRITICAL)
    root, count, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    failed = 0
    for number in range(first, first + count):
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                case(root, number, number)
        except Exception as e:  # A combination that the exporter or the quantizer refuses.
            failed += 1
            print(number, type(e).__name__, str(e)[:120].replace("\n", " "), flush=True)
    print(f"{count - failed} of {count} networks written")


if __name__ == "__main__":
    main()
