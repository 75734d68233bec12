#!/usr/bin/env python3
"""Reads, checks and runs an .octet file: SPEC.md, beside this file, as a program in its order of chapters.

Usage: reference_reader.py MODEL.octet [INPUT.npy ...] [--seed N] [--output OUT.npy] [--dump-layers DIR]

Inputs are arrays of one image in the network's types and shapes. Without them they are generated from --seed, without that from the file's
seed, and then the file's golden output must come out. --dump-layers writes every activation to DIR/TENSOR_ID.npy. A file that breaks a rule
is refused with one sentence and exit code 1; left out are the checksum, which a reader may skip (its XXH3-64 would take 35 lines), the rules
for images (3.1), as nothing here decodes one, and limits that keep other readers' numbers small (2^95, 32,768 products, bytes read).

Made to be read beside SPEC.md, with nothing but NumPy. Integers, and floats computed from them alone, have every bit that SPEC.md defines;
what has no defined order there (sums of products of floats, exponentials) is computed in binary64.
"""

import argparse, math, struct, sys
from types import SimpleNamespace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

F32, F64, I64, U64 = np.float32, np.float64, np.int64, np.uint64

class Refused(Exception): """Why a file is not taken, in one sentence."""
def require(condition, sentence):
    if not condition: raise Refused(sentence)

# ---- 1. Conventions ----

class Section:
    """Reads the records of a section, front to back."""
    def __init__(self, name, data): self.name, self.data, self.at = name, data, 0
    def require(self, condition, sentence): require(condition, f"section {self.name}, byte {self.at}: {sentence}")
    def take(self, form):
        """A number or several, in struct's notation."""
        size = struct.calcsize("<" + form)
        self.require(self.at + size <= len(self.data), "it ends within a field")
        self.at += size
        values = struct.unpack_from("<" + form, self.data, self.at - size)
        return values[0] if len(values) == 1 else values
    def below(self, count, field):
        value = self.take("B")
        self.require(value < count, f"{field}: found {value}, expected less than {count}")
        return value
    def finite(self, count, field):
        values = np.frombuffer(self.take(f"{4 * count}s"), "<f4")
        self.require(np.isfinite(values).all(), f"{field}: expected finite numbers")
        return values
    def varint(self, most=2**31 - 1):
        value = shift = 0
        while shift == 0 or byte > 127:
            byte = self.take("B")
            value |= (byte & 127) << shift
            shift += 7
            self.require(value <= most, f"a varint: found {value}, expected at most {most}")
        self.require(byte or shift == 7, "a varint is not in its shortest form")
        return value
    def string(self):
        text = self.take(f"{self.varint(65536)}s").decode("utf-8", "replace")
        self.require(all(c >= " " and c not in "\x7f\ufffd" for c in text), "a string has control characters or is not UTF-8")
        return text

# ---- 2. Header ----

TFLITE_ROUNDING, SOURCE_ORDER, PIXEL_RULES, INT16, PIXEL_CODES, BF16 = 1, 2, 4, 8, 16, 32  # Required features.

def read_header(data):
    """The checks of chapter 7 in its order. Returns features, sections with their counts, constants."""
    require(data[:8] == b"OCTET\0\x1a\n", "magic: this is no .octet file")
    require(len(data) >= 128, f"length: found {len(data)}, expected at least 128")
    version, header_size, file_size, features, _, start, size, *entries = struct.unpack_from("<2I5Q15I", data, 8)
    require(version == 1, f"version: found {version}, expected 1; unsupported")
    require(features < 64, f"required features: found {features}, expected less than 64; unsupported")
    require(header_size == 128, f"header size: found {header_size}, expected 128")
    require(file_size == len(data), f"file size: found {len(data)}, expected {file_size}")
    sections, end = [], 128
    for name, offset, length, count in zip(("metadata", "tensors", "nodes", "interface", "golden"), *[iter(entries)] * 3):
        require(offset == end and end + length <= file_size, f"section {name}: found {length} bytes at {offset}, expected at {end}")
        end += length
        sections.append((Section(name, data[offset:end]), count))
    require(start == padded(end, 64) and start + size == file_size, f"constants: found {size} bytes at {start}")
    require(not any(data[116:128] + data[end:start]), "header: reserved bytes and those in front of the constants must be 0")
    return features, sections, data[start:]

# ---- 3. Sections ----

def read_metadata(s, count, features):
    name, _, _ = s.string(), s.string(), s.string()
    precision = s.below(6 if features & BF16 else 5 if features & INT16 else 4, "precision")
    s.take("3B"), s.varint(65536)
    scale, mean, stddev = np.split(s.finite(9, "scale, mean and stddev"), [1, 5])
    if features & PIXEL_RULES: s.take("8BfB3B")
    return SimpleNamespace(name=name, precision=precision, scales=scale / stddev, zeros=mean / scale, labels=[s.string() for _ in range(count)])

DTYPES = ("<f4", "<f2", "u1", "i1", "<i4", "<i2", "<i8", "bfloat16")  # NumPy's, which has no bfloat16: its values are kept as f32.
def is_bf16(t): return t.dtype == "bfloat16"
PLAIN, PANEL, PANEL_ROW, DEPTHWISE = range(4)

def read_tensor(s, i, features):
    t = SimpleNamespace(id=i, constant=s.below(2, "kind") == 1, name=s.string(), scale=None, zero=None, value=None)
    t.dtype = DTYPES[s.below(8 if features & BF16 else 7 if features & INT16 else 5, "data type")]
    t.i16, t.codes, rank = t.dtype == "<i2", t.dtype in ("u1", "<i2"), s.below(5, "rank")
    t.shape = tuple(s.varint() for _ in range(rank))
    s.require(rank and 0 < math.prod(t.shape) < 2**31, f"found shape {t.shape}, expected 1 to 2^31 - 1 elements")
    if t.constant:
        t.layout, t.offset = s.below(4, "layout"), 64 * s.varint()
        s.require(t.layout == PLAIN or rank in (2, 4), "a layout of weights needs rank 2 or 4")
        return t
    s.require((t.codes or t.dtype == "<f4" or is_bf16(t)) and rank in (2, 4) and t.shape[0] == 1, f"found an activation of {t.dtype} and shape {t.shape}")
    s.require(math.prod(t.shape[:-1]) * padded(t.shape[-1]) < 2**29, f"found shape {t.shape}, expected less than 2^29 elements")
    if t.codes:
        t.scale, t.zero = s.finite(1, "scale")[0], 0 if t.i16 else s.take("B")
        t.lowest = -(2**15) if features & TFLITE_ROUNDING else 1 - 2**15  # Of i16.
        s.require(t.scale > 0 and np.isfinite(F32(1) / t.scale), f"scale: found {t.scale}")
    return t

(NONE, RELU, RELU6), (USUAL, FULLY_CONNECTED, MEAN, UINT8_AVERAGE) = range(3), range(4)  # Activation functions, TFLite kernels.

def read_node(s, tensors, features):
    op, run, required, most = OPERATORS[s.below(len(OPERATORS), "operator")]
    bits, name, ids, output = s.take("B"), s.string(), [s.varint() for _ in range(s.varint())], s.varint()
    s.require(max(ids + [output + 1]) <= len(tensors), f"node '{name}': expected tensors below {len(tensors)}")
    s.require(required <= len(ids) <= most and 0 not in ids[:len(ids) if op == "concat" else required], f"node '{name}': the number of inputs")
    n = SimpleNamespace(op=op, run=run, name=name, activation=bits & 15, kernel=bits >> 4)
    n.inputs = [tensors[i - 1] if i else None for i in ids] + [None] * (0 if op == "concat" else most - len(ids))
    n.x, n.y = n.inputs[0], tensors[output]
    n.tflite = features & TFLITE_ROUNDING and n.y.codes
    n.size, n.stride, n.dilation, n.before, n.behind, n.groups = (1, 1), (1, 1), (1, 1), (0, 0), (0, 0), 1
    if op in ("conv2d", "max_pool", "average_pool"):
        n.size, n.stride, n.dilation, n.before, n.behind = [(s.varint(), s.varint()) for _ in range(5)]
    if op == "conv2d": n.groups = s.varint()
    elif op == "average_pool": n.count_padding = s.below(2, "divisor")
    elif op == "concat": n.axis = s.take("B")
    elif op == "pad": n.value, n.begin, n.end = s.finite(1, "value")[0], s.take("4I"), s.take("4I")
    elif op == "slice": n.begin, n.end, n.step = s.take("4I"), s.take("4I"), s.take("4I")
    elif op == "clip": n.limits = np.frombuffer(s.take("8s"), "<f4")
    return n

def read_interface(s, count, tensors, features):
    ids = [[s.varint() for _ in range(s.varint())] for _ in range(2)]
    s.require(all(ids) and sum(map(len, ids)) == count and max(sum(ids, [])) < len(tensors), "the inputs and outputs")
    s.require(not any(is_bf16(tensors[i]) for side in ids for i in side), "an input or output of bfloat16")
    for _ in range(count if features & SOURCE_ORDER else 0): s.below(2, "the source's order")
    return [[tensors[i] for i in side] for side in ids]

def generate(seed, t):
    """A golden input (3.5)."""
    z = U64(seed) + np.arange(1, math.prod(t.shape) + 1, dtype=U64) * U64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
    p = ((z ^ (z >> U64(31))) >> U64(56)).reshape(t.shape)
    if t.i16: return ((p.astype(I64) - 128) * 256).astype(np.int16)
    return p.astype(np.uint8) if t.codes else (p.astype(F32) - F32(128)) / F32(64)

# ---- 4. Operators ----

# A tensor's numbers less its zero point; a * b over y's scale (1 of f32); v / 2^bits rounded to nearest, halves away from zero; the byte of
# a pad's or a clip's number.
def relative(t): return t.value.astype(I64) - t.zero
def factor(a, y, b=1.0): return F64(a) * F64(b) / F64(y.scale or 1)
def half_away(v, bits): return np.sign(v) * ((np.abs(v) + ((I64(1) << bits) >> 1)) >> bits)
def code(value, y):
    if not y.codes: return value
    low, high = (-32768, 32767) if y.i16 else (0, 255)
    return np.dtype(y.dtype).type(min(max(np.rint(value / y.scale) + y.zero, low), high))

def to_bytes(v, y, activation=NONE):
    """4.1: v counts steps of y's scale from its zero point. A NaN counts as the lowest."""
    low, high = (y.lowest, 32767) if y.i16 else (-y.zero, 255 - y.zero)
    if activation: low = 0
    if activation == RELU6: high = min(high, np.rint(F32(6) / y.scale))
    return np.rint(np.fmin(np.fmax(v, low), high)) + y.zero

def clamp(v, activation):
    v = np.where(v <= 0, F32(0), v) if activation else v
    return np.where(v >= 6, F32(6), v) if activation == RELU6 else v

def rounded_to(t, v):
    """v in the data type of t: to bfloat16 to nearest, halves to even; a NaN stays one."""
    if not is_bf16(t): return v.astype(t.dtype, order="C")
    bits = np.ascontiguousarray(v, F32).view(np.uint32)
    bits = np.where(np.isnan(v), bits | 0x400000, bits + 0x7FFF + (bits >> 16 & 1))
    return (bits & 0xFFFF0000).astype(np.uint32).view(F32)

class Fixed:
    """4.2: TFLite's fixed-point number q * 2^(shift - 31), or an array of them; of a mean with the division by count in it."""

    def __init__(self, real, count=1):
        fraction, shift = np.frexp(np.minimum(real, 2.0**30))
        q, shift = np.floor(fraction * 2.0**31 + 0.5).astype(I64), shift.astype(I64)
        q, shift = np.where(q == 2**31, 2**30, q), np.where(q == 2**31, shift + 1, shift)
        q, shift = np.where(shift < -31, 0, q), np.where(shift < -31, 0, shift)
        bits = np.minimum(count.bit_length() - 1, 31 + shift)
        self.q, self.shift = (q << bits) // count, shift - bits

    def times(self, v, once=False):
        left, right = np.maximum(self.shift, 0), np.maximum(-self.shift, 0)
        product = np.clip(v << left, 1 - 2**31, 2**31 - 1) * self.q
        return half_away(product, 31 + right) if once else half_away((product + 2**30) >> 31, right)

    def times_wide(self, v):
        """Sums of 64 bits by 16."""
        reduced, bits = np.minimum((self.q + 2**15) >> 16, 2**15 - 1), 15 - self.shift
        return ((v * reduced + (I64(1) << (bits - 1))) >> bits)

def tflite_sum(a, a_scale, b, b_scale, y):
    """4.2: ADD."""
    twice, bits = 2 * F64(max(a_scale, b_scale)), 15 if y.i16 else 20
    terms = Fixed(a_scale / twice).times(a << bits) + Fixed(b_scale / twice).times(b << bits)
    return Fixed(twice / (F64(y.scale) * 2**bits)).times(terms)

def windows(n, image, fill):
    """[h', w', channels, kernel height, kernel width] of an image [h, w, channels]."""
    if np.ndim(fill):  # One for each channel.
        image = np.stack([np.pad(image[..., c], [*zip(n.before, n.behind)], constant_values=f) for c, f in enumerate(fill)], -1)
    else:
        image = np.pad(image, [*zip(n.before, n.behind), (0, 0)], constant_values=fill)
    view = sliding_window_view(image, [d * (k - 1) + 1 for d, k in zip(n.dilation, n.size)], (0, 1))
    return view[:: n.stride[0], :: n.stride[1], :, :: n.dilation[0], :: n.dilation[1]]

def sums_of_products(n, image, fill):
    """[1, h', w', out] of a convolution. Binary64 has room for every bit of a sum of integers."""
    patches = windows(n, image.astype(F64), fill)
    weights = n.inputs[1].value.astype(F64).reshape(n.groups, n.y.shape[-1] // n.groups, *n.size, -1)
    a = patches.reshape(patches.shape[0] * patches.shape[1], n.groups, -1).transpose(1, 0, 2)  # [group, pixel, product]
    b = weights.transpose(0, 4, 2, 3, 1).reshape(n.groups, a.shape[2], -1)  # [group, product, channel]
    return (a @ b).transpose(1, 0, 2).reshape(n.y.shape)

def conv2d(n):
    (x, weights, bias, residual, scales), padding, y = n.inputs[:5], n.inputs[5:] and n.inputs[5], n.y
    image = x.value.reshape(x.shape[1:] if len(x.shape) == 4 else (1, 1, -1))
    bias = F32(0) if bias is None else bias.value
    if weights.dtype != "i1":  # Float, bf16.
        v = (sums_of_products(n, image, 0) + bias).astype(F32)
    elif not x.codes:  # Hybrid: the image is quantized by its own range.
        low, high = min(image.min(), F32(0)), max(image.max(), F32(0))
        scale = max((high - low) / F32(255), F32(1e-30))
        zero = np.rint(min(-low / scale, F32(255)))
        image = np.rint(np.clip(image * (F32(1) / scale), -zero, F32(255) - zero))
        v = sums_of_products(n, image, 0).astype(F32) * (scale * scales.value) + bias
    else:  # int8, int16x8
        acc, real = sums_of_products(n, image, padding.value if padding else x.zero) + bias, factor(x.scale, y, scales.value)
        once = n.op == "dense" or n.kernel == FULLY_CONNECTED
        if n.tflite and residual is None and x.i16:
            v = acc * real if once else Fixed(np.minimum(real, 127.0)).times_wide(acc.astype(I64)).astype(F64)
            return to_bytes(np.copysign(np.floor(np.abs(v) + 0.5), v), y, n.activation)
        if n.tflite and residual is None:
            return to_bytes(Fixed(real).times(acc.astype(I64), once), y, n.activation)
        above = np.floor(acc / 256)
        v = (above.astype(F32) * F32(256) + (acc - 256 * above).astype(F32) if x.i16 else acc.astype(F32)) * real.astype(F32)
        if y.codes and residual is not None: v = v + relative(residual).astype(F32) * F32(factor(residual.scale, y))
        if y.codes: return to_bytes(v, y, n.activation)
    return clamp(v if residual is None else v + residual.value, n.activation)

def max_pool(n): return windows(n, n.x.value[0], -32768 if n.x.i16 else 0 if n.x.codes else -np.inf).max((-2, -1))

def whole_mean(total, count): return np.sign(total) * ((2 * np.abs(total) + count) // (2 * count))

def tflite_average(n, v):
    if n.y.i16: return v
    pivot = F32((0 if n.kernel == UINT8_AVERAGE else 128) - n.y.zero)
    return v + np.copysign(F32(2**-13), v - pivot) if n.tflite else v

def average_pool(n):
    x, y = n.x, n.y
    count = windows(n, np.ones((*x.shape[1:3], 1), F32), n.count_padding).sum((-2, -1))
    taps = windows(n, relative(x)[0] if x.codes else x.value[0], 0)
    total = sum(taps[..., i, j] for i in range(n.size[0]) for j in range(n.size[1]))  # Floats in this order.
    if not y.codes: return total * (F32(1) / count)
    if n.tflite and x.i16 and x.scale == y.scale: return to_bytes(whole_mean(total, count.astype(I64)), y)
    return to_bytes(tflite_average(n, total.astype(F32) * (F32(factor(x.scale, y)) / count)), y)

def global_average_pool(n):
    x, y, count = n.x, n.y, n.x.shape[1] * n.x.shape[2]
    if not x.codes:
        return (F32(0) + np.cumsum(x.value.reshape(count, -1), 0)[-1]) * (F32(1) / F32(count))  # In the order of pixels.
    total = relative(x).reshape(count, -1).sum(0)
    v = total.astype(F32) * F32(F64(x.scale) / (count * F64(y.scale or 1)))
    if not y.codes: return v
    if n.tflite and (n.kernel == MEAN or (x.scale, x.zero) != (y.scale, y.zero)):
        return to_bytes(Fixed(factor(x.scale, y), count).times(total), y)
    if n.tflite and x.i16: return to_bytes(whole_mean(total, count), y)
    return to_bytes(tflite_average(n, v), y)

def add(n):
    (a, b), y = n.inputs, n.y
    if not y.codes: return clamp(a.value + b.value, n.activation)
    if n.tflite: return to_bytes(tflite_sum(relative(a), a.scale, relative(b), b.scale, y), y, n.activation)
    terms = [relative(t).astype(F32) * F32(factor(t.scale, y)) for t in (a, b)]
    return to_bytes(terms[0] + terms[1], y, n.activation)

def mul(n):
    (a, b), y = n.inputs, n.y
    if not y.codes: return a.value * b.value
    if n.tflite:
        return to_bytes(Fixed(F64(a.scale * b.scale / y.scale)).times(relative(a) * relative(b)), y)  # A quotient in binary32.
    return to_bytes((relative(a) * relative(b)).astype(F32) * F32(factor(a.scale, y, b.scale)), y)

def scale_shift(n):
    x, scale, shift, y = n.x, n.inputs[1].value, n.inputs[2].value, n.y
    if not y.codes: return clamp(x.value * scale + shift, n.activation)
    v = tflite_constant(n, scale, shift) if n.tflite else None
    if v is None: v = relative(x).astype(F32) * factor(x.scale, y, scale).astype(F32) + factor(shift, y).astype(F32)
    return to_bytes(v, y, n.activation)

def tflite_constant(n, scale, shift):
    """4.2: MUL, ADD or QUANTIZE, or None where none of them is meant."""
    x, y, no_scale, no_shift = n.x, n.y, (scale == 1).all(), (shift == 0).all()
    if n.inputs[3] is None: return Fixed(factor(x.scale, y)).times(relative(x)) if no_scale and no_shift else None
    unit = n.inputs[3].value[0]
    are_multiples = lambda v: (abs(v / unit) <= (2**15 if x.i16 else 512)).all() and (abs(v / unit - np.rint(v / unit)) < F32(0.01)).all()
    is_mul = no_shift and (not no_scale or are_multiples(F32(1)))
    constant = scale if is_mul else shift
    if not (no_scale or no_shift) or not are_multiples(constant): return None
    k = np.rint(constant / unit).astype(I64)
    return Fixed(F64(x.scale * unit / y.scale)).times(relative(x) * k) if is_mul else tflite_sum(relative(x), x.scale, k, unit, y)

def table(low, high, f):
    """4.2: SOFTMAX. 513 numbers in 2^15ths."""
    at, half = np.linspace(low, high, 513), (high - low) / 1024
    rounded = lambda v: np.floor(v + 0.5)  # All are above 0.
    value, exact = rounded(f(at) * 2**15), f(at) * 2**15
    error = rounded((exact[1:] + value[:-1]) / 2) - rounded(f(at[:-1] + half) * 2**15)
    return np.append(np.minimum(value[:-1] - np.copysign(np.floor(np.abs(error / 2) + 0.5), error), 32767), min(value[-1], 32767)).astype(I64)

def look_up(table, v):
    index = 256 + (v >> 7)
    return table[index] + (((table[index + 1] - table[index]) * (v & 127) + 64) >> 7)

def tflite_softmax(n):
    x, saturate = n.x.value.astype(I64), lambda v: np.clip(v, -(2**15), 2**15 - 1)
    differences = Fixed(F64(n.x.scale) / (10 / 65535)).times(x - x.max(-1, keepdims=True))
    e = look_up(table(-10.0, 0.0, np.exp), saturate(differences + 32767))
    total = e.sum(-1, keepdims=True)
    bits = np.frexp(total.astype(F64))[1].astype(I64)  # Of the total.
    mantissa = ((total << (31 - bits)) + 2**13) >> 14
    reciprocal = look_up(table(0.0, 1.0, lambda v: 1 / (1 + v)), saturate(mantissa - 2**15 - 2**16))
    return np.clip((e * reciprocal + (I64(1) << (bits - 2))) >> (bits - 1), 0, 2**15 - 1)

def relu(n, activation=RELU): return to_bytes(relative(n.x), n.y, activation) if n.y.codes else clamp(n.x.value, activation)
def relu6(n): return relu(n, RELU6)
def pad(n): return np.pad(n.x.value, list(zip(n.begin, n.end))[: n.x.value.ndim], constant_values=code(n.value, n.y))
def slice_(n): return n.x.value[tuple(map(slice, n.begin, n.end, n.step))[: n.x.value.ndim]]
def concat(n): return np.concatenate([t.value for t in n.inputs], n.axis)
def reshape(n): return n.x.value.reshape(n.y.shape)

def real(n): return n.x.value.astype(F64)
def softmax(n): return tflite_softmax(n) if n.y.codes else np.exp(log_softmax(n))
def log_softmax(n): return real(n) - np.logaddexp.reduce(real(n), -1, keepdims=True)
def sigmoid(n): return 1 / (1 + np.exp(-real(n)))
def tanh(n): return np.tanh(real(n))
def quantize(n):
    x, y = n.x, n.y
    if not y.codes: return x.value
    if x.codes:
        return to_bytes(Fixed(factor(x.scale, y)).times(relative(x)) if n.tflite else relative(x).astype(F32) * F32(factor(x.scale, y)), y)
    v = (x.value / y.scale).astype(F64)
    return to_bytes(np.copysign(np.floor(np.abs(v) + 0.5), v) if n.tflite else x.value * (F32(1) / y.scale), y)

def dequantize(n): return relative(n.x).astype(F32) * n.x.scale if n.x.codes else n.x.value
def clip(n): return np.minimum(np.maximum(n.x.value, code(n.limits[0], n.y)), code(n.limits[1], n.y))

OPERATORS = (  # By number: name, function, inputs required and at most.
    ("conv2d", conv2d, 2, 6), ("dense", conv2d, 2, 5), ("max_pool", max_pool, 1, 1), ("average_pool", average_pool, 1, 1),
    ("global_average_pool", global_average_pool, 1, 1), ("add", add, 2, 2), ("mul", mul, 2, 2), ("scale_shift", scale_shift, 3, 4),
    ("relu", relu, 1, 1), ("relu6", relu6, 1, 1), ("pad", pad, 1, 1), ("slice", slice_, 1, 1), ("concat", concat, 2, math.inf),
    ("reshape", reshape, 1, 1), ("softmax", softmax, 1, 1), ("quantize", quantize, 1, 1), ("dequantize", dequantize, 1, 1),
    ("clip", clip, 1, 1), ("sigmoid", sigmoid, 1, 1), ("tanh", tanh, 1, 1), ("log_softmax", log_softmax, 1, 1))

# ---- 5. Layouts ----

def padded(count, to=16): return -(-count // to) * to

def unpack(t, data):
    """The constant that begins where data does, in its logical order, and its size in bytes."""
    dtype = np.dtype("<u2" if is_bf16(t) else t.dtype)
    widen = lambda v: (v.astype(np.uint32) << 16).view(F32) if is_bf16(t) else v
    if t.layout == PLAIN:
        return widen(np.frombuffer(data, dtype, math.prod(t.shape)).reshape(t.shape)), math.prod(t.shape) * dtype.itemsize
    depth = math.prod(t.shape[2:]) if t.layout == PANEL_ROW else t.shape[-1]
    group = 1 if t.layout == DEPTHWISE else 4 if t.dtype == "i1" else 2 if is_bf16(t) else 1
    stored = (padded(t.shape[0]) // 16, math.prod(t.shape[1:]) // depth, padded(depth, group) // group, 16, group)
    lines = np.frombuffer(data, dtype, math.prod(stored)).reshape(stored)  # [panel, tap, depth / group, channel, group]
    taps = lines.transpose(0, 3, 1, 2, 4).reshape(padded(t.shape[0]), stored[1], -1)
    return widen(taps[: t.shape[0], :, :depth].reshape(t.shape)), lines.nbytes

def layout_of_weights(n):
    out, *_, depth = n.inputs[1].shape
    if n.groups > 1:
        return DEPTHWISE if depth == 1 and n.groups == out else PANEL if depth % 4 == 0 == out // n.groups % 4 else PLAIN
    return PANEL_ROW if n.op == "conv2d" and depth < 4 and n.dilation == (1, 1) else PANEL

# ---- 6. Constants ----

def read_constants(tensors, data):
    end = 0
    for t in sorted((t for t in tensors if t.constant), key=lambda t: t.offset):
        require(t.offset == padded(end, 64), f"constant '{t.name}': found at {t.offset}, expected at {padded(end, 64)}")
        require(not any(data[end : t.offset]), f"constant '{t.name}': the bytes in front of it must be 0")
        t.value, size = unpack(t, data[t.offset :])
        end = t.offset + size
    require(end == len(data), f"constants: {len(data) - end} bytes are left over")

# ---- 7. Reading and running ----

def load(data):
    features, (metadata, tensors, nodes, interface, golden), constants = read_header(data)
    g = SimpleNamespace(metadata=read_metadata(*metadata, features), tensors=[read_tensor(tensors[0], i, features) for i in range(tensors[1])])
    g.nodes = [read_node(nodes[0], g.tensors, features) for _ in range(nodes[1])]
    g.inputs, g.outputs = read_interface(*interface, g.tensors, features)
    g.seed, g.golden = golden[0].take("Q"), golden[0].finite(golden[1], "values")
    for section, _ in metadata, tensors, nodes, interface, golden:
        section.require(section.at == len(section.data), f"{len(section.data) - section.at} bytes are left over")
    read_constants(g.tensors, constants)
    int16 = g.metadata.precision == 4 or any(t.dtype in DTYPES[5:7] for t in g.tensors)
    require(int16 == bool(features & INT16), "required features: bit 3 must stand where something is of 16 bits")
    g.bf16 = g.metadata.precision == 5 or any(is_bf16(t) for t in g.tensors)
    require(g.bf16 == bool(features & BF16), "required features: bit 5 must stand where something is bfloat16")
    if features & PIXEL_CODES:
        x = g.inputs[0]
        scales, zeros = g.metadata.scales[: x.shape[-1]], g.metadata.zeros[: x.shape[-1]]
        image = len(g.inputs) == 1 and len(x.shape) == 4 and x.shape[3] in (1, 3)
        image = image and x.dtype == "u1" and (x.scale, x.zero) == (1, 0)
        require(image, "codes that are pixels: expected one input, an image of scale 1 and zero point 0")
        require((scales > 0).all() and np.isfinite([scales, F32(1) / scales, zeros]).all(), "codes that are pixels: the preprocessing's numbers")
        require((scales != 1).any() or (zeros != 0).any(), "codes that are pixels: there is no preprocessing")
    return g

def check_node(n):
    """Of chapter 4 what the operators' functions would not notice."""
    conv, window = n.op in ("conv2d", "dense"), n.op in ("conv2d", "max_pool", "average_pool")
    constants = n.inputs[1:3] + n.inputs[4:] if conv else n.inputs[1:] if n.op == "scale_shift" else []
    activations = [n.x, n.inputs[3]] if conv else [n.x] if constants else n.inputs
    for t in (t for t in constants + activations if t):
        require(t.constant == any(t is c for c in constants), f"node '{n.name}': '{t.name}' must be a constant, or must be none")
        require(t.value is not None, f"node '{n.name}': '{t.name}' is not computed yet")
    require(not n.y.constant and n.y.value is None, f"node '{n.name}': '{n.y.name}' is a constant or computed already")
    require(not conv or n.inputs[1].layout == layout_of_weights(n), f"node '{n.name}': the layout of its weights")
    require(not window or min(n.size + n.stride + n.dilation + (n.groups,)) > 0, f"node '{n.name}': found a window of 0")
    if n.op in ("add", "mul") or conv and activations[1]:
        require(activations[1].shape == n.y.shape, f"node '{n.name}': found shape {activations[1].shape}, expected {n.y.shape}")
    if n.op in ("max_pool", "relu", "relu6", "pad", "slice", "concat", "reshape", "clip"):
        require(all((t.scale, t.zero) == (n.y.scale, n.y.zero) for t in activations), f"node '{n.name}': found two quantizations")

def run(g, inputs):
    for t, value in zip(g.inputs, inputs):
        require(value.shape == t.shape and value.dtype == t.dtype, f"input '{t.name}': expected {t.dtype} {t.shape}")
        t.value = value
    for n in g.nodes:
        check_node(n)
        value = n.run(n)
        require(value.shape in (n.y.shape, n.y.shape[1:], n.y.shape[-1:]), f"node '{n.name}': found shape {value.shape}, expected {n.y.shape}")
        n.y.value = rounded_to(n.y, value.reshape(n.y.shape))

def main(args):
    parser = argparse.ArgumentParser()
    for name, how in ("model", {}), ("inputs", {"nargs": "*"}), ("--seed", {"type": int}), ("--output", {}), ("--dump-layers", {}):
        parser.add_argument(name, **how)
    args = parser.parse_args(args)
    np.seterr(all="ignore")
    try:
        g = load(np.fromfile(args.model, np.uint8).tobytes())
        run(g, [np.load(path) for path in args.inputs] or [generate(g.seed if args.seed is None else args.seed, t) for t in g.inputs])
    except (Refused, ValueError) as e:  # NumPy's are of shapes and sizes that contradict each other.
        print(f"{args.model}: {e}", file=sys.stderr)
        return 1
    y = g.outputs[0].value
    if args.output: np.save(args.output, y)
    for t in (t for t in g.tensors if args.dump_layers and not t.constant):
        np.save(f"{args.dump_layers}/{t.id}.npy", t.value)
    # Sums in another order round some activations of bfloat16 the other way, and what follows from them.
    near = 2**-5 * abs(g.golden).max(initial=0) if g.bf16 else 1e-6
    right = args.inputs or args.seed is not None or not g.golden.size or np.allclose(y.ravel(), g.golden, 1e-4, near)
    print(y.ravel(), "" if right else f"expected {g.golden}")
    return 0 if right else 1

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
