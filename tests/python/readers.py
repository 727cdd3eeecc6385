"""The two readers of the lake: DuckDB and PyArrow, each with a plain glob and nothing else."""

import re

import duckdb
import pyarrow.dataset
import pyarrow.parquet

OBJECT_NAME = re.compile(r"^task_(?P<lane>\d+)_.*__(?P<sequence>\d+)$")


def with_duckdb(task):
    """All rows of a task's objects as dictionaries, read by DuckDB."""
    cursor = duckdb.sql(f"SELECT * FROM read_parquet('{task.glob()}', hive_partitioning = false)")
    names = cursor.columns
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def with_pyarrow(task):
    """All rows of a task's objects as dictionaries, read by PyArrow."""
    folder = task.glob().removesuffix("/**")
    return pyarrow.dataset.dataset(folder, format="parquet").to_table().to_pylist()


READERS = {"DuckDB": with_duckdb, "PyArrow": with_pyarrow}


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
