"""The Python package: against the program octet, the reference reader and itself.

By python_test of a build that is not installed, by wheel_test of one that is. OCTET_TEST_MODELS is what the
names of the flower models begin with.
"""

import copy
import hashlib
import html
import json
import multiprocessing
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import unittest
import warnings
from unittest import mock

import octet

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MODELS = os.environ["OCTET_TEST_MODELS"]
INT8, FP32 = MODELS + "_int8.octet", MODELS + "_fp32.octet"
WEIGHTS = str(SOURCE / "models/flowers/flowers_resnet.safetensors")
DATA = pathlib.Path(os.environ.get("OCTET_DATA_DIR") or SOURCE / "../shared/data")
LABELS = ("roses", "sunflowers", "daisy", "dandelion", "tulips")


def program(name, *arguments):
    """What a program of the package prints; it must not fail."""
    return subprocess.run([octet._library.native_path(name), *map(str, arguments)], check=True,
                          capture_output=True, text=True).stdout


def photos_of_tfrecord(path, most):
    """The photos of tf.train.Example records: image/encoded is the longest value."""
    photos = []
    with open(path, "rb") as file:
        while len(photos) < most and (head := file.read(12)):
            record = file.read(struct.unpack("<Q", head[:8])[0])
            file.read(4)
            begin = record.index(b"\xff\xd8\xff")
            photos.append(record[begin:record.rindex(b"\xff\xd9") + 2])
    return photos


def classify_in_worker(session, photo):
    """In a process that was spawned."""
    return session.classify(photo), session.model.describe(), os.getpid()


class OctetTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import numpy

        global np
        np = numpy
        cls.model = octet.Model(INT8)
        cls.session = cls.model.session()
        # Photos that can be had, and those that the model's framework refuses.
        cls.files = sorted(p for e in ("*.jpg", "*.png") for p in (SOURCE / "tests/data/pixels/decoding").glob(e))
        cls.photos = [p.read_bytes() for p in cls.files]
        cls.scores = cls.session.classify_batch(cls.photos, errors="nan")
        kept = ~np.isnan(cls.scores[:, 0])
        cls.files, cls.photos = ([x for x, k in zip(xs, kept) if k] for xs in (cls.files, cls.photos))
        cls.scores = cls.scores[kept]
        assert len(cls.photos) > 40, len(cls.photos)
        random = np.random.default_rng(5)
        cls.pixels = random.integers(0, 256, (7, 90, 120, 3), np.uint8)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def assertRefuses(self, status, parts, function, *arguments, **options):
        """`function` raises an Error of one sentence that has the `parts`."""
        with self.assertRaises(octet.Error) as context:
            function(*arguments, **options)
        error = context.exception
        self.assertEqual(error.status, status, error)
        self.assertEqual(str(error), error.message)
        self.assertNotIn("\n", error.message)
        for part in [parts] if isinstance(parts, str) else parts:
            self.assertIn(part, error.message)

    INVALID = octet.Status.INVALID_ARGUMENT

    # What a model says of itself.

    def test_describes_models(self):
        d = self.model.describe()
        said = json.loads(program("octet", "inspect", INT8, "--json"))
        self.assertEqual((d.name, d.precision, d.labels), ("flowers_resnet", "int8", LABELS))
        self.assertEqual(self.model.labels, LABELS)
        self.assertEqual((d.parameters, d.macs), (said["parameters"], said["macs"]))
        self.assertEqual(d.file_size, os.path.getsize(INT8))
        self.assertLess(0, d.weight_bytes)
        self.assertLess(d.weight_bytes, d.file_size)
        self.assertEqual((d.inputs[0].name, d.inputs[0].dtype, d.inputs[0].shape), ("image", "float32", (1, 160, 160, 3)))
        self.assertEqual((d.outputs[0].name, d.outputs[0].shape), ("probabilities", (1, 5)))
        with open(INT8, "rb") as file:
            self.assertEqual(int(d.checksum, 16), struct.unpack("<Q", file.read(40)[32:])[0])
        self.assertEqual(len(d.checksum), 16)
        self.assertEqual(d._asdict()["labels"], LABELS)
        self.assertNotEqual(octet.Model(FP32).describe().checksum, d.checksum)
        self.model.verify()

    def test_models_of_bytes_are_the_same(self):
        content = pathlib.Path(INT8).read_bytes()
        for given in (content, bytearray(content), memoryview(content)):
            model = octet.Model(given)
            self.assertIsNone(model.path)
            self.assertEqual(model.describe(), self.model.describe())
            self.assertTrue((model.session().classify_batch(self.photos[:3]) == self.scores[:3]).all())
        changed = bytearray(content)
        model = octet.Model(changed)
        changed[:] = bytes(len(changed))  # It has a copy.
        self.assertTrue((model.session().classify_batch(self.photos[:3]) == self.scores[:3]).all())

    def test_refuses_what_is_no_model(self):
        none = str(self.folder / "none.octet")
        self.assertRefuses(octet.Status.NOT_FOUND, none, octet.Model, none)
        self.assertRefuses(octet.Status.CORRUPT, "", octet.Model, b"no model")
        damaged = bytearray(pathlib.Path(INT8).read_bytes())
        damaged[-1] ^= 1
        self.assertRefuses(octet.Status.CORRUPT, "checksum", octet.Model, bytes(damaged))
        self.assertRefuses(self.INVALID, "found int", octet.Model, 5)
        self.assertRefuses(octet.Status.CORRUPT, str(self.files[0]), octet.Model, self.files[0])

    def test_shows_itself(self):
        self.assertIn("flowers_resnet, int8, image float32[1,160,160,3] -> probabilities float32[1,5]", repr(self.model))
        self.assertIn(INT8, repr(self.model))
        page = self.model._repr_html_()
        for part in ("<table>", "<td>int8</td>", "roses, sunflowers", "2,813,253", html.escape(INT8)):
            self.assertIn(part, page)
        strange = self.folder / "a<b>&.octet"
        shutil.copy(INT8, strange)
        self.assertIn("a&lt;b&gt;&amp;.octet", octet.Model(strange)._repr_html_())
        self.assertIn("threads=1", repr(self.session))

    def test_finds_reports(self):
        path = self.folder / "m.octet"
        shutil.copy(INT8, path)
        model = octet.Model(path)
        self.assertRefuses(octet.Status.NOT_FOUND, [str(path), "no report"], model.report)
        (self.folder / "report.html").write_text("<p>of another_m.xoctet</p>")
        self.assertRefuses(octet.Status.NOT_FOUND, "no report", model.report)
        octet.convert(WEIGHTS, path, graph="flowers_resnet", report=self.folder / "report.html")
        model = octet.Model(path)
        report = model.report()
        self.assertEqual(os.fspath(report), str(self.folder / "report.html"))
        self.assertIn("flowers_resnet", report.html)
        self.assertIn("<iframe", report._repr_html_())
        self.assertIn(html.escape(report.html), report._repr_html_())
        (self.folder / "m.html").write_text("nearer")
        self.assertEqual(model.report().html, "nearer")
        (self.folder / "m.octet.html").write_text("nearest")
        self.assertEqual(model.report().html, "nearest")
        self.assertRefuses(octet.Status.NOT_FOUND, "bytes", octet.Model(path.read_bytes()).report)

    # Photos.

    def test_classifies_as_the_program_does(self):
        for path in (INT8, FP32):
            said = json.loads(program("octet", "classify", "--model", path, "--json", "--top", 5, *self.files))
            session = octet.Model(path).session()
            scores = session.classify_batch(self.photos)
            self.assertEqual([r["image"] for r in said], list(map(str, self.files)))
            for i, row in enumerate(said):
                expected = [octet.Prediction(p["index"], p["label"], p["probability"]) for p in row["predictions"]]
                self.assertEqual(session.classify(self.photos[i]), expected)
                self.assertEqual(session.classify(self.files[i]), expected)
                for p in expected:
                    self.assertEqual(float(scores[i, p.index]), p.probability)
        self.assertGreater(len({tuple(row) for row in scores.tolist()}), 20)

    def test_classifies_flowers(self):
        path = DATA / "flowers/test.tfrecord"
        if not path.exists():
            self.skipTest(f"no data at {DATA}; set OCTET_DATA_DIR")
        photos = photos_of_tfrecord(path, 50)
        self.assertEqual(len(photos), 50)
        said = json.loads(program("octet", "classify", "--model", INT8, "--json", "--top", 1, path))
        scores = self.model.session(threads=2).classify_batch(photos)
        for row, p in zip(scores, said[:50]):
            best = p["predictions"][0]
            self.assertEqual((int(row.argmax()), float(row.max())), (best["index"], best["probability"]))

    def test_takes_pixels(self):
        scores = self.session.classify_batch(self.pixels)
        self.assertEqual((scores.dtype, scores.shape), (np.float32, (7, 5)))
        self.assertTrue(np.allclose(scores.sum(1), 1, atol=1e-5))
        for i, image in enumerate(self.pixels):
            top = self.session.classify(image, top=2)
            self.assertEqual([p.index for p in top], sorted(range(5), key=lambda c: -scores[i, c])[:2])
            self.assertEqual(top[0].probability, float(scores[i].max()))
            # A PPM file has the same pixels.
            ppm = b"P6\n120 90\n255\n" + image.tobytes()
            self.assertTrue((self.session.classify_batch([ppm]) == scores[i]).all())
        turned = self.pixels[:, ::-1, ::2]  # Not contiguous.
        self.assertTrue((self.session.classify_batch(turned) == self.session.classify_batch(turned.copy())).all())
        self.assertEqual(self.session.classify(turned[0]), self.session.classify(turned[0].copy()))
        self.assertEqual(self.session.classify(self.pixels[0], top=0), [])
        self.assertEqual(len(self.session.classify(self.pixels[0], top=99)), 5)
        self.assertEqual(self.session.classify_batch([]).shape, (0, 5))
        self.assertEqual(self.session.classify_batch(self.pixels[:0]).shape, (0, 5))

    def test_batches_have_the_same_bits_for_any_number_of_threads(self):
        one_by_one = np.stack([self.session.classify_batch([p])[0] for p in self.photos])
        self.assertTrue((one_by_one == self.scores).all())
        for path in (INT8, FP32):
            model = octet.Model(path)
            photos, pixels = (model.session().classify_batch(x) for x in (self.photos, self.pixels))
            for threads in (1, 2, 3, 4):
                with model.session(threads=threads) as session:
                    for _ in range(2):
                        self.assertTrue((session.classify_batch(self.photos) == photos).all())
                        self.assertTrue((session.classify_batch(self.pixels) == pixels).all())
                    self.assertEqual(session.classify(self.photos[0]), model.session().classify(self.photos[0]))
        mixed = [bytearray(self.photos[0]), memoryview(self.photos[1]), self.photos[2]]
        self.assertTrue((self.session.classify_batch(mixed) == self.scores[:3]).all())
        column = np.array(self.photos[:3] + [b""], object)[:3]
        self.assertTrue((self.session.classify_batch(column) == self.scores[:3]).all())

    def test_bad_photos_are_errors_or_rows_of_nan(self):
        cut = self.photos[0][: len(self.photos[0]) // 2]
        photos = self.photos[:8]
        photos[3], photos[5], photos[6] = cut, b"", b"text"
        for threads in (1, 4):
            with self.model.session(threads=threads) as session:
                for _ in range(20):
                    self.assertRefuses(octet.Status.CORRUPT, "image 3: ", session.classify_batch, photos)
                scores = session.classify_batch(photos, errors="nan")
                for i in range(8):
                    if i in (3, 5, 6):
                        self.assertTrue(np.isnan(scores[i]).all())
                    else:
                        self.assertTrue((scores[i] == self.scores[i]).all())
        self.assertRefuses(octet.Status.CORRUPT, "image: ", self.session.classify, cut)
        none = self.folder / "none.jpg"
        self.assertRefuses(octet.Status.NOT_FOUND, str(none), self.session.classify, none)
        (self.folder / "cut.jpg").write_bytes(cut)
        self.assertRefuses(octet.Status.CORRUPT, "cut.jpg: ", self.session.classify, str(self.folder / "cut.jpg"))

    def test_scores_as_the_program_does(self):
        # Also what is no image or not there.
        files = sorted((SOURCE / "tests/data/pixels/decoding").glob("*.[jp][pn]g"))
        whole = files[0].read_bytes()
        for name, content in (("empty.jpg", b""), ("text.jpg", b"text"), ("cut.jpg", whole[:len(whole) // 2]), (os.fsdecode(b"\xff \".jpg"), whole)):
            files.append(self.folder / name)
            files[-1].write_bytes(content)
        files.append(self.folder / "none.jpg")
        keys = list(map(str, files))
        for path in (INT8, FP32):
            for top in (1, 5, 99):
                said = subprocess.run([octet._library.native_path("octet"), "score", "--stdin=paths", f"--model={path}",
                                       f"--top={top}"], input=b"\n".join(map(os.fsencode, keys)), check=True,
                                      capture_output=True).stdout.decode().split("\n")[:-1]
                self.assertEqual(len(said), len(files))
                for threads in (1, 3):
                    with octet.Model(path).session(threads=threads) as session:
                        for _ in range(2):
                            self.assertEqual(session.score(keys, top=top), said)
                        photos = [p.read_bytes() for p in files[:-1]]
                        self.assertEqual(session.score(keys[:-1], photos, top=top), said[:-1])
        rows = list(map(json.loads, said))
        self.assertEqual(sum("error" in row for row in rows), 4)
        self.assertGreater(len(rows), 44)
        model = octet.Model(FP32)
        self.assertEqual(model.sha256(), hashlib.sha256(pathlib.Path(FP32).read_bytes()).hexdigest())
        self.assertEqual({row["model"] for row in rows}, {model.sha256()[:16]})
        of_bytes = octet.Model(pathlib.Path(FP32).read_bytes()).session()
        self.assertEqual(of_bytes.score(iter(keys), top=99), said)
        self.assertEqual(of_bytes.score([]), [])

    def test_refuses_what_cannot_be_scored(self):
        photo = self.photos[0]
        for keys, images, parts in (("ab", [photo] * 2, ["keys: found str", "expected "]),
                                    ([b"a"], [photo], ["key 0: found bytes", "expected "]),
                                    (["a", "b\0"], [photo] * 2, ["key 1: ", "null"]),
                                    (["a", "\ud800"], [photo] * 2, ["key 1: ", "surrogates"]),
                                    (["a"], [photo] * 2, ["found 2 for 1 keys"]),
                                    (["a"], photo, ["images: found bytes", "expected "]),
                                    (["a", "b"], [photo, None], ["image 1: found NoneType", "expected "])):
            self.assertRefuses(self.INVALID, parts, self.session.score, keys, images)
        self.assertRefuses(self.INVALID, "top", self.session.score, ["a"], [photo], top=0)
        self.assertRefuses(self.INVALID, "top", self.session.score, ["a"], [photo], top=2.5)
        session = self.model.session()
        session.close()
        self.assertRefuses(self.INVALID, "closed", session.score, ["a"], [photo])
        # The hash in a row is that of the model that made it.
        path = self.folder / "m.octet"
        shutil.copy(INT8, path)
        model = octet.Model(path)
        shutil.copy(FP32, self.folder / "other.octet")
        os.replace(self.folder / "other.octet", path)
        self.assertRefuses(octet.Status.IO, [str(path), "replaced"], model.session().score, ["a"], [photo])
        path.unlink()
        self.assertRefuses(octet.Status.IO, [str(path), "replaced"], model.session().score, ["a"], [photo])

    def test_refuses_what_are_no_photos(self):
        for image, found in ((5, "int"), (None, "NoneType"), (self.pixels, "uint8[7,90,120,3]"),
                             (self.pixels[0].astype(np.float32), "float32[90,120,3]"),
                             (self.pixels[0, :, :, :2], "uint8[90,120,2]"), (self.pixels[0, :0], "uint8[0,120,3]")):
            self.assertRefuses(self.INVALID, ["found " + found, "expected "], self.session.classify, image)
        for images, found in ((self.pixels[0], "uint8[90,120,3]"), (self.pixels.astype(np.int8), "int8[7,90,120,3]"),
                              (b"photo", "bytes"), ("photo.jpg", "str"), ([self.photos[0], None], "NoneType"),
                              (["photo.jpg"], "str"), ([self.pixels[0]], "uint8[90,120,3]")):
            for errors in ("raise", "nan"):  # What is no photo is not a bad photo.
                self.assertRefuses(self.INVALID, ["found " + found, "expected "], self.session.classify_batch, images,
                                   errors=errors)
        self.assertRefuses(self.INVALID, "'ignore'", self.session.classify_batch, [], errors="ignore")
        self.assertRefuses(self.INVALID, "top", self.session.classify, self.pixels[0], top=-1)
        self.assertRefuses(self.INVALID, "top", self.session.classify, self.pixels[0], top=1.5)

    # Any tensors.

    def test_runs_as_the_reference_reader(self):
        for path in (INT8, FP32):
            x = np.random.default_rng(6).normal(size=(1, 160, 160, 3)).astype(np.float32)
            np.save(self.folder / "x.npy", x)
            subprocess.run([sys.executable, str(SOURCE / "formats/reference_reader.py"), path, str(self.folder / "x.npy"),
                            f"--output={self.folder / 'y.npy'}"], check=True, capture_output=True)
            y = octet.Model(path).session().run(x)
            self.assertEqual((y.dtype, y.shape), (np.float32, (1, 5)))
            np.testing.assert_allclose(y, np.load(self.folder / "y.npy"), rtol=1e-4, atol=1e-6)
            program("octet", "run", path, f"--input={self.folder / 'x.npy'}", f"--output={self.folder / 'z.npy'}")
            self.assertTrue((y == np.load(self.folder / "z.npy")).all())

    def test_runs_batches(self):
        x = np.random.default_rng(7).normal(size=(9, 160, 160, 3)).astype(np.float32)
        one_by_one = np.concatenate([self.session.run(image[None]) for image in x])
        for max_batch in (1, 4, 9, 32):
            with self.model.session(max_batch=max_batch, threads=2) as session:
                self.assertTrue((session.run(x) == one_by_one).all())
        self.assertTrue((self.session.run(x[:, ::-1]) == self.session.run(x[:, ::-1].copy())).all())
        one = np.lib.stride_tricks.as_strided(x[:1], strides=(7,) + x.strides[1:])  # Contiguous all the same.
        self.assertTrue((self.session.run(one) == one_by_one[:1]).all())

    def test_runs_codes(self):
        path = self.folder / "codes.octet"
        octet.convert(WEIGHTS, path, precision="int8", graph="flowers_resnet", input_type="uint8", output_type="uint8",
                      calibration_table=SOURCE / "models/flowers/calibration.json")
        model = octet.Model(path)
        given = model.describe()
        self.assertEqual((given.inputs[0].dtype, given.outputs[0].dtype), ("uint8", "uint8"))
        self.assertGreater(given.outputs[0].scale, 0)
        x = np.random.default_rng(8).integers(0, 256, (2, 160, 160, 3), np.uint8)
        np.save(self.folder / "x.npy", x)
        program("octet", "run", path, "--raw", f"--input={self.folder / 'x.npy'}", f"--output={self.folder / 'y.npy'}")
        y = model.session().run(x)
        self.assertEqual(y.dtype, np.uint8)
        self.assertTrue((y == np.load(self.folder / "y.npy")).all())
        self.assertRefuses(self.INVALID, ["image", "found float32[2,160,160,3]", "expected uint8[2,160,160,3]"],
                           model.session().run, x.astype(np.float32))

    def test_refuses_other_arrays(self):
        x = np.zeros((2, 160, 160, 3), np.float32)
        for value, found in ((x[0], "float32[160,160,3]"), (x.astype(np.float64), "float64[2,160,160,3]"),
                             (x[:, :, :, :1], "float32[2,160,160,1]"), (x[:0], "float32[0,160,160,3]"),
                             (x.astype(">f4"), ">f4[2,160,160,3]"), (x.tolist(), "list"), (None, "NoneType"),
                             (np.float32(1), "float32"), (np.array(1, np.float32), "float32[]")):
            self.assertRefuses(self.INVALID, ["input image", "found " + found, "expected float32["], self.session.run,
                               value)
        self.assertRefuses(self.INVALID, ["found 2", "expected 1"], self.session.run, x, x)
        self.assertRefuses(self.INVALID, ["found 0", "expected 1"], self.session.run)

    def test_copies_nothing(self):
        x = np.zeros((8, 160, 160, 3), np.float32)
        seen = []

        def call(function, *arguments):
            seen.append(arguments)
            return octet._library.call(function, *arguments)

        with mock.patch("octet._session.call", call):
            y = self.session.run(x)
        (_, inputs, _, outputs, _, _), = seen
        self.assertEqual((inputs[0].data, inputs[0].bytes), (x.ctypes.data, x.nbytes))
        self.assertEqual((outputs[0].data, outputs[0].bytes), (y.ctypes.data, y.nbytes))
        pixels = np.zeros((20, 500, 500, 3), np.uint8)
        photos = [bytes(1 << 20)] * 15
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for function, *arguments in ((self.session.run, x), (self.session.classify_batch, pixels),
                                     (self.session.classify, pixels[0]), (self.session.classify_batch, photos, "nan")):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            function(*arguments)
            self.assertLess(tracemalloc.get_traced_memory()[1] - before, 100_000)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        self.session.run(x[:, ::-1])  # It would be seen.
        self.assertGreater(tracemalloc.get_traced_memory()[1] - before, x.nbytes)

    # Threads, processes, life and death.

    def test_other_python_threads_go_on(self):
        counted, done = [0], threading.Event()

        def count():
            while not done.is_set():
                counted[0] += 1
                time.sleep(0)

        thread = threading.Thread(target=count)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(done.set)
        x = np.zeros((64, 160, 160, 3), np.float32)
        many = np.zeros((64, 90, 120, 3), np.uint8)
        photos = self.photos * 2
        for session in (self.session, self.model.session(threads=2)):
            for function, argument in ((session.run, x), (session.classify_batch, many),
                                       (session.classify_batch, photos)):
                # Only what is counted within the one call of the library: a thread that wakes at its
                # end would count too, but not so far.
                before = []
                real = octet._library.call

                def call(function, *arguments):
                    before.append(counted[0])
                    real(function, *arguments)
                    before.append(counted[0])

                with mock.patch("octet._session.call", call):
                    function(argument)
                self.assertGreater(max(b - a for a, b in zip(before[::2], before[1::2])), 20)

    def test_sessions_serve_several_threads(self):
        with self.model.session(threads=2) as session:
            wrong = []

            def work(start):
                for i in range(start, start + 10):
                    if not (session.classify_batch(self.photos[i:i + 3]) == self.scores[i:i + 3]).all():
                        wrong.append(i)
                    if session.classify(self.photos[i])[0].probability != float(self.scores[i].max()):
                        wrong.append(i)

            threads = [threading.Thread(target=work, args=(3 * i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])

    def test_closed_sessions_are_errors(self):
        session = self.model.session(threads=2)
        session.classify_batch(self.photos)
        ended = []

        def work():
            try:
                while True:
                    session.classify_batch(self.photos[:4])
            except octet.Error as error:
                ended.append(error.message)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        session.close()
        for thread in threads:
            thread.join()
        self.assertEqual(ended, ["the session is closed"] * 3)
        session.close()
        self.assertIn("closed", repr(session))
        for function, argument in ((session.classify, self.photos[0]), (session.classify, self.pixels[0]),
                                   (session.classify, self.files[0]), (session.classify_batch, self.photos),
                                   (session.classify_batch, self.pixels),
                                   (session.run, np.zeros((1, 160, 160, 3), np.float32))):
            self.assertRefuses(self.INVALID, "the session is closed", function, argument)
        with self.assertRaises(octet.Error):
            session.isa
        with self.model.session() as session:
            pass
        self.assertRefuses(self.INVALID, "closed", session.classify, self.photos[0])

    def test_sessions_outlive_their_models(self):
        session = octet.Model(pathlib.Path(INT8).read_bytes()).session()
        filler = [bytes([i]) * 2_900_000 for i in range(8)]  # Where the model's bytes would have been.
        self.assertTrue((session.classify_batch(self.photos[:3]) == self.scores[:3]).all())
        del filler

    def test_options(self):
        session = self.model.session(threads=np.int64(2), isa="reference", max_batch=3)
        self.assertEqual((session.threads, session.isa, session.max_batch), (2, "reference", 3))
        self.assertIs(session.model, self.model)
        # Integers have the same bits on every instruction set; the softmax is of floats.
        np.testing.assert_allclose(session.classify_batch(self.photos[:2]), self.scores[:2], rtol=1e-5)
        self.assertRefuses(self.INVALID, "nonsense", self.model.session, isa="nonsense")
        self.assertRefuses(self.INVALID, "isa", self.model.session, isa=3)
        self.assertRefuses(self.INVALID, "threads", self.model.session, threads="two")
        self.assertRefuses(self.INVALID, "0", self.model.session, threads=0)
        self.assertRefuses(self.INVALID, "max_batch", self.model.session, max_batch=0)
        self.assertRefuses(self.INVALID, "max_batch", self.model.session, max_batch=1 << 40)

    def test_pickles(self):
        for model in (self.model, octet.Model(pathlib.Path(INT8).read_bytes())):
            arrived = pickle.loads(pickle.dumps(model))
            self.assertEqual(arrived.describe(), model.describe())
            self.assertEqual(arrived.path, model.path)
            session = copy.deepcopy(model.session(threads=2, isa="reference", max_batch=5))
            self.assertEqual((session.threads, session.isa, session.max_batch), (2, "reference", 5))
        self.assertLess(len(pickle.dumps(self.session)), 1000)
        error = pickle.loads(pickle.dumps(octet.Error(octet.Status.CORRUPT, "a sentence")))
        self.assertEqual((error.status, error.message, str(error)), (octet.Status.CORRUPT, "a sentence", "a sentence"))

    def test_pickles_are_of_one_model(self):
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)
        shutil.copy(INT8, "m.octet")
        model = octet.Model("m.octet")
        pickled = pickle.dumps(model.session())
        os.chdir("/")
        self.assertTrue((pickle.loads(pickled).classify_batch(self.photos[:2]) == self.scores[:2]).all())
        shutil.copy(FP32, self.folder / "new")
        os.replace(self.folder / "new", self.folder / "m.octet")
        self.assertRefuses(self.INVALID, ["m.octet: found", "expected " + model.describe().checksum], pickle.loads, pickled)
        os.remove(self.folder / "m.octet")
        self.assertRefuses(octet.Status.NOT_FOUND, "m.octet", pickle.loads, pickled)

    def test_travels_to_workers(self):
        for method in ("spawn", "fork"):
            with multiprocessing.get_context(method).Pool(1) as pool:
                answer, description, process = pool.apply(classify_in_worker, (self.session, self.photos[0]))
            self.assertEqual(answer, self.session.classify(self.photos[0]))
            self.assertEqual(description, self.model.describe())
            self.assertNotEqual(process, os.getpid())

    # Programs.

    def test_converts(self):
        path = self.folder / "m.octet"
        report = octet.convert(pathlib.Path(WEIGHTS), path, precision="fp32", graph="flowers_resnet", name="of mine",
                               strict=True, labels=None, json=False)
        self.assertEqual((report["precision"], report["size_bytes"]), ("fp32", path.stat().st_size))
        self.assertEqual(octet.Model(path).describe().name, "of mine")
        report = octet.convert(WEIGHTS, str(path), precision=["fp32", "fp16"], graph="flowers_resnet")
        self.assertEqual([c["precision"] for c in report["conversions"]], ["fp32", "fp16"])
        self.assertTrue((self.folder / "m_fp16.octet").exists())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            photos = [self.folder / "some", self.folder / "more"]
            for folder in photos:
                folder.mkdir()
                for i in range(3):
                    (folder / f"{i}.ppm").write_bytes(b"P6\n120 90\n255\n" + self.pixels[i].tobytes())
            report = octet.convert(WEIGHTS, path, precision="int8", calibration_data=photos, tune="none",
                                   calibration_samples=4, graph="flowers_resnet")
        self.assertEqual(report["calibration"]["samples"], 4)
        self.assertEqual([str(w.message) for w in caught], report["warnings"])

    def test_says_why_it_cannot_convert(self):
        output = self.folder / "m.octet"
        none = self.folder / "none.onnx"
        self.assertRefuses(None, str(none), octet.convert, none, output)
        self.assertRefuses(None, "--model", octet.convert, "--model", output)
        self.assertRefuses(self.INVALID, "int7", octet.convert, WEIGHTS, output, precision="int7")
        self.assertRefuses(self.INVALID, "--no-option", octet.convert, WEIGHTS, output, no_option=3)
        self.assertRefuses(self.INVALID, "labels: found object", octet.convert, WEIGHTS, output, labels=object())
        self.assertFalse(output.exists())

    def test_scripts_become_the_programs(self):
        for name in ("octet", "octet_convert"):
            done = subprocess.run([sys.executable, "-c", f"from octet._programs import {name}; {name}()", "--version"],
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(octet.__version__, done.stdout)
        done = subprocess.run([sys.executable, "-c", "from octet._programs import octet; octet()", "verify", "none.octet"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("octet: none.octet", done.stderr)

    def test_needs_no_numpy_without_arrays(self):
        code = ("import sys, octet; s = octet.Model(sys.argv[1]).session(); s.classify(sys.argv[2]); "
                "import pathlib; s.classify(pathlib.Path(sys.argv[2]).read_bytes()); repr(s); s.model._repr_html_(); "
                "sys.exit('numpy is imported' if 'numpy' in sys.modules else 0)")
        subprocess.run([sys.executable, "-W", "error", "-c", code, INT8, str(self.files[0])], check=True)

    def test_version_is_the_headers(self):
        header = (SOURCE / "engine/include/octet/version.h").read_text()
        self.assertIn(f'#define OCTET_VERSION "{octet.__version__}"', header)


if __name__ == "__main__":
    unittest.main()
