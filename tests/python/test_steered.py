"""Tasks of every type that are paused, updated and restarted, with dirty fields among them, while rows are written.

What they leave behind is compared with the table by readers that nobody here wrote. A cut's objects have the columns
of one configuration, which its manifest names; so they are read together, as a consumer would.
"""

import collections
import dataclasses
import itertools
import signal
import threading
import time
import unittest

import pyarrow.parquet
from tablestore import Condition, Row

import matrix
from readers import READERS
from support import LAKE, RESERVED, SERVER, Task, as_dict, as_field, client, create_table, now_micros, read_range, wait_until

KEY = [("id", "INTEGER")]
KEYS = 60
OWN = [as_field(column) for column in [("id", "INT64"), ("write", "INT64"), *RESERVED]]
# How many rows are written between one step and the next.
STEP_ROWS = 25


def versions():
    """The columns of the updated task, one set after the other, by the columns' names."""
    every = matrix.columns()
    half = dict(itertools.islice(every.items(), len(every) // 2))
    renamed = {f"new_{target}": column for target, column in every.items()}
    other = {source: matrix.TYPES[wider] for source, wider in WIDENED.items()}
    changed = {
        target: dataclasses.replace(column, type=other.get(column.source, column.type), encoding=matrix.PLAIN)
        for target, column in every.items()
    }
    return {
        "half of the columns": half,
        "columns added": every,
        "columns reordered": dict(reversed(every.items())),
        "columns renamed": renamed,
        "types changed": changed,
        "another prefix": changed,
    }


# Types that hold all that the others do.
WIDENED = {"int32": "int64", "float": "double", "utf8": "binary", "decimal9": "decimal18"}


def schema(columns):
    return OWN + [column.field(target) for target, column in columns.items()]


class Writer:
    """Puts rows of every type, one after the other, until the block ends; sends again what got no answer."""

    def __init__(self, table):
        self.ots, self.table, self.going, self.failure = client(), table, True, None
        # Per key its writes, in order; and how often one was sent again.
        self.writes, self.answered, self.sent_again = collections.defaultdict(list), 0, 0
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        self.thread.join()
        if self.failure is not None:
            raise self.failure

    def run(self):
        try:
            for number in itertools.count():
                if not self.going:
                    return
                self.put(number)
        except Exception as failure:  # Told by the main thread.
            self.failure = failure

    def put(self, number):
        key = number % KEYS
        row = Row([("id", key)], [("write", number), *matrix.cells(number)])
        end = time.monotonic() + 60
        while True:
            try:
                self.ots.put_row(self.table, row, Condition("IGNORE"))
                break
            except Exception:
                # The server is away; what the answer would have been, nobody knows.
                if time.monotonic() > end:
                    raise
                self.sent_again += 1
                time.sleep(0.05)
        self.writes[key].append(number)
        self.answered += 1
        # What is to be read in the end stays small, however slow this computer is.
        time.sleep(0.01)

    def go_on(self, rows=STEP_ROWS):
        """Waits until so many more rows are written."""
        wanted = self.answered + rows
        wait_until(lambda: self.failure or self.answered >= wanted, f"{wanted} rows; {self.answered}")


class Steered(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Everything happens to all tasks at once; each test then looks at one of them."""
        every = matrix.columns()
        cls.table = create_table(client(), KEY, split_points=[KEYS // 2])
        tuning = {"object_age_ms_max": 200}
        versions_left = iter(versions().items())
        cls.updated = Task(cls.table, "INC", schema(next(versions_left)[1]), name="updated", **tuning)
        cls.configuration = 1
        cls.updated.wait_for_phase("INCR")
        with Writer(cls.table) as cls.writer:
            cls.writer.go_on(2 * KEYS)
            arguments = cls.table, "BASE_INC", schema(every)
            cls.paused = Task(*arguments, name="paused", compression="none", **tuning)
            cls.restarted = Task(*arguments, name="restarted", prefix="data/$yyyy/$MM/$dd/$HH/$mm", **tuning)
            cls.paused.wait_for_phase("INCR")
            cls.restarted.wait_for_phase("INCR")
            cls.writer.go_on()
            cls.paused.steer("pause")
            cls.update(next(versions_left))
            SERVER.restart(signal.SIGTERM)
            cls.while_paused = [cls.paused.status()]
            cls.writer.go_on()
            cls.update(next(versions_left))
            # Nobody waits for this one to come into force: the kill comes into the midst of it.
            cls.change(next(versions_left))
            SERVER.restart(signal.SIGKILL)
            cls.wait_for_objects()
            cls.while_paused.append(cls.paused.status())
            cls.paused.steer("resume")
            cls.update(next(versions_left))
            cls.paused.steer("pause")
            cls.update(next(versions_left))
            cls.paused.steer("resume")
            SERVER.restart(signal.SIGKILL)
            cls.writer.go_on()
        # Commit times begin, after a restart, up to three seconds ahead of the clock.
        everything = now_micros() + 3_000_000
        for task in [cls.updated, cls.paused, cls.restarted]:
            task.wait_for_sync_point(everything)
        cls.rows = {row["id"]: row for row in map(as_dict, read_range(client(), cls.table, ["id"]))}

    @classmethod
    def change(cls, version):
        name, columns = version
        destination = {"destination": {"prefix": "elsewhere/$yyyy"}} if name == "another prefix" else {}
        cls.updated.change({"schema": {"manual": schema(columns)}} | destination)
        cls.configuration += 1

    @classmethod
    def update(cls, version):
        """Changes the updated task and waits until rows have been delivered so."""
        cls.change(version)
        cls.wait_for_objects()

    @classmethod
    def wait_for_objects(cls):
        def is_made():
            cuts = cls.updated.manifests()
            return any(cut["objects"] for cut in cuts if cut["configuration"] == cls.configuration)

        wait_until(is_made, f"objects of configuration {cls.configuration}; {cls.updated.status()}")

    def test_a_task_that_is_paused_and_resumed_delivers_every_change_once(self):
        every = matrix.columns()
        self.compare(self.paused, lambda _: every)
        for status in self.while_paused:
            self.assertTrue(status["is_paused"], "a restart has resumed it")
        self.assertEqual(len({status["rows_delivered"] for status in self.while_paused}), 1)

    def test_a_task_that_lives_through_restarts_delivers_every_change_once(self):
        every = matrix.columns()
        self.compare(self.restarted, lambda _: every)

    def test_a_task_that_is_updated_delivers_every_change_once_in_the_columns_of_its_time(self):
        columns = list(versions().values())
        made = self.compare(self.updated, lambda configuration: columns[configuration - 1], from_start=True)
        self.assertEqual(made, set(range(1, len(columns) + 1)), "some version delivered nothing")

    def compare(self, task, columns_of, from_start=False):
        """Compares what a task left behind with the table and with what was written; answers its configurations."""
        paths = self.paths_by_configuration(task, columns_of)
        written = {number: dict(matrix.cells(number)) for number in range(self.writer.answered)}
        for name, read in READERS.items():
            with self.subTest(reader=name):
                changes, dirty = collections.defaultdict(list), set()
                for configuration, objects in paths.items():
                    columns = columns_of(configuration)
                    rows = read(task, objects)
                    matrix.check(self, columns, [(row, written[row["write"]]) for row in rows])
                    for row in rows:
                        changes[row["id"]].append(row)
                        missing = matrix.misfits(columns, written[row["write"]])
                        dirty |= {(row["$sequence"], row["id"], target) for target in missing}
                self.check_changes(changes, written, from_start)
                self.check_dirty(task, dirty)
        return set(paths)

    def paths_by_configuration(self, task, columns_of):
        """The objects that manifests name, which are all there are, each with the columns of its configuration."""
        paths = collections.defaultdict(list)
        for manifest in task.manifests():
            paths[manifest["configuration"]] += [LAKE / task.bucket / entry["name"] for entry in manifest["objects"]]
        for configuration, objects in paths.items():
            expected = [field["target"] for field in OWN] + list(columns_of(configuration))
            for path in objects:
                self.assertEqual(pyarrow.parquet.read_schema(path).names, expected, path)
        everything = [path for path in (LAKE / task.bucket).rglob("*") if path.is_file()]
        data = sorted(path for path in everything if "_lakeferry" not in path.parts)
        self.assertEqual(sorted(itertools.chain(*paths.values())), data)
        return {configuration: objects for configuration, objects in paths.items() if objects}

    def check_changes(self, delivered, written, from_start):
        """Each key's changes are there once and in order, and the last is what the table says."""
        self.assertEqual(set(delivered), set(self.rows))
        for key, changes in delivered.items():
            changes.sort(key=lambda row: row["$sequence"])
            sequences = [row["$sequence"] for row in changes]
            self.assertEqual(len(sequences), len(set(sequences)), "a change came twice")
            # What was sent again may be two changes of the log.
            writes = [number for number, _ in itertools.groupby(row["write"] for row in changes)]
            expected = self.writer.writes[key]
            self.assertEqual(writes, expected if from_start else expected[-len(writes) :])
            row = self.rows[key]
            held = {name: matrix.comparable(value) for name, value in row.items() if name not in ("id", "write")}
            put = {name: matrix.comparable(value) for name, value in written[writes[-1]].items()}
            self.assertEqual((row["write"], held), (writes[-1], put))
        count = sum(map(len, delivered.values()))
        self.assertLessEqual(count, self.writer.answered + self.writer.sent_again)

    def check_dirty(self, task, expected):
        kept = [
            (line["sequence"], int(line["primary_key"][0]["value"]), line["target"]) for line in task.dirty_lines()
        ]
        self.assertGreater(len(kept), 0)
        self.assertEqual(len(kept), len(set(kept)), "a field was kept twice")
        self.assertEqual(set(kept), expected)
        self.assertEqual(task.status()["dirty_fields"], len(kept))


if __name__ == "__main__":
    unittest.main()
