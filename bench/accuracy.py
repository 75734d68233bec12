#!/usr/bin/env python3
"""What quantization costs, octet beside its peers, on healthy networks and on hard ones.

    python3 bench/accuracy.py                   # Markdown tables of all networks
    python3 bench/accuracy.py --only=resnet20_blocks --work=FOLDER --json

Every engine gets the same photos, octet as pixels with the network's preprocessing and the others
as the floats that these are by it, and the same calibration photos. A hard network is the same
function as the healthy one with channels rescaled: "blocks" by 1/30 to 30 between the convolutions
of each residual block, "stream" by 16 in 1.6 % of the channels of what additions join, at least
one of each stage. Needs numpy, Pillow and onnx from PyPI; the rows of engines that are not
installed (onnxruntime; nncf and openvino; ai-edge-litert) are left out, with a line on stderr.

Columns: top-1; the drop, in points, against the float network; photos whose label is not the float
network's; signal to noise of the logits (the tensor in front of a softmax at the end), each
photo's centred; Kullback-Leibler divergence, the mean of the photos.
"""
import argparse
import copy
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
PREPROCESSING = {'order': 'rgb', 'scale': 1 / 255, 'mean': [0.485, 0.456, 0.406],
                 'std': [0.229, 0.224, 0.225]}


def note(text):
    print(f'accuracy.py: {text}', file=sys.stderr)


# ---- networks: file, pixels, labels, pixels to calibrate on ----
def flower(args):
    folder = os.path.join(args.models, 'flowers')
    pixels, labels = ([np.load(f'{folder}/{kind}_{what}.npy') for kind in ('test', 'validation')]
                      for what in ('images_160', 'labels'))
    return (f'{folder}/flowers_resnet.onnx', np.concatenate(pixels), np.concatenate(labels),
            pixels[1])


def resnet20(args):
    from PIL import Image

    def photos(kind, of_class):
        pixels, labels = [], []
        for label, folder in enumerate(sorted(glob.glob(f'{args.data}/cifar10/{kind}/*'))):
            files = sorted(os.listdir(folder))
            for file in files[::max(1, len(files) // of_class)]:
                pixels.append(np.asarray(Image.open(os.path.join(folder, file)).convert('RGB')))
                labels.append(label)
        return np.stack(pixels), np.array(labels)
    return (f'{args.data}/resnet-cifar/resnet20.onnx', *photos('test', 100), photos('train', 10)[0])


NETWORKS = {'flower': flower, 'resnet20': resnet20}
KINDS = ('', '_blocks', '_stream')


def floats(pixels):
    """What a network takes for them, channels first."""
    scale, mean, std = (np.float32(PREPROCESSING[key]) for key in ('scale', 'mean', 'std'))
    return np.ascontiguousarray(((pixels * scale - mean) / std).transpose(0, 3, 1, 2))


# ---- hard networks ----
PASSING = ('Relu', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'ReduceMean', 'Reshape',
           'Flatten', 'Slice', 'Pad', 'Add')


def channel_groups(model, sample):
    """Lists of the (tensor, channel) that only a common factor leaves the function the same, and
    the largest magnitude by channel of each tensor."""
    from onnx.reference import ReferenceEvaluator
    everything = copy.deepcopy(model)
    names = [o for n in model.graph.node for o in n.output]
    del everything.graph.output[:]
    everything.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    source = model.graph.input[0].name
    values = {source: sample,
              **dict(zip(names, ReferenceEvaluator(everything).run(None, {source: sample})))}
    largest = {name: np.abs(v).max(axis=(0, *range(2, v.ndim))) for name, v in values.items()
               if v.ndim in (2, 4) and v.dtype == np.float32}
    parent = {}

    def find(key):
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    def channels(name):
        return [(name, c) for c in range(len(largest.get(name, ())))]

    fixed = channels(source) + channels(model.graph.output[0].name)
    for n in model.graph.node:
        if n.op_type in ('Conv', 'Gemm', 'Shape'):
            continue
        after = channels(n.output[0])
        for before in filter(None, map(channels, n.input)):
            # A shortcut without weights pads channels in front, too.
            first = int(values[n.input[1]][1]) if n.op_type == 'Pad' else 0
            if n.op_type in PASSING and len(after) >= first + len(before):
                parent.update((find(b), find(a)) for b, a in zip(before, after[first:]))
            else:
                fixed += before + after
    groups = {}
    for key in sum(map(channels, largest), []):
        groups.setdefault(find(key), []).append(key)
    for key in {find(key) for key in fixed}:
        del groups[key]
    return list(groups.values()), largest


def channel_factors(model, sample, kind):
    """The factor of each (tensor, channel) that has one."""
    rng = np.random.default_rng(1)
    groups, largest = channel_groups(model, sample)
    if kind == 'blocks':
        users = {}  # The operators that make and take a tensor.
        for n in model.graph.node:
            for name in (*n.input, *n.output):
                users.setdefault(name, []).append(n.op_type)
        inner = [group for group in groups if sorted(op for name, _ in group for op in users[name])
                 == ['Conv', 'Conv', 'Relu', 'Relu']]
        chosen = [(group, np.exp(rng.uniform(-np.log(30), np.log(30)))) for group in inner]
    else:
        group_of = {key: k for k, group in enumerate(groups) for key in group}
        chosen, seen = [], set()
        for name in (n.output[0] for n in model.graph.node if n.op_type == 'Add'):
            # A stage's own channels: those that no earlier stage has; dead ones would show nothing.
            own = {group_of[name, c]: size for c, size in enumerate(largest[name])
                   if (name, c) in group_of and group_of[name, c] not in seen}
            live = [k for k, size in own.items() if size >= np.median(largest[name])]
            if live:
                count = max(1, round(0.016 * len(largest[name])))
                chosen += [(groups[k], 16.0) for k in rng.choice(live, count, replace=False)]
            seen |= own.keys()
    return {key: factor for group, factor in chosen for key in group}


def harden(model, sample, kind):
    factors = channel_factors(model, sample, kind)
    hard = copy.deepcopy(model)
    constants = {i.name: i for i in hard.graph.initializer}
    for n in hard.graph.node:
        if n.op_type not in ('Conv', 'Gemm'):
            continue
        weights, bias = (numpy_helper.to_array(constants[name]) for name in n.input[1:])
        before, after = (np.float32([factors.get((name, c), 1) for c in range(count)]) for
                         name, count in zip((n.input[0], n.output[0]), weights.shape[1::-1]))
        spatial = [1] * (weights.ndim - 2)
        weights = weights * after.reshape(-1, 1, *spatial) / before.reshape(1, -1, *spatial)
        for name, value in ((n.input[1], weights), (n.input[2], bias * after)):
            constants[name].CopyFrom(numpy_helper.from_array(value, name))
    return hard


# ---- engines: each yields (row's name, logits) of what `net` is ----
def centred(logits):
    return logits.astype(np.float64) - logits.mean(axis=1, keepdims=True, dtype=np.float64)


def logits_of(answers, net):
    return np.log(np.maximum(answers, 1e-38)) if net.softmax else answers


def octet_run(args, net, precision):
    """Answers, or None where the converter has no such precision."""
    model = f'{args.work}/{net.name}_{precision}.octet'
    command = [f'{args.work}/octet_convert', net.file, f'--output={model}',
               f'--precision={precision}', f'--preprocessing={args.work}/preprocessing.json']
    if precision not in ('fp32', 'fp16'):
        command.append(f'--calibration-data={args.work}/calibration.npy')
    for command in (command, [f'{args.work}/octet', 'run', model, '--input',
                              f'{args.work}/pixels.npy', '--output', f'{args.work}/answers.npy']):
        done = subprocess.run(command, capture_output=True, text=True)
        if '--precision: found' in done.stderr:
            return None
        if done.returncode:
            sys.exit(f'{" ".join(command)}\n{done.stderr}')
    return np.load(f'{args.work}/answers.npy')


def octet(args, net):
    for precision in ('fp32', 'fp16', 'int16x8', 'hybrid', 'int8'):
        answers = octet_run(args, net, precision)
        if answers is None:
            note(f'octet_convert has no {precision}; {net.name} is without it')
        else:
            yield f'octet {precision}', logits_of(answers, net)


def ort_run(file, x):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=['CPUExecutionProvider'])
    source = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {source: x[k:k + 50]})[0]
                           for k in range(0, len(x), 50)])


def ort(args, net):
    from onnxruntime.quantization import QuantType, quantize_static
    per_channel = {'per_channel': True, 'weight_type': QuantType.QInt8,
                   'activation_type': QuantType.QUInt8}
    source = onnx.load(net.file).graph.input[0].name
    for row, options in (('per channel', per_channel), ('defaults', {})):
        samples = iter([{source: x[None]} for x in floats(net.calibration)])
        quantized = f'{args.work}/{net.name}_ort.onnx'
        reader = types.SimpleNamespace(get_next=lambda: next(samples, None))
        quantize_static(net.file, quantized, reader, **options)
        model = onnx.load(quantized)
        if net.softmax:  # It is quantized, too; what it gets is asked for in place of its answers.
            scores = next(n for n in model.graph.node if n.op_type == 'Softmax').input[0]
            del model.graph.output[:]
            model.graph.output.append(onnx.helper.make_tensor_value_info(scores, 1, None))
            onnx.save(model, quantized)
        yield f'ONNX Runtime int8, {row}', ort_run(quantized, floats(net.pixels))


def nncf(args, net):
    import nncf as n
    import openvino
    core = openvino.Core()
    core.set_property('CPU', {'INFERENCE_NUM_THREADS': 1, 'INFERENCE_PRECISION_HINT': 'f32'})
    data = n.Dataset([x[None] for x in floats(net.calibration)])
    model = core.compile_model(n.quantize(core.read_model(net.file), data), 'CPU')
    answers = np.concatenate([model(x[None])[0] for x in floats(net.pixels)])
    yield 'NNCF/OpenVINO int8, defaults', logits_of(answers, net)


def litert(args, net):
    from ai_edge_litert.interpreter import Interpreter
    for precision in ('hybrid', 'int8') if net.name == 'flower' else ():
        interpreter = Interpreter(f'{args.models}/flowers/flowers_resnet_{precision}.tflite',
                                  num_threads=1, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]
        softmax = next(op for op in interpreter._get_ops_details() if op['op_name'] == 'SOFTMAX')
        scores = next(d for d in interpreter.get_tensor_details()
                      if d['index'] == softmax['inputs'][0])
        rows = []
        for x in floats(net.pixels).transpose(0, 2, 3, 1):
            scale, zero = source['quantization']
            if scale:
                x = np.clip(np.round(x / scale) + zero, 0, 255).astype(np.uint8)
            interpreter.set_tensor(source['index'], x[None])
            interpreter.invoke()
            # One scale for all logits; centred, they need no zero point.
            rows.append(interpreter.get_tensor(scores['index'])[0] *
                        np.float32(scores['quantization'][0] or 1))
        yield f'LiteRT {precision}', np.stack(rows)


# ---- measures ----
def measures(logits, truth, labels):
    a, b = centred(truth), centred(logits)
    p, q = (v - np.log(np.exp(v).sum(axis=1, keepdims=True)) for v in (a, b))
    right, float_right = (v.argmax(axis=1) == labels for v in (b, a))
    return {'top1': 100 * right.mean(), 'drop': 100 * (float_right.mean() - right.mean()),
            'changed': int((a.argmax(axis=1) != b.argmax(axis=1)).sum()),
            'sqnr_db': 10 * np.log10(1 / max(((a - b)**2).sum() / (a**2).sum(), 1e-20)),
            'kl': (np.exp(p) * (p - q)).sum(axis=1).mean()}


def table(name, rows, photos):
    line = '| {engine} | {top1:.2f} | {drop:+.2f} | {changed} | {sqnr_db:.1f} | {kl:.1e} |'
    return '\n'.join((f'\n**{name}**, {photos} photos\n', '| | top-1 | drop | labels changed | '
                      'SQNR dB | KL |', '|---|---|---|---|---|---|',
                      *(line.format(**row) for row in rows)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    shared = os.path.join(ROOT, '../shared')
    parser.add_argument('--octet-build', default=f'{ROOT}/build/release', help='has the programs')
    parser.add_argument('--data', default=f'{shared}/data', help='cifar10 and resnet-cifar')
    parser.add_argument('--models', default=f'{shared}/models', help='flowers')
    parser.add_argument('--work', help='where what is made stays, the hard networks among it')
    parser.add_argument('--only', action='append', help='one network; may be given several times',
                        choices=[name + kind for name in NETWORKS for kind in KINDS])
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # What engines print is no result.
    if not args.work:
        keep = tempfile.TemporaryDirectory()
        args.work = keep.name
    os.makedirs(args.work, exist_ok=True)
    for program in ('converter/octet_convert', 'engine/tools/octet'):
        shutil.copy(f'{args.octet_build}/{program}', args.work)  # A build may go on meanwhile.
    with open(f'{args.work}/preprocessing.json', 'w') as f:
        json.dump(PREPROCESSING, f)

    engines = [octet]
    for engine, module in ((ort, 'onnxruntime'), (nncf, 'nncf'), (litert, 'ai_edge_litert')):
        try:
            __import__(module)
            engines.append(engine)
        except ImportError:
            note(f'{module} is not installed; its rows are left out')
    results = []
    for network, load in NETWORKS.items():
        wanted = [kind for kind in KINDS if not args.only or network + kind in args.only]
        if not wanted:
            continue
        source, pixels, labels, calibration = load(args)
        model = onnx.load(source)
        net = types.SimpleNamespace(name=network, file=source, pixels=pixels,
                                    calibration=calibration,
                                    softmax=model.graph.node[-1].op_type == 'Softmax')
        np.save(f'{args.work}/pixels.npy', pixels)
        np.save(f'{args.work}/calibration.npy', calibration)

        def float_answers():
            return ort_run(net.file, floats(pixels)) if ort in engines else octet_run(
                args, net, 'fp32')
        answers = float_answers()
        truth = logits_of(answers, net)
        for kind in wanted:
            net.name = network + kind
            if kind:
                net.file = f'{args.work}/{net.name}.onnx'
                onnx.save(harden(model, floats(calibration[:1]), kind[1:]), net.file)
                off = np.abs(float_answers() - answers).max() / np.abs(answers).max()
                if not off < 1e-3:
                    sys.exit(f'{net.file}: answers differ from those of {source} by {off}')
            rows = [{'network': net.name, 'engine': row, **measures(logits, truth, labels)}
                    for engine in engines for row, logits in engine(args, net)]
            results += rows
            if not args.json:
                print(table(net.name, rows, len(labels)), file=out, flush=True)
    if args.json:
        print(json.dumps(results, indent=1), file=out)


if __name__ == '__main__':
    main()
