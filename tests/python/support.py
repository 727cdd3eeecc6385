"""What the tests share: clients, tables, delivery tasks and the objects they leave.

The environment names the server: LAKEFERRY_ENDPOINT is its address, LAKEFERRY_LAKE the folder of its local
buckets. Where it names a program instead, the tests have a server of their own, which they may restart. It runs
with `--dev`: the key is dev/dev, instances and buckets are made when first named.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import threading
import time
import urllib.parse
import uuid

from tablestore import (
    INF_MAX,
    INF_MIN,
    CapacityUnit,
    OTSClient,
    OTSServiceError,
    ReservedThroughput,
    TableMeta,
    TableOptions,
)

import server

SERVER = server.Server() if "LAKEFERRY_PROGRAM" in os.environ else None
ENDPOINT = SERVER.address if SERVER else os.environ["LAKEFERRY_ENDPOINT"]
LAKE = SERVER.lake if SERVER else pathlib.Path(os.environ["LAKEFERRY_LAKE"])
INSTANCE = "python-tests"
KEY_ID, KEY_SECRET = "dev", "dev"


def client(secret=KEY_SECRET, **settings):
    """A client of the SDK; `region` makes it sign with version 4."""
    return OTSClient(ENDPOINT, KEY_ID, secret, INSTANCE, **settings)


def create_table(ots, key, split_points=None, name=None, max_version=1, defined_columns=None):
    """Makes a table with the primary key `key`, by default under a name that no test used before."""
    name = name or f"t_{uuid.uuid4().hex[:12]}"
    meta = TableMeta(name, key, defined_columns or [])
    options, throughput = TableOptions(max_version=max_version), ReservedThroughput(CapacityUnit(0, 0))
    ots._create_table_ex(meta, options, throughput, split_points=split_points or [])
    return name


def read_range(ots, table, key_names, direction="FORWARD"):
    """All rows of a table, page by page, as the SDK returns them."""
    bounds = [[(name, bound) for name in key_names] for bound in (INF_MIN, INF_MAX)]
    start, end = bounds if direction == "FORWARD" else reversed(bounds)
    rows = []
    while start is not None:
        _, start, page, _ = ots.get_range(table, direction, start, end)
        rows.extend(page)
    return rows


def as_dict(row):
    """A row of the SDK as one dictionary of key and attribute values."""
    return dict(row.primary_key) | {name: value for name, value, _ in row.attribute_columns}


def wait_until(found, what, seconds=60):
    """Asks `found` again and again until it answers with something true, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class ApiError(Exception):
    """An answer of the JSON API that is no success."""


def call(method, path, body=None):
    """Calls the JSON API, signed as the protocol's requests are."""
    content = b"" if body is None else json.dumps(body).encode()
    path = "/api/v1/" + path
    headers = {
        "x-ots-date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "x-ots-apiversion": "2015-12-31",
        "x-ots-accesskeyid": KEY_ID,
        "x-ots-instancename": INSTANCE,
        "x-ots-contentmd5": base64.b64encode(hashlib.md5(content).digest()).decode(),
    }
    lines = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    signed = hmac.new(KEY_SECRET.encode(), f"{path}\n{method}\n\n{lines}".encode(), hashlib.sha1)
    headers["x-ots-signature"] = base64.b64encode(signed.digest()).decode()
    connection = http.client.HTTPConnection(urllib.parse.urlparse(ENDPOINT).netloc, timeout=30)
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status >= 300:
        raise ApiError(f"{method} {path}: {response.status} {text.decode(errors='replace')}")
    return json.loads(text) if text else None


RESERVED = [("$operation", "UTF8"), ("$commit_time", "INT64"), ("$sequence", "INT64")]


def field(name, kind):
    """A column of a manual schema; BINARY is a UTF8 column that is a plain byte array."""
    extend = {"type_extend": "BINARY"} if kind == "BINARY" else {}
    return {"source": name, "target": name, "kind": "UTF8" if extend else kind} | extend


def as_field(column):
    return column if isinstance(column, dict) else field(*column)


class Task:
    """A delivery task, made through the JSON API, into a bucket of its own.

    `columns` are the manual schema, as (name, kind) or as the API names them; None asks for the automatic one.
    """

    def __init__(self, table, mode, columns, prefix="data", name="task", **tuning):
        self.table, self.name = table, name
        self.bucket = f"b-{uuid.uuid4().hex[:12]}"
        self.prefix = prefix
        automatic = {"automatic": {"reserved": False}}
        manual = {"manual": [as_field(column) for column in columns or []]}
        spec = {
            "name": self.name,
            "mode": mode,
            "destination": {
                "bucket": self.bucket,
                "endpoint": "local",
                "role": "role",
                "prefix": prefix,
                "event_time": None,
            },
            "schema": automatic if columns is None else manual,
        }
        if tuning:
            spec["tuning"] = tuning
        call("POST", f"instances/{INSTANCE}/tables/{table}/tasks", spec)

    def path(self):
        return f"instances/{INSTANCE}/tables/{self.table}/tasks/{self.name}"

    def status(self):
        return call("GET", self.path())["status"]

    def change(self, patch):
        """Changes what the task was made with, while it runs."""
        return call("PATCH", self.path(), patch)

    def steer(self, what):
        """`pause`, `resume` and the like."""
        return call("POST", f"{self.path()}/{what}", {})

    def wait_for_phase(self, phase):
        return wait_until(lambda: self.status()["phase"] == phase, f"phase {phase}; {self.status()}")

    def wait_for_sync_point(self, at_least):
        """Waits until everything committed before `at_least` (microseconds since the epoch) is in the lake."""
        return wait_until(lambda: self.status()["sync_point"] >= at_least, f"sync point; {self.status()}")

    def glob(self):
        """The plain glob over the task's fixed first segment that query engines are given."""
        return str(LAKE / self.bucket / self.prefix.split("/")[0] / "**")

    def objects(self):
        """All objects of the task that can be listed now, by path."""
        top = LAKE / self.bucket / self.prefix.split("/")[0]
        return sorted(path for path in top.rglob("*") if path.is_file())

    def delete(self):
        call("DELETE", self.path())

    def manifests(self):
        """What the task says of its cuts, in their order."""
        top = LAKE / self.bucket / "_lakeferry" / "manifests"
        return [json.loads(path.read_text()) for path in sorted(top.rglob("*.json"))]

    def dirty_lines(self):
        """The fields that were left out, as they are kept."""
        top = LAKE / self.bucket / "_lakeferry" / "dirty"
        lines = [line for path in sorted(top.rglob("*.jsonl")) for line in path.read_text().splitlines()]
        return [json.loads(line) for line in lines]


class Observer:
    """Watches a task from a thread: which sync points it shows, and which objects could be listed by then.

    What is delivered later must not have been committed before a sync point that was shown already, and the
    sync point must not go back.
    """

    def __init__(self, task):
        self.task, self.shown, self.going, self.failure = task, [], True, None
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        self.thread.join()

    def watch(self):
        try:
            while self.going:
                # In this order: what is listed after the sync point was shown includes all it speaks of.
                sync_point = self.task.status()["sync_point"]
                self.shown.append((sync_point, {path.name for path in self.task.objects()}))
                time.sleep(0.1)
        except Exception as failure:  # Told by the main thread.
            self.failure = failure

    def check(self, test, earliest_commit_by_name):
        """Checks what was seen against the earliest commit time in each object, by the object's name."""
        if self.failure is not None:
            raise self.failure
        points = [point for point, _ in self.shown]
        test.assertEqual(points, sorted(points), "the sync point went back")
        test.assertGreater(points[-1], 0, "no sync point was shown")
        for point, listed in self.shown:
            for name, earliest in earliest_commit_by_name.items():
                if name not in listed:
                    test.assertGreaterEqual(earliest, point, f"{name} came after the sync point {point}")


def now_micros():
    return time.time_ns() // 1000


__all__ = [name for name in globals() if not name.startswith("_")]
