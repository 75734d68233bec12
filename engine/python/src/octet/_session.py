"""Session: runs a model."""

from __future__ import annotations

import ctypes
import operator
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from ._library import Buffer, Error, Image, Status, call, lib, text

if TYPE_CHECKING:
    import numpy as np

    from ._model import Model, TensorDescription

    Encoded = Union[bytes, bytearray, memoryview]
    Photo = Union[str, os.PathLike[str], Encoded, np.ndarray]


class Prediction(NamedTuple):
    """One class of an answer."""

    index: int  # type: ignore[assignment]  # tuple.index is not needed.
    label: Optional[str]
    """None where the model has no labels."""
    probability: float


def _is_array(value: Any) -> bool:
    # Whoever has an array has imported NumPy.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _found(value: Any) -> str:
    """For errors: what an argument is."""
    if _is_array(value):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return type(value).__name__


def _invalid(sentence: str) -> Error:
    return Error(Status.INVALID_ARGUMENT, sentence)


def _whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise _invalid(f"{name}: found {value!r}, expected a whole number") from None
    if abs(number) > 2**31 - 1:
        raise _invalid(f"{name}: found {number}, expected less than 2^31")
    return number


def _check_pixels(pixels: Any, expected: str, rank: int) -> Any:
    """A contiguous array of photos, which is the caller's where that is so already."""
    import numpy as np

    if pixels.dtype != np.uint8 or pixels.ndim != rank or pixels.shape[-1] != 3 or 0 in pixels.shape[-3:]:
        raise _invalid(f"image: found {_found(pixels)}, expected {expected}")
    if max(pixels.shape[-3:]) > 2**31 - 1:
        raise _invalid(f"image: found {_found(pixels)}, expected sides of less than 2^31")
    return np.ascontiguousarray(pixels)


def _encoded(images: Iterable[Encoded]) -> List[bytes]:
    encoded: List[Any] = list(images)
    for i, image in enumerate(encoded):
        if type(image) is bytes:
            continue
        if not isinstance(image, (bytes, bytearray, memoryview)):
            raise _invalid(f"image {i}: found {_found(image)}, expected the bytes of an image file")
        encoded[i] = bytes(image)
    return encoded


def _addresses(encoded: List[bytes]) -> Tuple[Any, Any]:
    """Arrays of where photos are and of their sizes."""
    count = len(encoded)
    return (ctypes.c_char_p * count)(*encoded), (ctypes.c_size_t * count)(*map(len, encoded))


def _name(i: int, key: Any) -> bytes:
    """A key for the library; bytes of a path that are not UTF-8 are what os.fsdecode made of them."""
    if not isinstance(key, str):
        raise _invalid(f"key {i}: found {_found(key)}, expected str")
    try:
        name = key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _invalid(f"key {i}: found {key!r}, expected text without surrogates") from None
    if b"\0" in name:
        raise _invalid(f"key {i}: found {key!r}, expected text without null characters")
    return name


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]  # A third of the time of array.ctypes.data.
    return address


class Session:
    """Working memory and threads for one model.

    ``threads`` share one image in classify() and run(); in classify_batch() each has photos of its
    own. Answers do not depend on how many there are. ``isa`` is an instruction set by name, the
    best one when None. run() computes at most ``max_batch`` images at once.

    The interpreter's lock is released while octet computes. Calls from several Python threads are
    safe, and wait for each other: use a session per thread to compute at the same time. A session
    pickles as its model and options and is opened again on arrival. After close(), or the end of
    its ``with`` block, every call raises Error.
    """

    def __init__(self, model: Model, threads: int = 1, isa: Optional[str] = None, max_batch: int = 32):
        self._lock = threading.Lock()
        self._sessions: List[ctypes.c_void_p] = []  # The first one, and those of further threads.
        self._scorers: Dict[int, ctypes.c_void_p] = {}  # By the number of classes in a row.
        self._main: Optional[ctypes.c_void_p] = None
        if not (isa is None or isinstance(isa, str)):
            raise _invalid(f"isa: found {isa!r}, expected a name or None")
        self._model = model
        self._threads = _whole("threads", threads)
        self._isa = isa
        self._max_batch = _whole("max_batch", max_batch)
        self._main = self._create(self._threads, self._max_batch)

    def _create(self, threads: int, max_batch: int) -> ctypes.c_void_p:
        options = ctypes.c_void_p(lib.octet_session_options_create())
        session = ctypes.c_void_p()
        try:
            lib.octet_session_options_set_num_threads(options, threads)
            lib.octet_session_options_set_max_batch(options, max_batch)
            lib.octet_session_options_set_isa(options, None if self._isa is None else self._isa.encode())
            call(lib.octet_session_create_with_options, self._model._handle, options, ctypes.byref(session))
        finally:
            lib.octet_session_options_destroy(options)
        return session

    def _destroy(self) -> None:
        main, self._main = self._main, None
        workers, self._sessions = self._sessions, []
        scorers, self._scorers = self._scorers, {}
        for scorer in scorers.values():
            lib.octet_python_scorer_destroy(scorer)
        for session in workers + ([main] if main is not None else []):
            lib.octet_session_destroy(session)

    def __del__(self) -> None:
        if lib is not None and hasattr(self, "_main"):
            self._destroy()

    def close(self) -> None:
        """Gives threads and memory back, after a call that is running elsewhere. Can be repeated."""
        with self._lock:
            self._destroy()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return Session, (self._model, self._threads, self._isa, self._max_batch)

    def __repr__(self) -> str:
        state = "closed" if self._main is None else f"isa={self.isa!r}"
        return f"<octet.Session of {self._model!r}, threads={self._threads}, max_batch={self._max_batch}, {state}>"

    @property
    def model(self) -> Model:
        """The model that it runs."""
        return self._model

    @property
    def threads(self) -> int:
        """As it was asked for."""
        return self._threads

    @property
    def max_batch(self) -> int:
        """As it was asked for."""
        return self._max_batch

    @property
    def isa(self) -> str:
        """The instruction set in use, e.g. "avx2"."""
        with self._lock:
            return text(lib.octet_session_isa(self._open()))

    def _open(self) -> ctypes.c_void_p:
        if self._main is None:
            raise _invalid("the session is closed")
        return self._main

    def classify(self, image: Photo, top: int = 5) -> List[Prediction]:
        """The ``top`` best classes of a photo, best first.

        ``image`` is the path of a JPEG, PNG, BMP or PNM file, its bytes, or pixels as they lie in
        memory, uint8[height,width,3] in the order RGB. Files are decoded as the model says. Raises
        Error for what is none.
        """
        count = _whole("top", top)
        if count < 0:
            raise _invalid(f"top: found {count}, expected at least 0")
        count = min(count, self._model.describe().outputs[0].shape[-1])
        indices = (ctypes.c_int * max(count, 1))()
        probabilities = (ctypes.c_float * max(count, 1))()
        written = ctypes.c_int()
        answer = count, indices, probabilities, ctypes.byref(written)
        if _is_array(image):
            pixels = _check_pixels(image, "uint8[height,width,3]", 3)
            view = Image(pixels=_address(pixels), width=pixels.shape[1], height=pixels.shape[0])
            with self._lock:
                call(lib.octet_session_classify, self._open(), ctypes.byref(view), *answer)
        elif isinstance(image, (bytes, bytearray, memoryview)):
            encoded = bytes(image)
            with self._lock:
                call(lib.octet_python_classify, self._open(), None, encoded, len(encoded), *answer)
        elif isinstance(image, (str, os.PathLike)):
            path = os.fsencode(os.fspath(image))
            with self._lock:
                call(lib.octet_python_classify, self._open(), path, None, 0, *answer)
        else:
            raise _invalid(f"image: found {_found(image)}, expected a path, the bytes of an image file or "
                           "uint8[height,width,3]")
        labels = self._model.labels
        return [Prediction(indices[i], labels[indices[i]] if labels else None, probabilities[i])
                for i in range(written.value)]

    def classify_batch(self, images: Union[Iterable[Encoded], np.ndarray], errors: str = "raise") -> np.ndarray:
        """The probabilities of all classes, float32[N,classes].

        ``images`` are the bytes of N image files, or pixels, uint8[N,height,width,3] in the order
        RGB. They are decoded and computed in native code by the session's threads, each photo by
        one of them. With ``errors="nan"`` a photo that cannot be had has a row of NaN; with
        ``errors="raise"`` the first of them is the Error. No images are float32[0,classes].
        """
        import numpy as np

        if errors not in ("raise", "nan"):
            raise _invalid(f"errors: found {errors!r}, expected 'raise' or 'nan'")
        if isinstance(images, np.ndarray) and images.dtype != object:
            pixels = _check_pixels(images, "uint8[N,height,width,3]", 4)
            count, height, width, _ = pixels.shape
            function = lib.octet_python_classify_pixels
            photos: Tuple[Any, ...] = _address(pixels), count, height, width
        else:
            if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)):
                raise _invalid(f"images: found {_found(images)}, expected a list of the bytes of image files or "
                               "uint8[N,height,width,3]")
            encoded = _encoded(images)
            count = len(encoded)
            function = lib.octet_python_classify_encoded
            photos = *_addresses(encoded), count
        classes = self._model.describe().outputs[0].shape[-1]
        probabilities = np.empty((count, classes), np.float32)
        with self._lock:
            sessions = self._batch_sessions(count)
            call(function, (ctypes.c_void_p * len(sessions))(*sessions), len(sessions), *photos,
                 int(errors == "nan"), _address(probabilities), probabilities.size)
        return probabilities

    def score(self, keys: Iterable[str], images: Optional[Iterable[Encoded]] = None, top: int = 5) -> List[str]:
        """Rows of JSON, as ``octet score --top=TOP`` writes them, without the line breaks.

        ``images`` are the bytes of as many image files as there are ``keys``, which name them in
        the rows; without ``images`` keys are paths. A row has the key, CRC-32C of the bytes, the
        ``top`` best classes, the margin and the model's hash; of an image that cannot be had, an
        error. Rows are the same for any number of threads and, of models whose outputs are exact,
        on any machine. Raises Error for a model that is no classifier of one image, and where its
        file is another one by now.
        """
        classes = _whole("top", top)
        if classes < 1:
            raise _invalid(f"top: found {classes}, expected at least 1")
        if isinstance(keys, (str, bytes)):
            raise _invalid(f"keys: found {_found(keys)}, expected a list of str")
        names = [_name(i, key) for i, key in enumerate(keys)]
        count = len(names)
        photos: Tuple[Any, Any] = None, None
        if images is not None:
            if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)):
                raise _invalid(f"images: found {_found(images)}, expected a list of the bytes of image files")
            encoded = _encoded(images)
            if len(encoded) != count:
                raise _invalid(f"images: found {len(encoded)} for {count} keys, expected one each")
            photos = _addresses(encoded)
        rows, size = ctypes.c_void_p(), ctypes.c_size_t()
        with self._lock:
            self._open()
            if classes not in self._scorers:
                scorer = ctypes.c_void_p()
                call(lib.octet_python_scorer_create, self._model._handle, self._model.sha256()[:16].encode(), classes,
                     self._threads, None if self._isa is None else self._isa.encode(), ctypes.byref(scorer))
                self._scorers[classes] = scorer
            call(lib.octet_python_score, self._scorers[classes], (ctypes.c_char_p * count)(*names), *photos, count,
                 ctypes.byref(rows), ctypes.byref(size))
        try:
            return ctypes.string_at(rows.value or 0, size.value).decode().split("\n")[:-1]
        finally:
            lib.octet_free(rows)

    def _batch_sessions(self, count: int) -> List[ctypes.c_void_p]:
        """A session for each thread that there is work for."""
        main = self._open()
        if self._threads == 1:
            return [main]
        # Photos are shared by sessions of one thread: nothing is waited for in each layer.
        wanted = max(1, min(self._threads, count))
        while len(self._sessions) < wanted:
            self._sessions.append(self._create(1, 1))
        return self._sessions[:wanted]

    def run(self, *inputs: np.ndarray) -> Union[np.ndarray, Tuple[np.ndarray, ...]]:
        """Any tensors: the network's inputs as describe() has them, in order, with any batch in
        front, the same of all. Gives the output, or a tuple of several, in fresh arrays.

        Nothing is copied of inputs that are contiguous, others are made so first. Raises Error for
        another number of them, and for other types and shapes.
        """
        import numpy as np

        description = self._model.describe()
        if len(inputs) != len(description.inputs):
            raise _invalid(f"inputs: found {len(inputs)}, expected {len(description.inputs)}: "
                           + ", ".join(t.name for t in description.inputs))
        batch = inputs[0].shape[0] if _is_array(inputs[0]) and inputs[0].ndim > 0 else 0
        arrays = []
        for value, tensor in zip(inputs, description.inputs):
            if (not _is_array(value) or value.dtype != np.dtype(tensor.dtype) or batch < 1
                    or value.shape != (batch,) + tensor.shape[1:]):
                expected = f"{tensor.dtype}[{batch or 'N'},{','.join(map(str, tensor.shape[1:]))}]"
                raise _invalid(f"input {tensor.name}: found {_found(value)}, expected {expected}")
            arrays.append(np.ascontiguousarray(value))
        outputs = tuple(np.empty((batch,) + t.shape[1:], t.dtype) for t in description.outputs)
        with self._lock:
            session = self._open()
            options = ctypes.c_void_p(lib.octet_run_options_create())
            try:
                for first in range(0, batch, self._max_batch):
                    images = min(self._max_batch, batch - first)
                    lib.octet_run_options_set_batch(options, images)
                    call(lib.octet_session_run_tensors, session, _buffers(arrays, first, images), len(arrays),
                         _buffers(outputs, first, images), len(outputs), options)
            finally:
                lib.octet_run_options_destroy(options)
        return outputs[0] if len(outputs) == 1 else outputs


def _buffers(arrays: Sequence[np.ndarray], first: int, images: int) -> Any:
    """Where ``images`` of each array are, from the first-th on."""
    # The stride of an array of one image may be anything.
    sizes = [a.nbytes // a.shape[0] for a in arrays]
    return (Buffer * len(arrays))(*(Buffer(_address(a) + first * n, images * n) for a, n in zip(arrays, sizes)))
