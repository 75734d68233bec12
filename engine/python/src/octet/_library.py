"""The native library: where it is, what it declares (octet_c.h, native.cc), and how calls become errors."""

from __future__ import annotations

import ctypes
import enum
import os
from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_uint8, c_void_p
from typing import Any, Optional


class Status(enum.IntEnum):
    """What kind of thing went wrong, an octet_status."""

    INVALID_ARGUMENT = 1
    NOT_FOUND = 2
    CORRUPT = 3
    UNSUPPORTED = 4
    IO = 5
    INTERNAL = 6
    OUT_OF_MEMORY = 7
    CANCELLED = 8


class Error(Exception):
    """What octet refuses or could not do.

    ``message`` is one sentence: the place, what was found, what was expected. ``status`` is the
    kind, or None where a program said no more than the sentence.
    """

    status: Optional[Status]
    message: str

    def __init__(self, status: Optional[Status], message: str):
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


class Rectangle(ctypes.Structure):
    """octet_rectangle."""

    _fields_ = [("x", c_int), ("y", c_int), ("width", c_int), ("height", c_int)]


class Image(ctypes.Structure):
    """octet_image, of which a field that is 0 has its default."""

    _fields_ = [
        ("pixels", c_void_p), ("width", c_int), ("height", c_int), ("format", c_int),
        ("row_stride", c_int64), ("chroma", c_void_p * 2), ("chroma_stride", c_int64),
        ("roi", Rectangle), ("rotation", c_int), ("mirror", c_int), ("matrix", c_int),
        ("range", c_int),
    ]


class Tensor(ctypes.Structure):
    """octet_tensor."""

    _fields_ = [
        ("name", c_char_p), ("dtype", c_int), ("rank", c_int), ("shape", c_int64 * 4),
        ("scale", c_float), ("zero_point", c_int32), ("channel_scale", c_float * 4),
        ("channel_zero_point", c_float * 4),
    ]


class Buffer(ctypes.Structure):
    """octet_buffer and octet_const_buffer."""

    _fields_ = [("data", c_void_p), ("bytes", c_size_t)]


#: octet_dtype.
DTYPE_NAMES = {0: "float32", 2: "uint8", 5: "int16"}

# Messages are c_void_p, as ctypes would copy a c_char_p and lose the pointer to be freed.
_error = POINTER(c_void_p)
_handle = POINTER(c_void_p)
_handles = POINTER(c_void_p)
_floats = POINTER(c_float)

#: Result and parameters of every function that is called. Those that end with _error return a status.
_SIGNATURES: "dict[str, tuple[Any, ...]]" = {
    "octet_version": (c_char_p,),
    "octet_free": (None, c_void_p),
    "octet_model_load": (c_int, c_char_p, _handle, _error),
    "octet_model_from_memory": (c_int, c_char_p, c_size_t, _handle, _error),
    "octet_model_destroy": (None, c_void_p),
    "octet_model_name": (c_char_p, c_void_p),
    "octet_model_source": (c_char_p, c_void_p),
    "octet_model_conversion_options": (c_char_p, c_void_p),
    "octet_model_precision": (c_char_p, c_void_p),
    "octet_model_num_labels": (c_int, c_void_p),
    "octet_model_label": (c_char_p, c_void_p, c_int),
    "octet_model_file_size": (c_int64, c_void_p),
    "octet_model_weight_bytes": (c_int64, c_void_p),
    "octet_model_parameters": (c_int64, c_void_p),
    "octet_model_macs": (c_int64, c_void_p),
    "octet_model_operators": (c_int, c_void_p),
    "octet_model_num_inputs": (c_int, c_void_p),
    "octet_model_num_outputs": (c_int, c_void_p),
    "octet_model_input": (c_int, c_void_p, c_int, POINTER(Tensor)),
    "octet_model_output": (c_int, c_void_p, c_int, POINTER(Tensor)),
    "octet_model_input_channels_first": (c_int, c_void_p, c_int),
    "octet_model_output_channels_first": (c_int, c_void_p, c_int),
    "octet_model_verify": (c_int, c_void_p, _error),
    "octet_session_options_create": (c_void_p,),
    "octet_session_options_destroy": (None, c_void_p),
    "octet_session_options_set_num_threads": (c_int, c_void_p, c_int),
    "octet_session_options_set_max_batch": (c_int, c_void_p, c_int),
    "octet_session_options_set_isa": (c_int, c_void_p, c_char_p),
    "octet_session_create_with_options": (c_int, c_void_p, c_void_p, _handle, _error),
    "octet_session_destroy": (None, c_void_p),
    "octet_session_isa": (c_char_p, c_void_p),
    "octet_run_options_create": (c_void_p,),
    "octet_run_options_destroy": (None, c_void_p),
    "octet_run_options_set_batch": (c_int, c_void_p, c_int),
    "octet_session_run_tensors": (c_int, c_void_p, POINTER(Buffer), c_size_t, POINTER(Buffer),
                                  c_size_t, c_void_p, _error),
    "octet_session_classify": (c_int, c_void_p, POINTER(Image), c_int, POINTER(c_int), _floats,
                               POINTER(c_int), _error),
    "octet_python_classify": (c_int, c_void_p, c_char_p, c_char_p, c_size_t, c_int, POINTER(c_int),
                              _floats, POINTER(c_int), _error),
    "octet_python_classify_encoded": (c_int, _handles, c_int, POINTER(c_char_p),
                                      POINTER(c_size_t), c_int64, c_int, c_void_p, c_size_t,
                                      _error),
    "octet_python_classify_pixels": (c_int, _handles, c_int, c_void_p, c_int64, c_int, c_int,
                                     c_int, c_void_p, c_size_t, _error),
    "octet_python_scorer_create": (c_int, c_void_p, c_char_p, c_int, c_int, c_char_p, _handle, _error),
    "octet_python_scorer_destroy": (None, c_void_p),
    "octet_python_score": (c_int, c_void_p, POINTER(c_char_p), POINTER(c_char_p), POINTER(c_size_t),
                           c_int64, POINTER(c_void_p), POINTER(c_size_t), _error),
}


def native_path(name: str) -> str:
    """Where a file of the package's native part is: beside the modules, or in the folder that the
    environment's OCTET_PYTHON_NATIVE names (of a build of the project that is not installed)."""
    folder = os.environ.get("OCTET_PYTHON_NATIVE") or os.path.join(os.path.dirname(__file__), "_native")
    return os.path.join(folder, name)


def _load() -> ctypes.CDLL:
    # CDLL releases the interpreter's lock while a function runs.
    library = ctypes.CDLL(native_path("liboctet_python.so"))
    for name, (result, *parameters) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = parameters
    return library


lib: Any = _load()


def call(function: Any, *arguments: Any) -> None:
    """Calls a function whose last parameter is ``error``. Raises Error with the library's sentence."""
    message = c_void_p()
    status = function(*arguments, ctypes.byref(message))
    if status != 0:
        text = ctypes.string_at(message.value).decode("utf-8", "replace") if message.value else "out of memory"
        lib.octet_free(message)
        raise Error(Status(status), text)


def text(value: Optional[bytes]) -> str:
    """A string of the library's."""
    return (value or b"").decode("utf-8", "replace")
