"""Writes every classifier of torchvision and of timm's residual families as ONNX, and as checkpoints where models/ describes it,
with PyTorch's answers, for networks_test.cc.

Usage: export_networks_torch.py FOLDER LOG [NAME...]; see export_cases.Queue. Weights are random: nothing is downloaded. Of
timm's networks whose names differ in numbers alone, which repeat blocks, the first is taken, and none of more than PARAMETERS.
Needs torch, torchvision, timm, safetensors, numpy and, for the newer exporter, onnxscript.
"""

import functools
import json
import os
import re
import sys
import warnings

import numpy as np
import safetensors.torch
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
SAMPLE = {"resnet18", "mobilenet_v2", "densenet121", "squeezenet1_1", "shufflenet_v2_x0_5", "regnet_y_400mf", "googlenet", "resnetv2_50",
          "res2net50_48w_2s"}
# Larger networks of torchvision whose smallest has their layers: these come last.
REPEATED = r"efficientnet_(b[1-7]|v2_[ml])|convnext_[bls]|swin_(v2_)?[bs]|vit_(l|h|b_16)|vgg1[69]|regnet_._\d\dgf|regnet_y_128gf"
# Pixels that networks need whose names begin so; the others take 96.
SIZES = {"alexnet": 224, "vgg": 224, "vit": 224, "maxvit": 224, "bat": 256}


@torch.no_grad()
def randomize(model, size):
    """Random weights whose activations stay in range: batch norms have the statistics of a random batch. Scales below 1 and
    shifts above 0 keep a deep network of random blocks from amplifying every rounding."""
    for parameter in model.parameters():
        if parameter.numel() > 1 and parameter.std() > 0:
            continue  # The framework's own random values; the others are constants such as 0 or 1.
        parameter.copy_(torch.where(parameter == 0, 0.3 + 0.2 * torch.randn_like(parameter), parameter * (0.2 + 0.4 * torch.rand_like(parameter))))
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


def answers(folder, model, x, as_input=lambda x: x):
    """Saves channels last what the file takes for `x`, and what it gives."""
    os.makedirs(folder, exist_ok=True)
    with torch.no_grad():
        np.save(os.path.join(folder, "expected.npy"), model(x).numpy())
    np.save(os.path.join(folder, "input.npy"), as_input(x.permute(0, 2, 3, 1)).contiguous().numpy())


def described(name):
    """The description of models/ that has the network's tensors, and its preprocessing."""
    name = re.sub(r"^resnetv2_(\d+)$", r"resnet\1_v2", name)
    path = lambda name: os.path.join(os.path.dirname(__file__), "../../models", name + ".json")
    if not os.path.exists(path(name)):
        return None, None
    description = json.load(open(path(name)))
    while "preprocessing" not in description:
        description = json.load(open(path(description["like"])))
    return name, description["preprocessing"]


def prepare(make, name):
    def write(folder):
        torch.manual_seed(1)
        size = next((SIZES[start] for start in SIZES if name.startswith(start)), 96)
        model = randomize(make(), size)
        x = torch.randn(2, 3, size, size)
        answers(folder, model, x)
        doors = {"onnx": ("script.onnx", onnx(model, x, dynamo=False, opset_version=17))}
        if name in SAMPLE:
            doors["onnx-dynamo"] = ("dynamo.onnx", onnx(model, x, dynamo=True))
        description, preprocessing = described(name)
        if description:  # Takes photos of 224 pixels, and has a softmax.
            answers(os.path.join(folder, "checkpoint"), nn.Sequential(model, nn.Softmax(1)), torch.randn(2, 3, 224, 224),
                    lambda x: (x * torch.tensor(preprocessing["std"]) + torch.tensor(preprocessing["mean"])) * 255)
            doors["pth"] = (f"checkpoint/{description}.pth", lambda path: torch.save(model.state_dict(), path))
            doors["safetensors"] = (f"checkpoint/{description}.safetensors", lambda path: safetensors.torch.save_file(model.state_dict(), path))
        return doors
    return write


def networks():
    """Library, name and a function that makes it: the sample, a network of each family, torchvision's from small to large, timm's, and
    torchvision's REPEATED."""
    size = lambda name: torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    listed = []
    for name in sorted(torchvision.models.list_models(module=torchvision.models), key=size):
        # Outputs that only training has.
        options = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        make = functools.partial(torchvision.models.get_model, name, weights=None, **options)
        listed.append((3 if re.match(REPEATED, name) else 1, "torchvision", name, make))
    for family in FAMILIES:
        kinds = set()
        for name in timm.list_models(module=family):
            kind = re.sub(r"\d+", "#", name)
            if name in SAMPLE or kind not in kinds:
                kinds.add(kind)
                listed.append((2 + len(kinds) / 1000 if len(kinds) > 1 else 0.5, "timm", name, functools.partial(timm.create_model, name)))
    return [n[1:] for n in sorted(listed, key=lambda n: 0 if n[2] in SAMPLE else n[0])]


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
