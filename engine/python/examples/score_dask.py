"""Scores images on Dask: python score_dask.py MODEL INPUT OUTPUT [SCHEDULER]

INPUT is a folder of Parquet files with the column `key` and either `image`, the bytes of image files, or nothing else:
then keys are paths that the workers see. OUTPUT gets a file of the same name for each, with `key` and `row`, a line of
`octet score`. Whatever is killed, each row is there once: a file is there when it is whole, tasks that run twice write
the same one, and what is there is not computed again, so that each set of images and model needs an OUTPUT of its own.
MODEL is a path that the workers see. Without SCHEDULER, an address, workers are started here.
"""

import glob
import os
import sys


def score(model, source, output):
    import distributed
    import octet
    import pyarrow
    from pyarrow import parquet

    if os.path.exists(output):
        return
    worker = distributed.get_worker()  # Opens the model once; it is mapped, so that a machine's workers share it.
    if getattr(worker, "octet", (None,))[0] != model:
        worker.octet = model, octet.Model(model).session(threads=1)
    session = worker.octet[1]
    schema = pyarrow.schema([("key", pyarrow.string()), ("row", pyarrow.string())])
    folder, name = os.path.split(output)
    temporary = os.path.join(folder, f".{name}.{os.uname().nodename}.{os.getpid()}")  # With a dot nobody reads it.
    with parquet.ParquetFile(source) as images, parquet.ParquetWriter(temporary, schema) as rows:
        for batch in images.iter_batches(256):
            keys = batch["key"].to_pylist()
            photos = batch["image"].to_pylist() if "image" in batch.schema.names else None
            rows.write_table(pyarrow.table([keys, session.score(keys, photos)], schema=schema))
    os.replace(temporary, output)


def run(client, model, source, output):
    os.makedirs(output, exist_ok=True)
    files = sorted(glob.glob(os.path.join(source, "*.parquet")))
    outputs = [os.path.join(output, os.path.basename(file)) for file in files]
    client.gather(client.map(score, [model] * len(files), files, outputs, retries=10, pure=False))


if __name__ == "__main__":
    from distributed import Client

    # Workers of one thread, one for each core.
    run(Client(sys.argv[4]) if len(sys.argv) > 4 else Client(threads_per_worker=1), *map(os.path.abspath, sys.argv[1:4]))
