"""Kills workers at random while recipes score, and holds the result to that of a single process.

    build/scale-venv/bin/python tests/scale/faults.py

Each recipe runs twice on each number of workers: undisturbed, for its rate, and with workers killed by SIGKILL. Prints
the tables of README.md, and what plan.py takes with --results. The images are made in --folder, and stay there.
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


def make_images(folder, kind, count):
    """`count` images, as tar files and as Parquet of (key, image) in the same order, and a few in `tiny` of each. Of `small`
    no two have the same bytes: CIFAR's test images as JPEG in many qualities, also mirrored. `photos` are those of the
    flower data over and over."""
    if (folder / "complete").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = recipes.DATA / "cifar10/test"
    if kind == "photos":
        source = folder / "source"
        recipes.flower_photos(source)
    call(recipes.PYTHON, "-c", """
import glob, io, os, sys, tarfile
import pyarrow
from PIL import Image, ImageOps
from pyarrow import parquet
folder, kind, count, source = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
# Eight for each of four workers. A task takes an engine 0.1 s beside its work: photos, of which there are fewer, in larger ones.
FILES = 32 if kind == "small" else 16
if kind == "small":
    photos = [Image.open(path).convert("RGB") for path in sorted(glob.glob(f"{source}/*/*.png"))]
    variants = [(quality, mirrored) for quality in range(99, 49, -1) for mirrored in (False, True)]
    assert count <= len(photos) * len(variants), f"at most {len(photos) * len(variants)} images"
else:
    photos = [open(path, "rb").read() for path in sorted(glob.glob(f"{source}/*.jpg"))]

def encoded(i):
    photo = photos[i % len(photos)]
    if kind == "photos":
        return photo
    (quality, mirrored), to = variants[i // len(photos)], io.BytesIO()
    (ImageOps.mirror(photo) if mirrored else photo).save(to, "JPEG", quality=quality)
    return to.getvalue()

def write(name, file, numbers):
    keys = [f"{i:06d}.jpg" for i in numbers]
    images = [encoded(i) for i in numbers]
    for suffix in ("tar", "parquet"):
        os.makedirs(f"{folder}/{name}.{suffix}", exist_ok=True)
    with tarfile.open(f"{folder}/{name}.tar/{file:05d}.tar", "w") as tar:
        for key, image in zip(keys, images):
            member = tarfile.TarInfo(key)
            member.size = len(image)
            tar.addfile(member, io.BytesIO(image))
    # By a dictionary photos that are there again would be read once.
    parquet.write_table(pyarrow.table({"key": keys, "image": images}), f"{folder}/{name}.parquet/{file:05d}.parquet",
                        use_dictionary=False)

for file in range(FILES):
    write("all", file, range(count * file // FILES, count * (file + 1) // FILES))
os.makedirs(f"{folder}/warm.parquet")  # A quarter of them, for engines alone.
for file in range(FILES // 4):
    os.link(f"{folder}/all.parquet/{file:05d}.parquet", f"{folder}/warm.parquet/{file:05d}.parquet")
for file in range(4):  # So that each worker gets something.
    write("tiny", file, range(2 * file, 2 * file + 2))
""", folder, kind, count, source)
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
        self.seconds = run(images / "all.tar", "all", max(32, 8 * workers), kill)
        self.folder = output / "all"

    def _engine(self, engine, workers, model, images, output, kill, seed, errors):
        killer = None
        self.folder = output / "all"
        process = subprocess.Popen(
            [str(recipes.PYTHON), str(recipes.SOURCE / "tests/scale/engines.py"), engine, str(model),
             *(str(images / f"{name}.parquet") for name in ("all", "warm", "tiny")), str(self.folder), str(workers)],
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


class Work:
    """Images of a kind, the model that they are for, and what a single process makes of them."""

    def __init__(self, kind, count, folder, work):
        self.kind, self.count = kind, count
        self.images = folder / f"{kind}-{count}"
        make_images(self.images, kind, count)
        self.model = recipes.cifar_model(work) if kind == "small" else recipes.flower_model(work)
        self.classes = 10 if kind == "small" else 5
        self.expected = recipes.single(self.model, work / f"{kind}-single", self.images / "all.tar")
        assert len(self.expected.rows) == count, len(self.expected.rows)

    def run(self, engine, workers, output, **more):
        """A run, and how its rows differ from those of a single process, or nothing. Leaves no files."""
        run = Run(engine, workers, self.model, self.images, output, **more)
        difference = ""
        if engine != "bare":
            found = (recipes.read_folder(run.folder) if engine in ("xargs", "parallel") else
                     recipes.read_parquet(run.folder, self.model, self.classes))
            difference = found.difference(self.expected)
        shutil.rmtree(output)
        return run, difference

    def results(self):
        size = sum(file.stat().st_size for file in (self.images / "all.parquet").iterdir())
        return {"images": self.count, "input_bytes": size, "row_bytes": sum(len(row) + 1 for row in self.expected.rows),
                "bare": {}, "runs": []}


def measure(work, engines, workers, options, output):
    """Undisturbed runs, each between two of the bare loop whose mean it is compared with, as the machine's own rate changes
    within minutes, and runs whose workers are killed. Prints the table. What plan.py takes, and failures."""
    results, failed = work.results(), 0
    cores = len(os.sched_getaffinity(0))
    kills = options.kills if work.kind == "small" else 0
    print(f"\n{work.count:,} {work.kind}, {results['input_bytes'] / work.count / 1000:,.1f} KB each\n\n"
          "| engine | workers | images/s | bare loop | share | start | a job | killed | rows and report equal |\n"
          "|---|---|---|---|---|---|---|---|---|", flush=True)
    for n in workers:
        bare = [work.run("bare", min(n, cores), output)[0].rate]
        for engine in engines:
            quiet, difference = work.run(engine, n, output)
            bare.append(work.run("bare", min(n, cores), output)[0].rate)
            differences, killed = [difference], None
            if kills:
                killed, difference = work.run(engine, n, output, kill=(max(0.05, quiet.seconds / (kills + 1)), kills),
                                              seed=options.seed + n)
                differences.append(difference)
                if not killed.killed:
                    differences.append("nobody was killed, expected somebody")
            rate, beside = work.count / (quiet.seconds - quiet.job), (bare[-2] + bare[-1]) / 2
            equal = not any(differences)
            failed += not equal
            print(f"| {engine} | {n} | {rate:,.0f} | {beside:,.0f} | {rate / beside:.1%} | {quiet.start:.1f} s | {quiet.job:.1f} s | "
                  f"{len(killed.killed) if killed else '-'} | {'yes' if equal else 'NO'} |", flush=True)
            for text in filter(None, differences):
                print(f"{engine}: {text}", file=sys.stderr)
            results["runs"].append({
                "engine": engine, "workers": n, "rate": rate, "bare": beside, "share": rate / beside, "start": quiet.start,
                "job": quiet.job, "seconds": quiet.seconds, "killed": killed.killed if killed else [],
                "seconds_killed": killed.seconds if killed else None, "equal": equal})
        results["bare"][min(n, cores)] = sum(bare) / len(bare)
    return results, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--small", type=int, default=100000, help="images of CIFAR, during which workers are killed, too")
    parser.add_argument("--photos", type=int, default=12000, help="photos of the flower data")
    parser.add_argument("--engines", default="xargs,ray,spark", help="also parallel, dask")
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--kills", type=int, default=10, help="of a run, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "octet-scale")
    parser.add_argument("--results", type=pathlib.Path, help="JSON file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("faults.py: ended by SIGTERM"))  # Leaves nobody behind.
    options.folder.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(dir=options.folder))
    results, failed = {}, 0
    try:
        for kind in ("small", "photos"):
            if count := getattr(options, kind):
                results[kind], failures = measure(Work(kind, count, options.folder, work), options.engines.split(","),
                                                  list(map(int, options.workers.split(","))), options, work / "run")
                failed += failures
                if options.results:
                    options.results.write_text(json.dumps(results, indent=1) + "\n")
    finally:
        shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
