"""The console scripts: they become the programs of the package."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

# The package's __init__ has loaded the library by now, which is a few milliseconds.
from ._library import native_path


def _become(name: str) -> NoReturn:
    os.execv(native_path(name), [name, *sys.argv[1:]])


def octet() -> NoReturn:
    """octet: classify, run, evaluate, compare, preprocess, inspect, verify."""
    _become("octet")


def octet_convert() -> NoReturn:
    """octet_convert: from a framework's model to an .octet file."""
    _become("octet_convert")
