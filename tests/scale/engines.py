"""Runs a recipe and says how long what took: engines.py ENGINE MODEL INPUT WARM TINY OUTPUT WORKERS

A line of JSON on stdout each: {"event": "ready", "start": S, "job": S} when the engine runs, where `start` is what it took to
get there and to do a first job, of the images of TINY, and `job`, behind a job of WARM, another of TINY; then "begin", and "end"
with the seconds of the job of all images. `bare` is the loop that recipes are measured by: WORKERS processes, each of
which reads its share of the files and gives the images to Session.score, 256 at a time.
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


def measure(run, source, warm, tiny, output, begin):
    """`run(source, output)` of the engine that began to start at `begin`."""
    run(tiny, f"{output}-tiny")
    started = time.monotonic()
    run(warm, f"{output}-warm")
    begin_job = time.monotonic()
    run(tiny, f"{output}-tiny-again")
    say("ready", start=started - begin, job=time.monotonic() - begin_job)
    say("begin")
    begin = time.monotonic()
    run(source, output)
    say("end", seconds=time.monotonic() - begin)


def spark(model, source, warm, tiny, output, workers):
    begin = time.monotonic()
    import score_spark
    from pyspark.sql import SparkSession

    # Java only hands bytes on. The compiler that optimizes most kept two cores busy for half a minute, in which 4,000 photos took
    # 20 s instead of 12.
    java = "-XX:TieredStopAtLevel=1"
    session = (SparkSession.builder.appName("octet score").master(f"local-cluster[{workers},1,1024]")
               .config("spark.ui.enabled", "false")
               .config("spark.driver.extraJavaOptions", java).config("spark.executor.extraJavaOptions", java)
               # A task for each file. By Spark's own numbers, for 128 MB, all of these would be one.
               .config("spark.sql.files.maxPartitionBytes", "64m").config("spark.sql.files.openCostInBytes", "64m")
               # Executors and workers are killed much more often than they die.
               .config("spark.task.maxFailures", "1000").config("spark.deploy.maxExecutorRetries", "-1")
               .config("spark.stage.maxConsecutiveAttempts", "1000").getOrCreate())
    session.sparkContext.setLogLevel("OFF")
    measure(lambda source, output: score_spark.run(session, model, source, output), source, warm, tiny, output, begin)
    session.stop()


def ray(model, source, warm, tiny, output, workers):
    begin = time.monotonic()
    import logging

    import ray
    import score_ray

    ray.init(num_cpus=max(workers + 1, os.cpu_count()), include_dashboard=False, log_to_driver=False,
             logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    measure(lambda source, output: score_ray.run(model, source, output, workers), source, warm, tiny, output, begin)
    ray.shutdown()


def dask(model, source, warm, tiny, output, workers):
    begin = time.monotonic()
    import dask
    import score_dask
    from distributed import Client

    # As for Spark: workers are killed much more often than they die.
    dask.config.set({"distributed.scheduler.allowed-failures": 1000})
    with Client(n_workers=workers, threads_per_worker=1, dashboard_address=None) as client:
        measure(lambda source, output: score_dask.run(client, model, source, output), source, warm, tiny, output, begin)


def bare_worker(model, files, ready, go, results):
    import octet
    from pyarrow import parquet

    session = octet.Model(model).session(threads=1)
    count = 0
    ready.wait()
    go.wait()
    begin = time.monotonic()
    for file in files:
        for batch in parquet.ParquetFile(file).iter_batches(256):
            count += len(session.score(batch["key"].to_pylist(), batch["image"].to_pylist()))
    results.put((count, time.monotonic() - begin))


def bare(model, source, _warm, _tiny, _output, workers):
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
    {"spark": spark, "ray": ray, "dask": dask, "bare": bare}[sys.argv[1]](*sys.argv[2:7], int(sys.argv[7]))
