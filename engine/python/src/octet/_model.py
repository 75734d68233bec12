"""Model: a file, immutable, shared by any number of sessions and threads."""

from __future__ import annotations

import ctypes
import os
from typing import Any, NamedTuple, Optional, Tuple, Union

from ._library import DTYPE_NAMES, Error, Status, Tensor, call, lib, text
from ._session import Session


class TensorDescription(NamedTuple):
    """An input or output."""

    name: str
    dtype: str
    """"float32", "uint8" or "int16"; of the latter two: real = scale * (code - zero_point)."""
    shape: Tuple[int, ...]
    """NHWC or NC, the batch written as 1."""
    scale: float
    zero_point: int
    channel_scale: Tuple[float, ...]
    """Of a uint8 input whose codes are pixels, one for each channel, and then ``scale`` is 0; else
    empty: real = channel_scale[c] * (code - channel_zero_point[c])."""
    channel_zero_point: Tuple[float, ...]
    channels_first: bool
    """Whether the source's arrays were NCHW. run() takes and gives NHWC whatever it says."""


class ModelDescription(NamedTuple):
    """All that a model says of itself; ``_asdict()`` is the same as a dict."""

    name: str
    precision: str
    """"fp32", "fp16", "bf16", "hybrid", "int8" or "int16x8"."""
    source: str
    options: str
    """Of the converter, that shaped the file."""
    inputs: Tuple[TensorDescription, ...]
    outputs: Tuple[TensorDescription, ...]
    labels: Tuple[str, ...]
    parameters: int
    macs: int
    """Multiply-accumulates of one image."""
    operators: int
    file_size: int
    """Bytes, of which ``weight_bytes`` are constants."""
    weight_bytes: int
    checksum: str
    """The file's own, XXH3-64 of all its other bytes, 16 hexadecimal digits. It was verified."""


class Report:
    """The page that ``octet_convert --report`` wrote beside a model. Jupyter shows it."""

    def __init__(self, path: str):
        self.path = path

    @property
    def html(self) -> str:
        """The page itself."""
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"octet.Report({self.path!r})"

    def _repr_html_(self) -> str:
        return (f'<iframe srcdoc="{_escape(self.html)}" sandbox="allow-scripts" '
                'style="width: 100%; height: 40em; border: 0"></iframe>')


def _escape(text: str) -> str:
    import html  # Its table of entities takes 2 ms.

    return html.escape(text)


def _describe_tensor(function: Any, channels_first: Any, handle: ctypes.c_void_p, index: int) -> TensorDescription:
    tensor = Tensor()
    function(handle, index, ctypes.byref(tensor))
    shape = tuple(tensor.shape[: tensor.rank])
    dtype = DTYPE_NAMES[tensor.dtype]
    channels = shape[-1] if dtype != "float32" and tensor.scale == 0.0 else 0
    return TensorDescription(text(tensor.name), dtype, shape, tensor.scale, tensor.zero_point,
                             tuple(tensor.channel_scale[:channels]),
                             tuple(tensor.channel_zero_point[:channels]),
                             channels_first(handle, index) != 0)


# Where in the file its checksum stands (formats/SPEC.md).
_CHECKSUM = slice(32, 40)


def _identity(path: str) -> Tuple[int, ...]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read_checksum(header: bytes) -> str:
    return header[_CHECKSUM][::-1].hex()


class Model:
    """An .octet file, by its path or its bytes.

    A path is mapped: processes share one copy in memory. A model is immutable, may be used by any
    threads, and pickles by its absolute path; unpickling opens the file there, and raises Error
    when it is not the same model any more. One of bytes pickles its bytes.

    Raises Error for what is not there, is damaged, or is no model.
    """

    def __init__(self, model: Union[str, os.PathLike[str], bytes, bytearray, memoryview]):
        self._handle = ctypes.c_void_p()
        self._path: Optional[str] = None
        self._bytes: Optional[bytes] = None
        self._found: Optional[Tuple[int, ...]] = None  # Which file it was.
        self._hash: Optional[str] = None
        if isinstance(model, (bytes, bytearray, memoryview)):
            self._bytes = bytes(model)  # Used in place, and so kept; those of bytes do not change.
            call(lib.octet_model_from_memory, self._bytes, len(self._bytes), ctypes.byref(self._handle))
            self._checksum = _read_checksum(self._bytes)
        elif isinstance(model, (str, os.PathLike)):
            self._path = os.path.abspath(os.fspath(model))
            self._found = _identity(self._path) if os.path.exists(self._path) else None
            call(lib.octet_model_load, os.fsencode(os.fspath(model)), ctypes.byref(self._handle))
            with open(self._path, "rb") as file:
                self._checksum = _read_checksum(file.read(_CHECKSUM.stop))
            if _identity(self._path) != self._found:
                raise Error(Status.IO, f"{self._path}: was replaced while it was opened")
        else:
            raise Error(Status.INVALID_ARGUMENT,
                        f"model: found {type(model).__name__}, expected a path or the bytes of a model file")
        self._description: Optional[ModelDescription] = None

    def __del__(self) -> None:
        if lib is not None and getattr(self, "_handle", None):
            lib.octet_model_destroy(self._handle)
            self._handle = ctypes.c_void_p()

    @property
    def path(self) -> Optional[str]:
        """The absolute path; None for a model of bytes."""
        return self._path

    def describe(self) -> ModelDescription:
        """What the file says of itself."""
        if self._description is None:
            h = self._handle
            self._description = ModelDescription(
                name=text(lib.octet_model_name(h)),
                precision=text(lib.octet_model_precision(h)),
                source=text(lib.octet_model_source(h)),
                options=text(lib.octet_model_conversion_options(h)),
                inputs=tuple(_describe_tensor(lib.octet_model_input, lib.octet_model_input_channels_first, h, i)
                             for i in range(lib.octet_model_num_inputs(h))),
                outputs=tuple(_describe_tensor(lib.octet_model_output, lib.octet_model_output_channels_first, h, i)
                              for i in range(lib.octet_model_num_outputs(h))),
                labels=tuple(text(lib.octet_model_label(h, i)) for i in range(lib.octet_model_num_labels(h))),
                parameters=lib.octet_model_parameters(h),
                macs=lib.octet_model_macs(h),
                operators=lib.octet_model_operators(h),
                file_size=lib.octet_model_file_size(h),
                weight_bytes=lib.octet_model_weight_bytes(h),
                checksum=self._checksum)
        return self._description

    @property
    def labels(self) -> Tuple[str, ...]:
        """Names of the classes, by index; empty when the model has none."""
        return self.describe().labels

    def session(self, threads: int = 1, isa: Optional[str] = None, max_batch: int = 32) -> Session:
        """Working memory to run the model with; see Session."""
        return Session(self, threads=threads, isa=isa, max_batch=max_batch)

    def sha256(self) -> str:
        """SHA-256 of the file's bytes, 64 hexadecimal digits. Raises Error when there is another
        file at the path by now."""
        if self._hash is None:
            import hashlib

            content = self._bytes
            if content is None:
                assert self._path is not None
                found: Any = "none"
                try:
                    with open(self._path, "rb") as file:
                        content = file.read()
                    found = _identity(self._path)
                except OSError:
                    pass
                if content is None or found != self._found:
                    raise Error(Status.IO, f"{self._path}: was replaced or removed since it was opened")
            self._hash = hashlib.sha256(content).hexdigest()
        return self._hash

    def verify(self) -> None:
        """Runs the input that the file stores on this machine; raises Error when the answer is not
        the stored one."""
        call(lib.octet_model_verify, self._handle)

    def report(self) -> Report:
        """The HTML report beside the file: FILE.html, the same without .octet, or a report.html
        that is about this file. Raises Error (NOT_FOUND) when there is none."""
        if self._path is None:
            raise Error(Status.NOT_FOUND, "a model of bytes has no report beside it, expected one of a path")
        folder, name = os.path.split(self._path)
        own = [self._path + ".html", os.path.splitext(self._path)[0] + ".html"]
        for path in own:
            if os.path.isfile(path):
                return Report(path)
        common = Report(os.path.join(folder, "report.html"))
        if os.path.isfile(common.path) and _escape(name) in common.html:
            return common
        raise Error(Status.NOT_FOUND,
                    f"{self._path}: has no report beside it, neither {own[0]} nor {own[1]} nor a report.html of it; "
                    "octet_convert --report=FILE.html writes one")

    def __reduce__(self) -> Any:
        if self._bytes is not None:
            return Model, (self._bytes,)
        return _reopen, (self._path, self._checksum)

    def __repr__(self) -> str:
        d = self.describe()
        where = repr(self._path) if self._path is not None else f"<{d.file_size} bytes>"
        return f"octet.Model({where}): {d.name}, {d.precision}, {_shapes(d.inputs)} -> {_shapes(d.outputs)}"

    def _repr_html_(self) -> str:
        d = self.describe()
        rows = [("name", d.name), ("file", self._path or "bytes"), ("size", f"{d.file_size:,} bytes"),
                ("precision", d.precision), ("source", d.source), ("inputs", _shapes(d.inputs)),
                ("outputs", _shapes(d.outputs)), ("labels", _some(d.labels)),
                ("parameters", f"{d.parameters:,}"), ("multiply-accumulates", f"{d.macs:,}"),
                ("operators", f"{d.operators}"), ("checksum", d.checksum)]
        cells = "".join(f"<tr><th>{key}</th><td>{_escape(value)}</td></tr>" for key, value in rows)
        return f"<table>{cells}</table>"


def _shapes(tensors: Tuple[TensorDescription, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype}[{','.join(map(str, t.shape))}]" for t in tensors)


def _some(labels: Tuple[str, ...]) -> str:
    shown = ", ".join(labels[:5])
    return f"{len(labels)}: {shown}{', ...' if len(labels) > 5 else ''}" if labels else "none"


def _reopen(path: str, checksum: str) -> Model:
    """A pickled model."""
    model = Model(path)
    if model._checksum != checksum:
        raise Error(Status.INVALID_ARGUMENT,
                    f"{path}: found a model with checksum {model._checksum}, expected {checksum}, which was pickled")
    return model
