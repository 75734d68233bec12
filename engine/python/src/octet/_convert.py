"""convert(): the program octet_convert as a function."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence, Union

from ._library import Error, Status, native_path

Path = Union[str, "os.PathLike[str]"]


def _words(name: str, value: Any) -> List[str]:
    """An option of the command line: none for None and False, a flag for True, one for each of a list."""
    option = "--" + name.replace("_", "-")
    if value is None or value is False:
        return []
    if value is True:
        return [option]
    if isinstance(value, (list, tuple)):
        return [word for one in value for word in _words(name, one)]
    if isinstance(value, (str, int, float, os.PathLike)):
        return [f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}"]
    raise Error(Status.INVALID_ARGUMENT, f"{name}: found {type(value).__name__}, expected text, a number, a path, "
                "True, False, None or a list of them")


def convert(source: Path, output: Path, *, precision: Union[None, str, Sequence[str]] = None,
            calibration_data: Union[None, Path, Sequence[Path]] = None, **options: Any) -> Dict[str, Any]:
    """Converts a framework's model to an .octet file and gives the report of ``--json``.

    The other options are those of ``octet_convert --help``, with underscores: ``labels="labels.txt"``
    is --labels=labels.txt, ``fast_decode=True`` is --fast-decode, a list is the option several times.
    With several precisions there is a file each, and the report has a list, "conversions".

    The program's warnings are Python's, and in the report. Raises Error with its sentence.
    """
    import json
    import subprocess
    import warnings

    words = [native_path("octet_convert"), f"--output={os.fspath(output)}", "--json"]
    options.update(precision=precision, calibration_data=calibration_data)
    for name, value in options.items():
        words += _words(name, value)
    path = os.fspath(source)
    words.append("./" + path if path.startswith("-") else path)
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                          errors="replace", check=False)
    said = done.stderr.strip().splitlines()
    if done.returncode != 0:
        sentence = said[-1] if said else f"octet_convert ended with {done.returncode}"
        if sentence.startswith("octet_convert: "):
            sentence = sentence[len("octet_convert: "):]
        raise Error(Status.INVALID_ARGUMENT if done.returncode == 2 else None, sentence)
    for line in said:
        if line.startswith("octet_convert: warning: "):
            warnings.warn(line[len("octet_convert: warning: "):], stacklevel=2)
    report: Dict[str, Any] = json.loads(done.stdout)
    return report
