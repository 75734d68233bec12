"""Runs a recipe and says how long what took: engines.py ENGINE MODEL INPUT TINY OUTPUT WORKERS

A line of JSON on stdout each: {"event": "ready", "start": S, "job": S} when the engine runs, where `start` is what it took
to get there and to do a first job, of the images of TINY, and `job` what another job of them took; then "begin", and "end"
with the seconds of the job of all images. `bare` is the loop that recipes are measured by: WORKERS processes, each of
which has its share of the images in memory and gives them to Session.score, 256 at a time.
"""

import glob
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "engine/python/examples"))


def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def measure(run, source, tiny, output, begin):
    """`run(source, output)` of the engine that began to start at `begin`."""
    run(tiny, f"{output}-first")
    started = time.monotonic()
    run(tiny, f"{output}-second")
    ready = time.monotonic()
    say("ready", start=started - begin, job=ready - started)
    say("begin")
    begin = time.monotonic()
    run(source, output)
    say("end", seconds=time.monotonic() - begin)


def spark(model, source, tiny, output, workers):
    begin = time.monotonic()
    import score_spark
    from pyspark.sql import SparkSession

    session = (SparkSession.builder.appName("octet score").master(f"local-cluster[{workers},1,1024]")
               .config("spark.ui.enabled", "false")
               # Images of a kilobyte: 128 MB, Spark's own number, would be one task.
               .config("spark.sql.files.maxPartitionBytes", "2m").config("spark.sql.files.openCostInBytes", "256k")
               # Executors and workers are killed much more often than they die.
               .config("spark.task.maxFailures", "1000").config("spark.deploy.maxExecutorRetries", "-1")
               .config("spark.stage.maxConsecutiveAttempts", "1000").getOrCreate())
    session.sparkContext.setLogLevel("OFF")
    measure(lambda source, output: score_spark.run(session, model, source, output), source, tiny, output, begin)
    session.stop()


def ray(model, source, tiny, output, workers):
    begin = time.monotonic()
    import logging

    import ray
    import score_ray

    ray.init(num_cpus=max(workers + 1, os.cpu_count()), include_dashboard=False, log_to_driver=False,
             logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    measure(lambda source, output: score_ray.run(model, source, output, workers), source, tiny, output, begin)
    ray.shutdown()


def dask(model, source, tiny, output, workers):
    begin = time.monotonic()
    import score_dask
    from distributed import Client

    with Client(n_workers=workers, threads_per_worker=1, dashboard_address=None) as client:
        measure(lambda source, output: score_dask.run(client, model, source, output), source, tiny, output, begin)


def bare_worker(model, files, ready, go, results):
    import octet
    from pyarrow import parquet

    tables = [parquet.read_table(file) for file in files]
    keys = [key for table in tables for key in table["key"].to_pylist()]
    images = [image for table in tables for image in table["image"].to_pylist()]
    del tables
    session = octet.Model(model).session(threads=1)
    session.score(keys[:256], images[:256])
    ready.wait()
    go.wait()
    begin = time.monotonic()
    for i in range(0, len(keys), 256):
        session.score(keys[i:i + 256], images[i:i + 256])
    results.put((len(keys), time.monotonic() - begin))


def bare(model, source, _tiny, _output, workers):
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    ready, go, results = context.Barrier(workers + 1), context.Barrier(workers + 1), context.Queue()
    files = sorted(glob.glob(f"{source}/*.parquet"))
    processes = [context.Process(target=bare_worker, args=(model, files[i::workers], ready, go, results))
                 for i in range(workers)]
    begin = time.monotonic()
    for process in processes:
        process.start()
    ready.wait()
    say("ready", start=time.monotonic() - begin, job=0)
    say("begin")
    go.wait()
    shares = [results.get() for _ in processes]
    for process in processes:
        process.join()
    say("end", seconds=max(seconds for _, seconds in shares), rate=sum(n / seconds for n, seconds in shares))


if __name__ == "__main__":
    {"spark": spark, "ray": ray, "dask": dask, "bare": bare}[sys.argv[1]](*sys.argv[2:6], int(sys.argv[6]))
