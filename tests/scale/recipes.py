"""The recipes of engine/python/examples, how to run each, and what they must come to.

Standard library alone: what needs more runs in the processes of the recipes.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = SOURCE / "engine/python/examples"
NATIVE = pathlib.Path(os.environ.get("OCTET_PYTHON_NATIVE") or SOURCE / "build/release/engine/python").resolve()
DATA = pathlib.Path(os.environ.get("OCTET_DATA_DIR") or SOURCE / "../shared/data").resolve()
VENV = pathlib.Path(os.environ.get("OCTET_SCALE_VENV") or SOURCE / "build/scale-venv").resolve()
PYTHON = VENV / "bin/python"
SETUP = "tests/scale/setup.sh installs it"


def environment(**more):
    """Of every process: the package and the programs of this build, the interpreter of the environment."""
    return {**os.environ, "PATH": f"{NATIVE}:{VENV}/bin:{os.environ['PATH']}", "OCTET_PYTHON_NATIVE": str(NATIVE),
            "PYTHONPATH": str(SOURCE / "engine/python/src"), "PYSPARK_PYTHON": str(PYTHON),
            "SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0", **more}


def call(*words, **more):
    """Runs a process to its end, of at most ten minutes; what it printed. What a failed one said is in the error."""
    done = subprocess.run(list(map(str, words)), env=environment(**more), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words[:4]))} ended with {done.returncode}: {done.stderr[-4000:]}")
    return done.stdout


@dataclasses.dataclass
class Scores:
    """What a run comes to: rows by key, whose order is the engine's affair, and the report."""

    rows: list
    report: str

    def hashes(self):
        """SHA-256 of the rows, sorted, and of the report."""
        rows = "".join(row + "\n" for row in sorted(self.rows))
        return tuple(hashlib.sha256(text.encode()).hexdigest() for text in (rows, self.report))

    def difference(self, expected):
        """What is not as in a single run, or nothing."""
        found, wanted = ([json.loads(row)["key"] for row in rows] for rows in (self.rows, expected.rows))
        lost, twice = set(wanted) - set(found), len(found) - len(set(found))
        if lost or twice or len(found) != len(wanted):
            return f"{len(found)} rows, expected {len(wanted)}: {len(lost)} lost, {twice} twice"
        if self.hashes() != expected.hashes():
            return f"found SHA-256 of rows and report {self.hashes()}, expected {expected.hashes()}"
        return ""


def float32(number):
    return struct.unpack("f", struct.pack("f", number))[0]


def report_of(rows, model, classes):
    """The report of `octet score --summary` by another way: from the rows."""
    best, margins, errors = [0] * classes, [0] * 100, 0
    for row in map(json.loads, rows):
        if "error" in row:
            errors += 1
            continue
        best[row["top"][0]["index"]] += 1
        # The product of two floats, rounded once.
        margins[min(99, int(float32(float32(row["margin"]) * 100.0)))] += 1
    report = {"model": hashlib.sha256(pathlib.Path(model).read_bytes()).hexdigest(), "images": len(rows),
              "errors": errors, "best": best, "margins": margins}
    return json.dumps(report, separators=(",", ":")) + "\n"


def single(model, output, *images):
    """One process of octet score."""
    output = pathlib.Path(output)
    output.mkdir(parents=True)
    call("octet", "score", "--model", model, "--output", output / "rows.jsonl", "--summary", output / "report.json", *images)
    return read_folder(output)


def read_folder(folder):
    folder = pathlib.Path(folder)
    return Scores((folder / "rows.jsonl").read_text().split("\n")[:-1], (folder / "report.json").read_text())


def read_parquet(folder, model, classes):
    """The rows that an engine wrote; each has the key that is beside it."""
    rows = call(PYTHON, "-c", """
import json, sys
from pyarrow import parquet
table = parquet.read_table(sys.argv[1], columns=["key", "row"])
for key, row in zip(table["key"].to_pylist(), table["row"].to_pylist()):
    assert json.loads(row)["key"] == key, key
    print(row)
""", folder, PYTHONIOENCODING="utf-8").split("\n")[:-1]
    return Scores(rows, report_of(rows, model, classes))


def write_parquet(folder, keys, files, with_bytes=True):
    """A Parquet folder of `files` files with the keys, which are paths, and the bytes of the images."""
    call(PYTHON, "-c", """
import os, sys
import pyarrow
from pyarrow import parquet
folder, files, with_bytes = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
keys = open(os.path.join(folder, ".keys"), encoding="utf-8").read().split("\\n")[:-1]
for i in range(files):
    part = keys[i::files]
    columns = {"key": part}
    if with_bytes:
        columns["image"] = [open(key, "rb").read() for key in part]
    parquet.write_table(pyarrow.table(columns), os.path.join(folder, f"part-{i:05d}.parquet"))
os.remove(os.path.join(folder, ".keys"))
""", _with_keys(folder, keys), files, with_bytes)


def _with_keys(folder, keys):
    pathlib.Path(folder).mkdir(parents=True)
    (pathlib.Path(folder) / ".keys").write_text("".join(key + "\n" for key in keys), encoding="utf-8")
    return folder


def flower_photos(folder):
    """The photos of the flower data as files; the one that a record holds is between the JPEG's first and last marker."""
    folder.mkdir()
    with open(DATA / "flowers/test.tfrecord", "rb") as file:
        while head := file.read(12):
            record = file.read(struct.unpack("<Q", head[:8])[0])
            file.read(4)
            photo = record[record.index(b"\xff\xd8\xff"):record.rindex(b"\xff\xd9") + 2]
            (folder / f"{hashlib.sha256(photo).hexdigest()[:16]}.jpg").write_bytes(photo)


def cifar_model(folder):
    """CIFAR's ResNet-20 in int8."""
    (folder / "preprocessing.json").write_text(json.dumps({
        "order": "rgb", "scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}))
    model = folder / "cifar.octet"
    call("octet_convert", DATA / "resnet-cifar/resnet20.onnx", "--precision=int8", f"--output={model}",
         f"--preprocessing={folder / 'preprocessing.json'}", f"--calibration-data={DATA / 'cifar10/train'}")
    return model


def flower_model(folder):
    """The flower classifier in int8."""
    source, model = SOURCE / "models/flowers", folder / "flowers.octet"
    call("octet_convert", source / "flowers_resnet.safetensors", "--graph=flowers_resnet", "--precision=int8",
         f"--calibration-table={source / 'calibration.json'}", f"--output={model}")
    return model


def missing(name):
    """Why a recipe cannot run here, or nothing."""
    if name in ("spark", "ray", "dask"):
        if not (VENV / "complete").exists():
            return f"no {name} in {VENV.name}; {SETUP}"
        return "" if name != "spark" or shutil.which("java") else f"no java; {SETUP}"
    programs = {"xargs": ["xargs"], "parallel": ["parallel"],
                "slurm": ["sbatch", "scancel", "slurmctld", "slurmd", "munged"]}[name]
    path = os.environ["PATH"] + ":/usr/sbin"
    absent = [program for program in programs if shutil.which(program, path=path) is None]
    return f"no {absent[0]}; {SETUP}" if absent else ""
