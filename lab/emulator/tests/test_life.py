"""Starting, refusing to start, and leaving nothing behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import harness
from harness import WRAP, lab, wait_for

from _path import pin


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


class Life(unittest.TestCase):
    def started_with_worker(self, *arguments):
        """An emulator of its own with one warm function; returns `(process, worker's pid)`."""
        process, port = harness.start(*arguments)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        with mock.patch.object(harness.Shared, "port", port):
            harness.function("worker", "def handle(event): return os.getpid()")
            return process, harness.invoke("worker")

    def test_sigterm_ends_it_and_frozen_workers(self):
        process, worker = self.started_with_worker()
        os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        process.terminate()
        self.assertEqual(process.wait(timeout=3), 0)
        wait_for(lambda: not exists(worker), 1, "the worker to be gone")
        self.assertLess(time.monotonic() - began, 3)

    def test_workers_die_with_a_killed_emulator(self):
        process, worker = self.started_with_worker()
        time.sleep(0.5)  # the thread that started the worker has ended by now
        self.assertTrue(exists(worker))
        process.kill()
        wait_for(lambda: not exists(worker), 2, "the worker to be gone")

    def test_it_ends_with_its_parent(self):
        port = harness.free_port()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        script = (
            "import subprocess, sys\n"
            "print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid, flush=True)\n"
            "sys.stdin.read()\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", script, sys.executable, str(WRAP), "--port", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "LIFEBOAT_LAB_EMULATOR_DIR": scratch.name},
        )
        pid = int(parent.stdout.readline())
        wait_for(lambda: harness._is_ready(port), 20, "the emulator to be ready")
        parent.kill()
        parent.communicate()
        wait_for(lambda: not exists(pid), 3, "the emulator to end")

    def test_second_start_on_the_same_port_is_refused(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        refused = subprocess.run(
            [sys.executable, str(WRAP), "--port", str(harness.port())],
            capture_output=True,
            text=True,
            env={**os.environ, "LIFEBOAT_LAB_EMULATOR_DIR": scratch.name},
        )
        self.assertEqual((refused.returncode, len(refused.stderr.splitlines())), (2, 1))
        self.assertEqual(lab("GET", "health")["status"], "ok")


class Pin(unittest.TestCase):
    def test_another_version_is_refused(self):
        with mock.patch.object(pin.metadata, "version", return_value="1.5.34"):
            self.assertRaisesRegex(pin.PinError, "1.5.34 is installed", pin.check_version)

    def test_another_signature_is_refused(self):
        self.assertRaisesRegex(pin.PinError, r"takes \(obj skipkeys", pin.expect, json, "dumps", "obj")
        self.assertRaisesRegex(pin.PinError, "does not exist", pin.expect, json, "dumpz", "obj")


if __name__ == "__main__":
    unittest.main()
