"""A server of a suite's own: started on data of its own, ended in both ways, and started again where it was.

LAKEFERRY_PROGRAM is the program, LAKEFERRY_DATA the folder that its data go to, LAKEFERRY_LOG the file that takes
what it says.
"""

import atexit
import os
import pathlib
import signal
import subprocess


class Server:
    """`lakeferry serve --dev`. It answers at the same address after each start."""

    def __init__(self):
        self.program, self.data = os.environ["LAKEFERRY_PROGRAM"], os.environ["LAKEFERRY_DATA"]
        self.log = open(os.environ["LAKEFERRY_LOG"], "ab")
        self.lake = pathlib.Path(self.data) / "lake"
        self.address, self.process = "http://127.0.0.1:0", None
        atexit.register(self.end, signal.SIGKILL)
        self.start()

    def start(self):
        listen = self.address.removeprefix("http://")
        serve = [self.program, "serve", "--dev", "--data", self.data, "--listen", listen]
        self.process = subprocess.Popen(
            serve, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        # Its only line but for the address is the one that says it is ready; it never fills the pipe.
        for line in self.process.stdout:
            if line.startswith("ready: "):
                self.address = line.removeprefix("ready: ").strip()
                return
        raise AssertionError(f"the server did not start; its log is {self.log.name}")

    def end(self, how):
        """Ends the server by this signal and waits until it is gone."""
        self.process.send_signal(how)
        self.process.wait()
        self.process.stdout.close()

    def restart(self, how):
        self.end(how)
        self.start()
