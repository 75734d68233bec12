"""Scores images on Spark: spark-submit score_spark.py MODEL INPUT OUTPUT

INPUT is Parquet with the column `key` and either `image`, the bytes of image files, or nothing else: then keys are
paths that the workers see. OUTPUT becomes Parquet with `key` and `row`, a line of `octet score`. Whatever is killed or
begun twice, each row is there once: Spark moves a task's files into OUTPUT when it commits the task, and rows are the
same each time. MODEL is a path that the workers see, or the name of what `--files` brings them.
"""

import os
import sys


def scorer(model):
    """For mapInPandas. A task opens the model once; it is mapped, so that a machine's processes share it."""

    def score(batches):
        import octet
        import pandas
        from pyspark import SparkFiles

        path = model if os.path.exists(model) else SparkFiles.get(model)
        session = octet.Model(path).session(threads=1)  # Spark runs a task for each core.
        for batch in batches:
            images = batch["image"] if "image" in batch else None
            yield pandas.DataFrame({"key": batch["key"], "row": session.score(batch["key"], images)})

    return score


def run(spark, model, source, output):
    # Images are large: 10,000 of them, Spark's own number, would be in memory several times.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 256)
    images = spark.read.parquet(source)
    images.mapInPandas(scorer(model), "key string, row string").write.mode("overwrite").parquet(output)


if __name__ == "__main__":
    from pyspark.sql import SparkSession

    run(SparkSession.builder.appName("octet score").getOrCreate(), *sys.argv[1:4])
