"""Spark, of which a process has one session: local, small, without a network, a console or Hive.

It needs Java and `requirements-spark.txt`; nothing is started before the first read.
"""

import atexit
import functools
import os
import shutil
import tempfile

SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m",
    # Compiling for long does not pay in a minute.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.timezone=UTC",
    "spark.log.level": "ERROR",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    # TIME is off by default, at least up to 4.3.
    "spark.sql.timeType.enabled": "true",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@functools.cache
def session():
    from pyspark.sql import SparkSession

    folder = tempfile.mkdtemp(prefix="spark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local[1]").appName("lakeferry")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    builder = builder.config("spark.local.dir", folder).config("spark.sql.warehouse.dir", folder)
    made = builder.getOrCreate()
    atexit.register(made.stop)
    return made


# Spark's types for columns of objects, by Arrow's names for them.
TYPES = {
    "bool": "boolean",
    "int32": "int",
    "int64": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
    "binary": "binary",
    "date32[day]": "date",
    "time64[us]": "time(6)",
    "timestamp[ms, tz=UTC]": "timestamp",
    "timestamp[us, tz=UTC]": "timestamp",
    # Spark refuses what holds TIME in milliseconds, but reads it as the number that it is, if told so.
    "time32[ms]": "int",
}


def ddl(schema):
    """Arrow's schema of objects as one for Spark; nothing if Spark finds it out by itself."""
    types = {field.name: str(field.type) for field in schema}
    if "time32[ms]" not in types.values():
        return None
    decimals = {name: type.replace("decimal128", "decimal") for name, type in types.items()}
    return ", ".join(f"`{name}` {TYPES.get(types[name], decimals[name])}" for name in types)


def frame(paths, schema, merging=False, whole_pages="true"):
    """These objects or folders, whose schema Arrow tells."""
    session().conf.set("spark.sql.parquet.enableVectorizedReader", whole_pages)
    reader = session().read.option("recursiveFileLookup", "true").option("mergeSchema", str(merging).lower())
    told = ddl(schema)
    return (reader.schema(told) if told else reader).parquet(*paths)


def read(paths, schema, merging, whole_pages):
    """The rows of these objects or folders: the columns' names, those that are instants, the rows.

    Instants come as counts of microseconds, since Spark would make them times of this computer's own zone.
    """
    from pyspark.sql.functions import col, unix_micros
    from pyspark.sql.types import TimestampType

    rows = frame(paths, schema, merging, whole_pages)
    instants = [field.name for field in rows.schema if isinstance(field.dataType, TimestampType)]
    shown = [
        unix_micros(col(f"`{name}`")).alias(name) if name in instants else col(f"`{name}`") for name in rows.columns
    ]
    return rows.columns, instants, rows.select(shown).collect()


def find(paths, schema, sought):
    """The ids of the rows that have a value, for each of these values by column."""
    from pyspark.sql.functions import col, lit

    rows = frame(paths, schema)
    found = {column: rows.filter(col(f"`{column}`") == lit(value)).select("id") for column, value in sought.items()}
    return {column: [row["id"] for row in ids.collect()] for column, ids in found.items()}
