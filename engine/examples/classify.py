#!/usr/bin/env python3
"""The best classes of a photo, through octet's C interface, with Python's standard library alone.

    python3 classify.py liboctet.so.0 MODEL.octet PHOTO.ppm

liboctet.so.0 is what `cmake -DBUILD_SHARED_LIBS=ON` builds and installs; PHOTO.ppm is a binary PPM.
"""
import ctypes
import re
import sys
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int64, c_uint8, c_void_p


class Rectangle(ctypes.Structure):
    _fields_ = [("x", c_int), ("y", c_int), ("width", c_int), ("height", c_int)]


class Image(ctypes.Structure):
    """octet_image, where 0 is the default of a field."""
    _fields_ = [("pixels", POINTER(c_uint8)), ("width", c_int), ("height", c_int),
                ("format", c_int), ("row_stride", c_int64), ("chroma", POINTER(c_uint8) * 2),
                ("chroma_stride", c_int64), ("roi", Rectangle), ("rotation", c_int),
                ("mirror", c_int), ("matrix", c_int), ("range", c_int)]


class OctetError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Octet:
    """The library. Every pointer is declared: ctypes takes what is not for an int of 32 bits."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        # Messages are c_void_p, as ctypes would copy a c_char_p and lose the pointer to be freed.
        error = POINTER(c_void_p)
        self.declare("octet_free", None, c_void_p)
        self.declare("octet_model_load", c_int, c_char_p, POINTER(c_void_p), error)
        self.declare("octet_model_destroy", None, c_void_p)
        self.declare("octet_model_label", c_char_p, c_void_p, c_int)
        self.declare("octet_session_create", c_int, c_void_p, c_int, c_int, POINTER(c_void_p),
                     error)
        self.declare("octet_session_destroy", None, c_void_p)
        self.declare("octet_session_classify", c_int, c_void_p, POINTER(Image), c_int,
                     POINTER(c_int), POINTER(c_float), POINTER(c_int), error)

    def declare(self, name, result, *arguments):
        function = getattr(self.lib, name)
        function.restype = result
        function.argtypes = arguments

    def call(self, name, *arguments):
        """Calls a function whose last parameter is `error`."""
        error = c_void_p()
        status = getattr(self.lib, name)(*arguments, byref(error))
        if status != 0:
            message = ctypes.string_at(error.value).decode() if error.value else "out of memory"
            self.lib.octet_free(error)
            raise OctetError(status, message)


class Classifier:
    """A model with a session, for one thread at a time; other threads of Python go on."""

    def __init__(self, octet, path, num_threads=1):
        self.octet = octet
        self.model, self.session = c_void_p(), c_void_p()
        octet.call("octet_model_load", path.encode(), byref(self.model))
        octet.call("octet_session_create", self.model, num_threads, 1, byref(self.session))

    def __del__(self):
        self.octet.lib.octet_session_destroy(self.session)
        self.octet.lib.octet_model_destroy(self.model)

    def classify(self, rgb, width, height, count):
        """[(index, label or None, probability)] of rows of R G B, best first."""
        if len(rgb) != width * height * 3:
            raise ValueError(f"found {len(rgb)} bytes, expected {width} x {height} x 3")
        pixels = (c_uint8 * len(rgb)).from_buffer_copy(rgb)
        image = Image(pixels=ctypes.cast(pixels, POINTER(c_uint8)), width=width, height=height)
        indices, probabilities, written = (c_int * count)(), (c_float * count)(), c_int()
        self.octet.call("octet_session_classify", self.session, byref(image), count, indices,
                        probabilities, byref(written))
        found = []
        for i in range(written.value):
            label = self.octet.lib.octet_model_label(self.model, indices[i])
            found.append((indices[i], label.decode() if label else None, probabilities[i]))
        return found


def read_ppm(path):
    with open(path, "rb") as file:
        data = file.read()
    header = re.match(rb"P6(?:\s|#[^\n]*\n)+(\d+)\s+(\d+)\s+255\s", data)
    if header is None:
        raise ValueError(f"{path} is not a binary PPM file")
    width, height = int(header[1]), int(header[2])
    rgb = data[header.end():header.end() + width * height * 3]
    if len(rgb) != width * height * 3:
        raise ValueError(f"{path} is truncated")
    return rgb, width, height


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: classify.py liboctet.so.0 MODEL.octet PHOTO.ppm")
    try:
        rgb, width, height = read_ppm(sys.argv[3])
        classifier = Classifier(Octet(sys.argv[1]), sys.argv[2])
        for index, label, probability in classifier.classify(rgb, width, height, 3):
            print(f"{label or index:<12} {probability:.3f}")
    except (OctetError, OSError, ValueError) as problem:
        sys.exit(f"classify.py: {problem}")


if __name__ == "__main__":
    main()
