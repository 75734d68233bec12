"""Each recipe of engine/python/examples, as a user runs it, against one process of `octet score`.

What is not installed is said the way GoogleTest says it, so that tests/run.sh lists it. OCTET_SCALE_FULL=1 runs
faults.py, too.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import faults
import recipes
from recipes import EXAMPLES, PYTHON, Scores, call

FLOWERS = os.environ["OCTET_TEST_MODELS"] + "_int8.octet"


def skip(test, reason):
    print(f"{pathlib.Path(__file__).name}: Skipped\n{reason}\n[  SKIPPED ] Recipes.{test} (0 ms)", flush=True)
    raise unittest.SkipTest(reason)


class Data:
    """Images, and what a single run makes of them."""

    def __init__(self, folder, model, classes, images, with_bytes):
        self.folder, self.model, self.classes, self.images = folder, str(model), classes, str(images)
        self.expected = recipes.single(model, folder / "single", images)
        self.with_bytes = with_bytes
        self._parquet = None

    def parquet(self):
        """For engines: the keys of a single run, which are paths, and the bytes that are there."""
        if self._parquet is None:
            self._parquet = self.folder / "parquet"
            recipes.write_parquet(self._parquet, [recipes.json.loads(row)["key"] for row in self.expected.rows], 7,
                                  self.with_bytes)
        return self._parquet


class Recipes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.data = {}

    def of(self, name):
        """Data by name: images of all kinds, with those that cannot be read; the flower photos; CIFAR's test images."""
        if name not in self.data:
            folder = self.root / name
            folder.mkdir()
            if name == "kinds":
                shutil.copytree(recipes.SOURCE / "tests/data/pixels/decoding", folder / "photos",
                                ignore=lambda _, names: [n for n in names if not n.endswith((".jpg", ".png"))])
                whole = min((folder / "photos").iterdir()).read_bytes()
                for i, content in enumerate((b"", b"text", whole[:len(whole) // 2])):
                    (folder / f"photos/bad {i}.jpg").write_bytes(content)
                self.data[name] = Data(folder, FLOWERS, 5, folder / "photos", with_bytes=False)
                assert sum("error" in recipes.json.loads(row) for row in self.data[name].expected.rows) == 3
            elif not recipes.DATA.is_dir():
                skip(self.id().split(".")[-1], f"no data at {recipes.DATA}; set OCTET_DATA_DIR")
            elif name == "flowers":
                recipes.flower_photos(folder / "photos")
                self.data[name] = Data(folder, FLOWERS, 5, folder / "photos", with_bytes=True)
            else:
                self.data[name] = Data(folder, recipes.cifar_model(folder), 10, recipes.DATA / "cifar10/test", with_bytes=True)
        return self.data[name]

    def check(self, found, data):
        self.assertGreater(len(found.rows), 40)
        self.assertEqual(found.difference(data.expected), "")

    def check_files(self, output, data):
        """Of recipes that merge, the very files."""
        found = recipes.read_folder(output)
        self.assertEqual(found.rows, data.expected.rows)
        self.assertEqual(found.report, data.expected.report)
        self.check(found, data)

    def scripts(self, name, tool):
        data, output = self.of(name), self.root / f"{name}-{tool}"
        command = EXAMPLES / "score_xargs.sh", data.model, output, 9, 2, data.images
        call(*command, TOOL=tool)
        self.check_files(output, data)
        call(*command, TOOL=tool)  # All shards are there.
        self.assertEqual((output / "parts/log").read_text().count("nothing to do"), 9)
        self.check_files(output, data)

    def slurm(self, name):
        data, output = self.of(name), self.root / f"{name}-slurm"
        (self.root / "slurm").mkdir(exist_ok=True)
        call(recipes.SOURCE / "tests/scale/slurm_node.sh", self.root / "slurm", EXAMPLES / "score_slurm.sh", data.model, output, 5,
             data.images)
        self.check_files(output, data)

    def engine(self, name, engine):
        data, output = self.of(name), self.root / f"{name}-{engine}"
        command = [EXAMPLES / f"score_{engine}.py", data.model, data.parquet(), output]
        if engine == "spark":
            call(recipes.VENV / "bin/spark-submit", "--master", "local-cluster[2,1,1024]", *command)
        else:
            call(PYTHON, *command)
        self.check(recipes.read_parquet(output, data.model, data.classes), data)

    def test_recipes_are_short(self):
        for recipe in EXAMPLES.iterdir():
            self.assertLessEqual(len(recipe.read_text().splitlines()), 60, recipe)

    def test_report_of_rows(self):
        for name in ("kinds", "flowers", "cifar"):
            data = self.of(name)
            self.assertEqual(recipes.report_of(data.expected.rows, data.model, data.classes), data.expected.report)

    def test_differences_are_seen(self):
        data = self.of("kinds")
        rows, report = data.expected.rows, data.expected.report
        self.assertEqual(Scores(rows[::-1], report).difference(data.expected), "")
        self.assertIn("1 lost, 0 twice", Scores(rows[1:], report).difference(data.expected))
        self.assertIn("0 lost, 1 twice", Scores(rows + rows[:1], report).difference(data.expected))
        self.assertIn("1 lost, 1 twice", Scores(rows[1:] + rows[1:2], report).difference(data.expected))
        self.assertIn("SHA-256", Scores(rows[1:] + [rows[0].replace("crc32c", "crc32")], report).difference(data.expected))
        self.assertIn("SHA-256", Scores(rows, report.replace("1", "2")).difference(data.expected))

    def test_kills_of_xargs(self):
        data = self.of("kinds")
        killed = []
        for attempt in range(20):  # Until workers of a fast machine do not outrun the killer.
            output = self.root / f"killed{attempt}"
            process = subprocess.Popen(
                [str(EXAMPLES / "score_xargs.sh"), data.model, str(output), "30", "2", data.images],
                env=recipes.environment(ATTEMPTS="100"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            killer = faults.Killer(process.pid, faults.WORKERS["xargs"], 0.02, 5, seed=attempt)
            killer.start()
            self.assertEqual(process.wait(), 0)
            killer.stop()
            self.check_files(output, data)
            killed += killer.killed
            if killed:
                break
        self.assertGreater(len(killed), 0)

    def test_says_why_it_cannot(self):
        for tool in ("xargs", "parallel"):
            if recipes.missing(tool):
                continue
            with self.assertRaisesRegex(RuntimeError, "none.octet: no such file"):
                call(EXAMPLES / "score_xargs.sh", self.root / "none.octet", self.root / f"{tool}-none", 2, 2, self.of("kinds").images,
                     TOOL=tool, ATTEMPTS="2")
            self.assertFalse((self.root / f"{tool}-none/report.json").exists())

    def test_full(self):
        if os.environ.get("OCTET_SCALE_FULL") != "1":
            skip("full", "set OCTET_SCALE_FULL=1 to kill workers during 100,000 images")
        if reason := recipes.missing("spark"):
            skip("full", reason)
        self.assertEqual(subprocess.run([str(PYTHON), str(recipes.SOURCE / "tests/scale/faults.py")], check=False).returncode, 0)


def add(recipe, name):
    def test(self):
        reason = recipes.missing(recipe)
        if recipe == "slurm" and not reason and os.geteuid() != 0:
            reason = "Slurm's daemons need root"
        if reason:
            skip(f"{recipe}_{name}", reason)
        if recipe in ("xargs", "parallel"):
            self.scripts(name, recipe)
        elif recipe == "slurm":
            self.slurm(name)
        else:
            self.engine(name, recipe)

    setattr(Recipes, f"test_{recipe}_{name}", test)


for a_recipe in ("xargs", "parallel", "slurm", "spark", "ray", "dask"):
    for a_name in ("kinds", "flowers", "cifar"):
        add(a_recipe, a_name)

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
