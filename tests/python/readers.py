"""The readers of the lake: DuckDB, PyArrow and Spark, each with a plain path and nothing else.

LAKEFERRY_READERS names those that a run compares; Spark needs Java, so it has a run of its own.
"""

import os
import re

import duckdb
import pyarrow
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet

import spark
from matrix import clock, instant

OBJECT_NAME = re.compile(r"^task_(?P<lane>\d+)_.*__(?P<sequence>\d+)$")


def with_duckdb(task, paths=None, merging=False):
    """The rows of a task's objects, or of these, as dictionaries; `merging` allows for columns that not all have."""
    rows = duckdb.sql(f"SELECT * FROM {duckdb_source(task, paths, merging)}")
    # Instants come as counts: as values they would need a library of time zones.
    typed = zip(rows.columns, map(str, rows.types))
    instants = [name for name, kind in typed if kind == "TIMESTAMP WITH TIME ZONE"]
    shown = [f'epoch_us("{name}") AS "{name}"' if name in instants else f'"{name}"' for name in rows.columns]
    return counted(rows.columns, rows.project(", ".join(shown)).fetchall(), dict.fromkeys(instants, instant))


def duckdb_source(task, paths=None, merging=False):
    files = [str(path) for path in paths] if paths else [task.glob()]
    return f"read_parquet({files}, hive_partitioning = false, union_by_name = {str(merging).lower()})"


def find_with_duckdb(task, sought):
    """The ids of the rows that have a value, for each of these values by column.

    The reader is told what is sought, so that it makes use of what objects say of their values.
    """
    query = f'SELECT id FROM {duckdb_source(task)} WHERE "{{}}" = ?'
    rows = {column: duckdb.execute(query.format(column), [value]).fetchall() for column, value in sought.items()}
    return {column: [id for (id,) in found] for column, found in rows.items()}


def with_pyarrow(task, paths=None, merging=False):
    """The same, read by PyArrow."""
    dataset = pyarrow_source(task, paths)
    if merging:
        whole = pyarrow.unify_schemas([fragment.physical_schema for fragment in dataset.get_fragments()])
        dataset = dataset.replace_schema(whole)
    return dataset.to_table().to_pylist()


def pyarrow_source(task, paths=None):
    files = [str(path) for path in paths] if paths else task.glob().removesuffix("/**")
    return pyarrow.dataset.dataset(files, format="parquet")


def find_with_pyarrow(task, sought):
    """The same, found by PyArrow."""
    dataset, found = pyarrow_source(task), {}
    for column, value in sought.items():
        value = pyarrow.scalar(value, dataset.schema.field(column).type)
        found[column] = dataset.to_table(columns=["id"], filter=pyarrow.compute.field(column) == value)["id"].to_pylist()
    return found


def with_spark(task, paths=None, merging=False):
    """The same, read by Spark, whose own reader takes whole pages at once."""
    return from_spark(task, paths, merging, "true")


def with_spark_by_row(task, paths=None, merging=False):
    """The same, read by Spark with the reader of the Parquet project, row by row."""
    return from_spark(task, paths, merging, "false")


def from_spark(task, paths, merging, whole_pages):
    schema = pyarrow_source(task, paths).schema
    names, instants, rows = spark.read(spark_source(task, paths), schema, merging, whole_pages)
    millis = [field.name for field in schema if pyarrow.types.is_time32(field.type)]
    return counted(names, rows, dict.fromkeys(instants, instant) | dict.fromkeys(millis, clock_of_millis))


def spark_source(task, paths=None):
    return [str(path) for path in paths] if paths else [task.glob().removesuffix("/**")]


def find_with_spark(task, sought):
    """The same, found by Spark."""
    schema = pyarrow_source(task).schema
    millis = {field.name: field.type for field in schema if pyarrow.types.is_time32(field.type)}
    counts = {
        column: pyarrow.scalar(value, millis[column]).cast(pyarrow.int32()).as_py()
        for column, value in sought.items()
        if column in millis
    }
    return spark.find(spark_source(task), schema, sought | counts)


def clock_of_millis(millis):
    return clock(millis * 1000)


def counted(names, rows, meanings):
    """Rows as dictionaries, in which the counts of some columns become what they mean."""
    rows = [dict(zip(names, row)) for row in rows]
    for row in rows:
        row.update({name: means(row[name]) for name, means in meanings.items() if row[name] is not None})
    return rows


ALL = {
    "DuckDB": {"DuckDB": with_duckdb},
    "PyArrow": {"PyArrow": with_pyarrow},
    "Spark": {"Spark": with_spark, "Spark, row by row": with_spark_by_row},
}
ASKED = os.environ.get("LAKEFERRY_READERS", "DuckDB,PyArrow").split(",")
READERS = {name: read for asked in ASKED for name, read in ALL[asked].items()}
FINDERS = {"DuckDB": find_with_duckdb, "PyArrow": find_with_pyarrow, "Spark": find_with_spark}
FINDERS = {asked: FINDERS[asked] for asked in ASKED}


def objects_by_lane(task):
    """Per lane, its objects in the order of their sequence IDs: (folder, name, rows)."""
    lanes = {}
    for path in task.objects():
        parts = OBJECT_NAME.match(path.name)
        assert parts, f"no object name of a task: {path.name}"
        rows = pyarrow.parquet.ParquetFile(path).read().to_pylist()
        lanes.setdefault(int(parts["lane"]), []).append((int(parts["sequence"]), path, rows))
    return {lane: [(path, rows) for _, path, rows in sorted(objects)] for lane, objects in lanes.items()}


def earliest_commits(lanes):
    """Per object name the earliest commit time in it."""
    objects = [entry for objects in lanes.values() for entry in objects]
    return {path.name: min(row["$commit_time"] for row in rows) for path, rows in objects}
