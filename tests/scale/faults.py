"""Kills workers at random while recipes score, and holds the result to that of a single process.

    build/scale-venv/bin/python tests/scale/faults.py --images=100000 --engines=spark,ray,xargs --workers=1,2,4

Each recipe runs twice on each number of workers: undisturbed, for its rate, and with workers killed by SIGKILL. Prints
the table of README.md, and what plan.py takes with --results. The images are made of CIFAR's by --folder, and stay there.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import recipes
from recipes import call

# Whom to kill: what does the work, and not what hands it out.
WORKERS = {
    "xargs": lambda words: os.path.basename(words[0]) == "octet" and words[1:2] == ["score"],
    "parallel": lambda words: os.path.basename(words[0]) == "octet" and words[1:2] == ["score"],
    "spark": lambda words: "pyspark.daemon" in words or any("CoarseGrainedExecutorBackend" in w for w in words),
    "ray": lambda words: words[0].startswith("ray::") and any(w in words[0] for w in ("MapWorker", "Map", "Write", "Read")),
    "dask": lambda words: any("multiprocessing.spawn" in w for w in words),
}


def descendants(root):
    """Process ids below `root`."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, next_ones = [], [root]
    while next_ones:
        below = children.get(next_ones.pop(), [])
        found += below
        next_ones += below
    return found


def words_of(pid):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []
    return [word.decode(errors="replace") for word in words]


class Killer(threading.Thread):
    """Kills one of the workers below `root`, any, at random times `every` seconds apart on average, at most `most`."""

    def __init__(self, root, is_worker, every, most, seed):
        super().__init__(daemon=True)
        self.root, self.is_worker, self.every, self.most = root, is_worker, every, most
        self.random = random.Random(seed)
        self.killed = []
        self.ended = threading.Event()

    def run(self):
        while len(self.killed) < self.most and not self.ended.wait(self.random.expovariate(1 / self.every)):
            workers = sorted(pid for pid in descendants(self.root) if (words := words_of(pid)) and self.is_worker(words))
            if not workers:
                continue
            victim = self.random.choice(workers)
            try:
                handle = os.pidfd_open(victim)  # Whatever takes the number when it is gone is not meant.
            except OSError:
                continue
            words = words_of(victim)
            if words and self.is_worker(words):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                self.killed.append(" ".join(words)[:60])
            os.close(handle)

    def stop(self):
        self.ended.set()
        self.join()


def make_images(folder, count):
    """`count` JPEGs of CIFAR's test images, each in qualities of its own and mirrored, so that no two have the same bytes:
    as tar files, and as Parquet of (key, image) in the same order; and a few in `tiny` of each."""
    if (folder / "complete").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    call(recipes.PYTHON, "-c", """
import glob, io, os, sys, tarfile
import pyarrow
from PIL import Image, ImageOps
from pyarrow import parquet
folder, count, data = sys.argv[1], int(sys.argv[2]), sys.argv[3]
photos = [Image.open(path).convert("RGB") for path in sorted(glob.glob(f"{data}/cifar10/test/*/*.png"))]
variants = [(quality, mirrored) for quality in range(99, 49, -1) for mirrored in (False, True)]
assert count <= len(photos) * len(variants), f"at most {len(photos) * len(variants)} images"
FILES = 128

def write(kind, file, numbers):
    keys, images = [], []
    for i in numbers:
        quality, mirrored = variants[i // len(photos)]
        photo, to = photos[i % len(photos)], io.BytesIO()
        (ImageOps.mirror(photo) if mirrored else photo).save(to, "JPEG", quality=quality)
        keys.append(f"{i:06d}.jpg")
        images.append(to.getvalue())
    assert len(set(images)) == len(images)
    for suffix in ("tar", "parquet"):
        os.makedirs(f"{folder}/{kind}.{suffix}", exist_ok=True)
    with tarfile.open(f"{folder}/{kind}.tar/{file:05d}.tar", "w") as tar:
        for key, image in zip(keys, images):
            member = tarfile.TarInfo(key)
            member.size = len(image)
            tar.addfile(member, io.BytesIO(image))
    parquet.write_table(pyarrow.table({"key": keys, "image": images}), f"{folder}/{kind}.parquet/{file:05d}.parquet")

for file in range(FILES):
    write("all", file, range(count * file // FILES, count * (file + 1) // FILES))
write("tiny", 0, range(8))
""", folder, count, recipes.DATA)
    (folder / "complete").touch()


class Run:
    """A recipe on some workers; `kill` is how often, in seconds, and how many, or nothing."""

    def __init__(self, engine, workers, model, images, output, kill=None, seed=0):
        self.start = self.job = self.seconds = self.rate = None
        self.killed = []
        log = output / "log"
        output.mkdir(parents=True)
        with open(log, "w", encoding="utf-8") as errors:
            if engine in ("xargs", "parallel"):
                self._script(engine, workers, model, images, output, kill, seed, errors)
            else:
                self._engine(engine, workers, model, images, output, kill, seed, errors)
        if self.seconds is None:
            raise RuntimeError(f"{engine} failed, {len(self.killed)} killed: {log.read_text(errors='replace')[-4000:]}")

    def _script(self, engine, workers, model, images, output, kill, seed, errors):
        def run(source, to, shards, kill=None):
            begin = time.monotonic()
            process = subprocess.Popen(
                [str(recipes.EXAMPLES / "score_xargs.sh"), str(model), str(output / to), str(shards), str(workers), str(source)],
                env=recipes.environment(TOOL=engine, ATTEMPTS="1000"), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
            killer = Killer(process.pid, WORKERS[engine], *kill, seed) if kill else None
            if killer:
                killer.start()
            code = process.wait()
            seconds = time.monotonic() - begin
            if killer:
                killer.stop()
                self.killed = killer.killed
            return seconds if code == 0 else None

        self.start = 0
        self.job = run(images / "tiny.tar", "tiny", workers)
        self.seconds = run(images / "all.tar", "all", max(16, 8 * workers), kill)
        self.folder = output / "all"

    def _engine(self, engine, workers, model, images, output, kill, seed, errors):
        killer = None
        self.folder = output / "all"
        process = subprocess.Popen(
            [str(recipes.PYTHON), str(recipes.SOURCE / "tests/scale/engines.py"), engine, str(model),
             str(images / "all.parquet"), str(images / "tiny.parquet"), str(self.folder), str(workers)],
            env=recipes.environment(PYTHONPATH=f"{recipes.SOURCE / 'engine/python/src'}:{recipes.EXAMPLES}"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            for line in process.stdout:
                if not line.startswith('{"event"'):
                    continue
                said = json.loads(line)
                if said["event"] == "ready":
                    self.start, self.job = said["start"], said["job"]
                elif said["event"] == "begin" and kill:
                    killer = Killer(process.pid, WORKERS[engine], *kill, seed)
                    killer.start()
                elif said["event"] == "end":
                    self.seconds, self.rate = said["seconds"], said.get("rate")
                    if killer:
                        killer.stop()
            process.wait()
        finally:
            if killer:
                killer.stop()
                self.killed = killer.killed
            for pid in [*descendants(process.pid), process.pid] if process.poll() is None else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def measure_photos(folder):
    """Photos a second of one thread of octet score, the flower data by its int8 network, and bytes of a photo and a row. The
    difference of two runs, without what starts and ends them."""
    flowers = recipes.SOURCE / "models/flowers"
    model = folder / "flowers.octet"
    call("octet_convert", flowers / "flowers_resnet.safetensors", "--graph=flowers_resnet", "--precision=int8",
         f"--calibration-table={flowers / 'calibration.json'}", f"--output={model}")
    recipes.flower_photos(folder / "photos")
    photos = sorted((folder / "photos").iterdir())
    (folder / "more").mkdir()
    for i in range(20):
        for photo in photos:
            os.link(photo, folder / f"more/{i}-{photo.name}")
    seconds = []
    for images in ("photos", "more"):
        begin = time.monotonic()
        rows = call("octet", "score", "--model", model, "--threads", 1, folder / images)
        seconds.append(time.monotonic() - begin)
    return {"rate": 19 * len(photos) / (seconds[1] - seconds[0]), "row_bytes": len(rows) / len(photos) / 20,
            "bytes": sum(photo.stat().st_size for photo in photos) / len(photos)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=100000)
    parser.add_argument("--engines", default="spark,ray,xargs", help="also parallel, dask")
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--kills", type=int, default=10, help="of a run, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "octet-scale")
    parser.add_argument("--results", type=pathlib.Path, help="JSON file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("faults.py: ended by SIGTERM"))  # Leaves nobody behind.
    images = options.folder / f"images-{options.images}"
    make_images(images, options.images)
    work = pathlib.Path(tempfile.mkdtemp(dir=options.folder))
    failed = 0
    try:
        model = recipes.cifar_model(work)
        expected = recipes.single(model, work / "single", images / "all.tar")
        assert len(expected.rows) == options.images, len(expected.rows)
        workers = [int(w) for w in options.workers.split(",")]
        cores = len(os.sched_getaffinity(0))
        bare = {}
        for n in sorted({min(w, cores) for w in workers}):
            bare[n] = Run("bare", n, model, images, work / f"bare-{n}").rate
            print(f"bare loop, {n} at once: {bare[n]:,.0f} images/s", flush=True)
        size = sum(file.stat().st_size for file in (images / "all.parquet").iterdir())
        results = {"images": options.images, "input_bytes": size, "row_bytes": sum(len(row) + 1 for row in expected.rows),
                   "bare": bare, "runs": []}
        print("\n| engine | workers | images/s | of the bare loop | start | a job | killed | rows and report equal |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for engine in options.engines.split(","):
            for n in workers:
                differences, quiet = [], None
                for kill in (False, True):
                    output = work / f"{engine}-{n}-{kill}"
                    rhythm = (max(0.05, quiet.seconds / (options.kills + 1)), options.kills) if kill else None
                    run = Run(engine, n, model, images, output, rhythm, options.seed + n)
                    quiet = quiet or run
                    found = (recipes.read_folder(run.folder) if engine in ("xargs", "parallel") else
                             recipes.read_parquet(run.folder, model, 10))
                    differences.append(found.difference(expected))
                    shutil.rmtree(output)
                rate = options.images / (quiet.seconds - quiet.job)
                share = rate / bare[min(n, cores)]
                equal = not any(differences)
                failed += not equal or not run.killed
                print(f"| {engine} | {n} | {rate:,.0f} | {share:.1%} | {quiet.start:.1f} s | {quiet.job:.1f} s | {len(run.killed)} | "
                      f"{'yes' if equal else 'NO'} |", flush=True)
                for text in filter(None, differences):
                    print(text, file=sys.stderr)
                if not run.killed:
                    print(f"{engine}: nobody was killed, expected somebody", file=sys.stderr)
                results["runs"].append({
                    "engine": engine, "workers": n, "rate": rate, "share": share, "start": quiet.start, "job": quiet.job,
                    "seconds": quiet.seconds, "killed": run.killed, "seconds_killed": run.seconds, "equal": equal})
        if options.results:
            results["photos"] = measure_photos(work)
            options.results.write_text(json.dumps(results, indent=1) + "\n")
    finally:
        shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
