"""Writes ONNX files of networks after quantization-aware training, by PyTorch's ways to train and export, and by NNCF's.

Usage: export_qat_torch.py FOLDER [CASE...]. Each case is FOLDER/NAME with model.onnx, input.npy (NHWC) and expected.npy: what ONNX
Runtime computes of that file operator by operator, its own int8 kernels off. A way that the installed versions do not have is said
and left out. Needs torch, numpy, onnx and onnxruntime; NNCF and torchao for their cases.
"""

import copy
import os
import shutil
import sys
import tempfile
import warnings

import numpy as np
import torch
from torch import nn
from torch.ao import quantization as q
from torch.ao.nn.quantized import FloatFunctional

from export_cases import attempt
from export_onnx_quantized import exact, write

warnings.filterwarnings("ignore")


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(channels), nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(channels), nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        self.add = FloatFunctional()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(self.add.add(y, self.shortcut(x)))


class PlainAdd(nn.Module):
    def add(self, a, b):
        return a + b


class ResNet(nn.Module):
    """A ResNet of CIFAR's with every kind of layer of its larger relatives."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = q.QuantStub(), q.DeQuantStub()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 24, 2), Block(24, 32, 2))
        self.mean, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(32, 10)

    def forward(self, x):
        x = self.blocks(self.pool(self.relu(self.bn(self.conv(self.quant(x))))))
        return self.dequant(self.linear(torch.flatten(self.mean(x), 1)))

    def fused(self, fuse):
        names = [["conv", "bn", "relu"]]
        for i, block in enumerate(self.blocks):
            names += [[f"blocks.{i}.conv1", f"blocks.{i}.bn1", f"blocks.{i}.relu1"], [f"blocks.{i}.conv2", f"blocks.{i}.bn2"]]
            if len(block.shortcut) > 0:
                names.append([f"blocks.{i}.shortcut.0", f"blocks.{i}.shortcut.1"])
        return fuse(self, names)


def plain(model):
    """Without the stubs of eager mode."""
    model.quant = model.dequant = nn.Identity()
    for block in model.blocks:
        block.add = PlainAdd()
    return model


def photos(count, seed):
    """Patches of colour with a class to learn: which corner is the brightest and whether it is red."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    x = rng.normal(0, 0.4, (count, 3, 32, 32)) + rng.normal(0, 0.5, (count, 3, 1, 1))
    for i, label in enumerate(labels):
        y0, x0 = 16 * (label // 2 % 2), 16 * (label // 4 % 2)
        x[i, label % 2 * 2, y0:y0 + 16, x0:x0 + 16] += 0.8 + 0.1 * label
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels)


def train(model, steps, rate=0.02, seed=0):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], rate, momentum=0.9)
    for i in range(steps):
        x, labels = photos(32, 1000 * seed + i)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    return model


TRAINED = []


def trained():
    if not TRAINED:
        torch.manual_seed(1)
        TRAINED.append(train(ResNet().train(), 60))
    return copy.deepcopy(TRAINED[0])


CASES = {}


def case(name):
    def register(make):
        CASES[name] = make
        return make
    return register


def export(path, model, dynamo, opset=None):
    x = torch.zeros(1, 3, 32, 32)
    if dynamo:
        torch.onnx.export(model, (x,), path, input_names=["x"], dynamo=True, external_data=False, **({"opset_version": opset} if opset else {}))
    else:
        torch.onnx.export(model, (x,), path, input_names=["x"], dynamo=False, opset_version=opset or 13)


def fake(observer, low, high, dtype, scheme, **options):
    return q.FakeQuantize.with_args(observer=observer, quant_min=low, quant_max=high, dtype=dtype, qscheme=scheme, **options)


def activations(low, high, dtype=torch.quint8, scheme=torch.per_tensor_affine):
    return fake(q.MovingAverageMinMaxObserver, low, high, dtype, scheme, reduce_range=False)


CONFIGS = {
    "u8": q.QConfig(activations(0, 255), q.default_per_channel_weight_fake_quant),
    "u8_per_tensor": q.QConfig(activations(0, 255), q.default_weight_fake_quant),
    "s8_symmetric": q.QConfig(activations(-128, 127, torch.qint8, torch.per_tensor_symmetric), q.default_per_channel_weight_fake_quant),
    "u7": q.QConfig(activations(0, 127), q.default_per_channel_weight_fake_quant),
    "fbgemm": q.get_default_qat_qconfig("fbgemm"),
    "qnnpack": q.get_default_qat_qconfig("qnnpack"),
}
# What these observe by is no operator of the older exporter.
FUSED = ("fbgemm", "qnnpack")


def eager(config, fuse=q.fuse_modules_qat):
    model = trained()
    if fuse is not None:
        model = model.eval().fused(fuse) if fuse is q.fuse_modules else model.fused(fuse)
    model.qconfig = CONFIGS[config]
    q.prepare_qat(model.train(), inplace=True)
    train(model, 10, 0.002, seed=1)
    return model.eval().apply(q.disable_observer)


for label in CONFIGS:
    if label not in FUSED:
        case(f"eager_{label}_script")(lambda path, label=label: export(path, eager(label), False))
    case(f"eager_{label}_dynamo")(lambda path, label=label: export(path, bare(eager(label)), True))
class FakeQuantize(nn.Module):
    """Fake quantization as torch.export takes it: no more than the operator."""

    def __init__(self, trained):
        super().__init__()
        self.scale, self.zero_point, self.low, self.high = trained.scale, trained.zero_point, trained.quant_min, trained.quant_max
        self.axis = trained.ch_axis if trained.is_per_channel else None

    def forward(self, x):
        if self.axis is not None:
            return torch.fake_quantize_per_channel_affine(x, self.scale, self.zero_point, self.axis, self.low, self.high)
        return torch.fake_quantize_per_tensor_affine(x, float(self.scale), int(self.zero_point), self.low, self.high)


def bare(model):
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, q.FakeQuantize):
                setattr(module, name, FakeQuantize(child))
    return model


for label in ("folded", "separate"):
    fuse = q.fuse_modules if label == "folded" else None
    case(f"eager_{label}_script")(lambda path, fuse=fuse: export(path, eager("u8", fuse), False))
    case(f"eager_{label}_dynamo")(lambda path, fuse=fuse: export(path, bare(eager("u8", fuse)), True))


def converted(label):
    torch.backends.quantized.engine = "qnnpack" if label == "qnnpack" else "fbgemm"
    return q.convert(eager(label))


for label in ("u8", "fbgemm", "qnnpack"):
    case(f"eager_converted_{label}_script")(lambda path, label=label: export(path, converted(label), False))


@case("fx_converted_script")
def fx(path):
    from torch.ao.quantization import quantize_fx
    torch.backends.quantized.engine = "fbgemm"
    model = plain(trained())
    model = quantize_fx.prepare_qat_fx(model.train(), q.get_default_qat_qconfig_mapping("x86"), (torch.zeros(1, 3, 32, 32),))
    train(model, 10, 0.002, seed=1)
    model.eval().apply(q.disable_observer)
    export(path, quantize_fx.convert_fx(model), False)


def pt2e(fold):
    from torchao.quantization.pt2e import move_exported_model_to_eval, move_exported_model_to_train
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
    x = torch.zeros(2, 3, 32, 32)
    shapes = ({0: torch.export.Dim("n", min=1, max=256)},)
    model = torch.export.export(plain(trained()).train(), (x,), dynamic_shapes=shapes).module()
    model = prepare_qat_pt2e(model, quantizer)
    move_exported_model_to_train(model)
    train(model, 10, 0.002, seed=1)
    move_exported_model_to_eval(model)
    return convert_pt2e(model, fold_quantize=fold)


for fold in (False, True):
    case(f"pt2e_{'folded' if fold else 'float_weights'}_dynamo")(lambda path, fold=fold: export(path, pt2e(fold), True))


def nncf(path, preset):
    import nncf
    data = nncf.Dataset([photos(8, 50 + i)[0] for i in range(8)])
    model = nncf.quantize(plain(trained()).eval(), data, preset=getattr(nncf.QuantizationPreset, preset), subset_size=8)
    train(model.train(), 10, 0.002, seed=1)
    example = torch.zeros(1, 3, 32, 32)
    export(path, nncf.strip(model.eval(), strip_format=nncf.StripFormat.NATIVE, example_input=example), False)


for preset in ("PERFORMANCE", "MIXED"):
    case(f"nncf_{preset.lower()}_script")(lambda path, preset=preset: nncf(path, preset))


def main():
    root, wanted = sys.argv[1], sys.argv[2:]
    x = photos(100, 7)[0]

    def write_case(name, make):
        with tempfile.TemporaryDirectory() as work:
            path = os.path.join(work, "model.onnx")
            make(path)
            expected = exact(path, x)
            folder = os.path.join(root, name)
            os.makedirs(folder, exist_ok=True)
            shutil.move(path, os.path.join(folder, "model.onnx"))
            write(folder, x, expected)

    os.makedirs(root, exist_ok=True)
    export(os.path.join(root, "float.onnx"), plain(trained()).eval(), False)
    for name, make in CASES.items():
        if not wanted or any(w in name for w in wanted):
            attempt(name, lambda: write_case(name, make))


if __name__ == "__main__":
    main()
