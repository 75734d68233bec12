"""Writes every classifier of torchvision and of timm's residual families as ONNX, with PyTorch's answers, for networks_test.cc.

Usage: export_networks_torch.py FOLDER LOG [NAME...]; see export_cases.Queue. Weights are random: nothing is downloaded. Of
timm's networks whose names differ in numbers alone, which repeat blocks, the first is taken, and none of more than PARAMETERS.
Needs torch, torchvision, timm, numpy and,
for the newer exporter, onnxscript.
"""

import functools
import os
import re
import sys
import warnings

import numpy as np
import timm
import torch
import torchvision
from torch import nn

from export_cases import Queue

warnings.filterwarnings("ignore")
PARAMETERS = 100e6
FAMILIES = ("resnet", "resnetv2", "resnest", "res2net", "regnet", "sknet", "senet", "cspnet", "dla", "dpn", "nfnet", "selecsls",
            "vovnet", "hrnet", "byobnet", "inception_resnet_v2")
# Written by PyTorch's newer exporter too, which takes long: one of each kind of block.
SAMPLE = {"resnet18", "resnext50_32x4d", "mobilenet_v2", "densenet121", "squeezenet1_1", "shufflenet_v2_x0_5", "regnet_y_400mf", "googlenet",
          "seresnet18", "ecaresnet26t", "resnetblur18", "resnetv2_50", "resnest14d", "res2net50_48w_2s", "skresnet18", "dla34", "nf_resnet26"}
LARGE_INPUT = ("alexnet", "vgg", "vit", "maxvit")  # 224 pixels, which these need; the others take fewer.


@torch.no_grad()
def randomize(model, size):
    """Random weights whose activations stay in range: batch norms have the statistics of a random batch."""
    for parameter in model.parameters():
        if parameter.numel() > 1 and parameter.std() > 0:
            continue  # The framework's own random values; the others are constants such as 0 or 1.
        parameter.copy_(torch.where(parameter == 0, 0.1 * torch.randn_like(parameter), parameter * (0.5 + torch.rand_like(parameter))))
    norms = [m.train() for m in model.eval().modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momentum = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 1.0
    model(torch.randn(4, 3, size, size))
    for m, before in zip(norms, momentum):
        m.eval().momentum = before
        m.running_var.clamp_(min=0.1 * float(m.running_var.mean()))  # A channel that is 0 throughout.
    return model


def onnx(model, x, **options):
    return lambda path: torch.onnx.export(model, (x[:1],), path, input_names=["x"], **options)


def prepare(make, name):
    def write(folder):
        torch.manual_seed(1)
        size = 224 if name.startswith(LARGE_INPUT) else 96
        model = randomize(make(), size)
        x = torch.randn(2, 3, size, size)
        with torch.no_grad():
            np.save(os.path.join(folder, "expected.npy"), model(x).numpy())
        np.save(os.path.join(folder, "input.npy"), x.permute(0, 2, 3, 1).contiguous().numpy())
        doors = {"onnx": ("script.onnx", onnx(model, x, dynamo=False, opset_version=17))}
        if name in SAMPLE:
            doors["onnx-dynamo"] = ("dynamo.onnx", onnx(model, x, dynamo=True))
        return doors
    return write


def networks():
    """Library, name and a function that makes it: the sample, torchvision's from small to large, timm's, torchvision's huge ones."""
    size = lambda name: torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    listed = []
    for name in sorted(torchvision.models.list_models(module=torchvision.models), key=size):
        # Outputs that only training has.
        options = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        listed.append(("torchvision", name, functools.partial(torchvision.models.get_model, name, weights=None, **options)))
    kinds = set(SAMPLE)
    for name in sum((timm.list_models(module=family) for family in FAMILIES), []):
        kind = name if name in SAMPLE else re.sub(r"\d+", "#", name)
        if name in SAMPLE or kind not in kinds:
            listed.append(("timm", name, functools.partial(timm.create_model, name)))
            kinds.add(kind)
    huge = lambda name, library: library == "torchvision" and size(name) > PARAMETERS
    return sorted(listed, key=lambda network: (network[1] not in SAMPLE, huge(*network[1::-1])))


def too_large(make):
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters()) > PARAMETERS


def main():
    queue = Queue(*sys.argv[1:3], sys.argv[3:])
    for library, name, make in networks():
        if queue.wants(library, name) and not (library == "timm" and too_large(make)):
            queue.write(library, name, prepare(make, name))


if __name__ == "__main__":
    main()
