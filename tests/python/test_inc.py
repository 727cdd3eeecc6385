"""INC: the objects hold every change once, in order, over two lanes and many objects per lane."""

import collections
import unittest

from readers import READERS, earliest_commits, objects_by_lane
from support import RESERVED, Observer, Task, client, create_table, now_micros, wait_until
from writers import COLUMNS, KEY, KEY_NAMES, SPLIT_POINTS, Writer, partition_of

OBJECTS_PER_LANE_MIN = 10


def key_of(row):
    return tuple(row[name] for name in KEY_NAMES)


class Inc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Writes before the task is made, then through it until each lane has its objects."""
        cls.table = create_table(client(), KEY, split_points=SPLIT_POINTS)
        Writer(cls.table, "early").write_all_keys()
        cls.task = Task(
            cls.table,
            "INC",
            COLUMNS + RESERVED,
            prefix="data/$yyyy/$MM/$dd/$HH/$mm",
            lanes_min=2,
            lanes_max=2,
            object_age_ms_max=200,
        )
        cls.writer = Writer(cls.table, "w", keys=200)
        with Observer(cls.task) as cls.observer:
            wait_until(cls.write_and_count, "ten objects in each of two lanes", seconds=120)
            cls.task.wait_for_sync_point(now_micros())
        cls.lanes = objects_by_lane(cls.task)

    @classmethod
    def write_and_count(cls):
        cls.writer.write_all_keys()
        lanes = collections.Counter(path.name.split("_")[1] for path in cls.task.objects())
        return len(lanes) >= 2 and min(lanes.values()) >= OBJECTS_PER_LANE_MIN

    def test_two_lanes_have_ten_objects_each(self):
        self.assertEqual(len(self.lanes), 2)
        for objects in self.lanes.values():
            self.assertGreaterEqual(len(objects), OBJECTS_PER_LANE_MIN)

    def test_every_change_arrives_once_and_in_order_of_its_key(self):
        for name, read in READERS.items():
            with self.subTest(reader=name):
                rows = sorted(read(self.task), key=lambda row: row["$sequence"])
                places = [(partition_of(row["place"]), row["$sequence"]) for row in rows]
                self.assertEqual(len(set(places)), len(places), "a sequence of a partition came twice")
                found = collections.defaultdict(list)
                for row in rows:
                    found[key_of(row)].append((row["$operation"], row["write"]))
                self.assertEqual(dict(found), self.writer.changes)

    def test_a_delivered_row_is_whole(self):
        """An update arrives with the columns that it did not touch; a delete with its key alone."""
        rows = sorted(READERS["PyArrow"](self.task), key=lambda row: row["$sequence"])
        state = {}
        for row in rows:
            values = {name: row[name] for name, _ in COLUMNS if name not in KEY_NAMES}
            before = state.get(key_of(row)) or dict.fromkeys(values)
            if row["$operation"] == "DELETE":
                self.assertEqual(set(values.values()), {None})
                values = None
            elif row["$operation"] == "UPDATE":
                self.assertEqual(values["text"], before["text"])
                self.assertEqual(values["count"], (before["count"] or 0) + 1)
                self.assertIn(values["ratio"], (before["ratio"], None))
            else:
                self.assertEqual(values["text"], f"text {values['write']}")
                self.assertEqual(values["bytes"], values["write"].to_bytes(8, "big"))
            state[key_of(row)] = values

    def test_order_holds_within_a_partition_and_a_folder(self):
        for objects in self.lanes.values():
            last = {}
            for path, rows in objects:
                for row in rows:
                    place = (path.parent, partition_of(row["place"]))
                    self.assertGreater(row["$sequence"], last.get(place, -1), path)
                    last[place] = row["$sequence"]

    def test_a_partition_stays_in_one_lane(self):
        served = collections.defaultdict(set)
        for lane, objects in self.lanes.items():
            for _, rows in objects:
                for row in rows:
                    served[partition_of(row["place"])].add(lane)
        self.assertEqual(set(served), {0, 1, 2, 3})
        self.assertTrue(all(len(lanes) == 1 for lanes in served.values()), served)

    def test_nothing_comes_after_a_sync_point_that_was_committed_before_it(self):
        self.observer.check(self, earliest_commits(self.lanes))


if __name__ == "__main__":
    unittest.main()
