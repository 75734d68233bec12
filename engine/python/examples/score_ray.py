"""Scores images on Ray: python score_ray.py MODEL INPUT OUTPUT [WORKERS]

INPUT is a folder of Parquet files with the column `key` and either `image`, the bytes of image files, or nothing else:
then keys are paths that the workers see. OUTPUT gets a file of the same name for each, with `key` and `row`, a line of
`octet score`. Whatever is killed, each row is there once: a file is there when it is whole, tasks that run twice write
the same one, and what is there is not computed again, so that each set of images and model needs an OUTPUT of its own.
MODEL is a path that the workers see.
"""

import glob
import os
import sys


class Score:
    """An actor: opens the model once. It is mapped, so that the actors of a machine share it."""

    def __init__(self, model, output):
        import octet

        self.session, self.output = octet.Model(model).session(threads=1), output

    def __call__(self, batch):
        import pyarrow
        from pyarrow import parquet

        source = str(batch["source"][0])
        output = os.path.join(self.output, os.path.basename(source))
        if not os.path.exists(output):
            schema = pyarrow.schema([("key", pyarrow.string()), ("row", pyarrow.string())])
            temporary = os.path.join(self.output, f".{os.path.basename(source)}.{os.uname().nodename}.{os.getpid()}")
            with parquet.ParquetFile(source) as images, parquet.ParquetWriter(temporary, schema) as rows:
                for part in images.iter_batches(256):
                    keys = part["key"].to_pylist()
                    photos = part["image"].to_pylist() if "image" in part.schema.names else None
                    rows.write_table(pyarrow.table([keys, self.session.score(keys, photos)], schema=schema))
            os.replace(temporary, output)
        return batch


def run(model, source, output, workers):
    import ray

    os.makedirs(output, exist_ok=True)
    files = [{"source": file} for file in sorted(glob.glob(os.path.join(source, "*.parquet")))]
    # Ray reading the files itself would wait for a core, as these actors have them all.
    data = ray.data.from_items(files, override_num_blocks=len(files))
    data.map_batches(Score, fn_constructor_args=(model, output), concurrency=workers, num_cpus=1, batch_size=1).materialize()


if __name__ == "__main__":
    import ray

    ray.init()
    run(*map(os.path.abspath, sys.argv[1:4]), int(sys.argv[4]) if len(sys.argv) > 4 else int(ray.cluster_resources()["CPU"]))
