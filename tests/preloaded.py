"""Python processes with preloaded packages: each is forked from a process that has imported them.

`Popen` and `run` replace those of `subprocess` for commands that begin with `sys.executable`, in tests of what a
process does rather than how it starts. This saves three seconds of processor time per process for imports.
"""

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import multiprocessing
import os
import runpy
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.util import register_after_fork
from pathlib import Path
from threading import Lock
from types import ModuleType

from filelock import FileLock

ROOT = Path(__file__).parents[1]
MODULES = (
    "ibis.backends.duckdb",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "serving.app",
    "serving.cli.main",
    "serving.scoring",
    "training.registry.model_registry",
    "training.train",
)
SERVER = "import sys; from tests.preloaded import serve; serve(int(sys.argv[1]))"
SET_CHILD_SUBREAPER = 36  # from linux/prctl.h: orphans become children of this process, which can then wait for them
MOST_BYTES = 100_000
STORE = "FOLDER_OF_THE_TESTS_STORE"  # an environment variable: homes copy their store from there
PROGRAM = """\
#!{python} -ES
import json, os, signal, socket, sys
channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
channel.connect({address!r})
request = {{"arguments": [{script!r}, *sys.argv[1:]], "environment": dict(os.environ), "folder": os.getcwd()}}
socket.send_fds(channel, [json.dumps(request).encode()], [0, 1, 2])
process = int(channel.recv(64))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(process, number))
code = int(channel.recv(64))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
lock = Lock()
channel: socket.socket | None = None


class Popen(subprocess.Popen):
    """A preloaded process that runs `-c CODE`, `-m MODULE` or a script; an ordinary one on other systems than Linux."""

    def _execute_child(self, *values):
        names = inspect.signature(super()._execute_child).parameters
        options = dict(zip(names, values, strict=True))
        environment = dict(os.environ if options["env"] is None else options["env"])
        if sys.platform != "linux":
            super()._execute_child(*values)
            return
        executable, *arguments = map(str, options["args"])
        assert executable == sys.executable, executable
        pipes = [options[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        request = {
            "arguments": arguments,
            "environment": {str(name): str(value) for name, value in environment.items()},
            "folder": str(options["cwd"] or Path.cwd()),
            "new_session": options["start_new_session"],
        }
        self.pid = _fork(request, [pipe if pipe != -1 else stream for stream, pipe in enumerate(pipes)])
        self._child_created = True
        self._close_pipe_fds(
            *(options[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )


def run(command, *, capture_output=False, timeout=None, check=False, **how):
    """Run a process to its end, like `subprocess.run`."""
    if capture_output:
        how |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **how) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    completed = subprocess.CompletedProcess(command, process.returncode, output, errors)
    if check:
        completed.check_returncode()
    return completed


@contextmanager
def program(folder, name, before="pass"):
    """Write a program of the environment to a folder; its runs are forked from one process that first runs `before`."""
    script, address = Path(sys.executable).parent / name, folder / "socket"
    file = folder / name
    file.write_text(PROGRAM.format(python=sys.executable, address=str(address), script=str(script)))
    file.chmod(0o755)
    code = f"{before}\nimport sys; from tests.preloaded import serve_programs; serve_programs(sys.argv[1])"
    with Popen([sys.executable, "-c", code, str(address)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield
        finally:
            process.kill()


def choose_metrics(_=None):
    """Store metrics as PROMETHEUS_MULTIPROC_DIR says; prometheus-client reads it only on import."""
    from prometheus_client import values

    values.ValueClass = values.get_value_class()


def choose_backend():
    """Use the backend of MPLBACKEND; matplotlib reads it only on import."""
    import matplotlib

    if backend := os.environ.get("MPLBACKEND"):
        matplotlib.use(backend)


def copy_new_stores(folder):
    """Let MLflow create the store of one home in a folder; other homes copy it and correct its addresses."""
    from training.home import Home
    from training.registry import embedded_store

    first = Home(folder / "home")
    create = getattr(embedded_store._create, "replaces", embedded_store._create)  # once in a process

    def copy(mlflow, home):
        with FileLock(folder / "lock"):
            if not first.store.exists():
                first.folder.mkdir(exist_ok=True)
                create(mlflow, first)
        Path(shutil.copy(first.store, home.store.with_suffix(".new"))).rename(home.store)

    copy.replaces = create
    embedded_store._create = copy


def plan_feature_tables():
    """Plan what training and scoring compute, so that no process that is forked later compiles the SQL again."""
    import pyarrow as pa
    from ibis import duckdb

    from features.catalogue import INPUTS
    from features.events.encoding import cached
    from features.events.loading import load_encoded_events
    from features.feature_table import feature_rows, feature_table_and_pairs
    from features.progress import ignore_progress
    from training.model.feature_sets import comparison_features, panel_features, snapshot_features

    as_of = datetime(2025, 6, 1, tzinfo=UTC)
    act = pa.table({"time": [as_of - timedelta(days=1)], "actor": ["ann"], "verb": ["like"], "target": ["bob"]})
    engine = duckdb.connect(threads=1)  # other threads would not survive a fork
    events = load_encoded_events(act, engine=engine)
    with feature_table_and_pairs(events, as_of, ignore_progress, snapshot_features(INPUTS.names)):
        pass
    with cached(events) as shared:
        for features in (panel_features(), comparison_features(INPUTS.names)):
            feature_rows(shared, as_of, features=features)
    engine.disconnect()


def fork_workers():
    """Let uvicorn fork its workers from this process, which has the imports, instead of spawning them."""
    import uvicorn._subprocess

    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")
    register_after_fork(uvicorn, choose_metrics)


def _fork(request, streams):
    """Let the server fork a process and adopt it; return its process id."""
    global channel
    with lock:
        if channel is None:
            channel = _start_server()
        _adopt_orphans(True)
        try:
            text = json.dumps(request).encode()
            assert len(text) < MOST_BYTES
            socket.send_fds(channel, [text], streams)
            return int(channel.recv(64))
        finally:
            _adopt_orphans(False)


def _start_server():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", SERVER, str(theirs.fileno())]
    from training.registry.mlflow_session import QUIET

    with theirs:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | QUIET, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
    process.returncode = 0  # it ends when the channel closes; nobody waits for it
    atexit.register(ours.close)
    return ours


def _adopt_orphans(adopts):
    assert ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(adopts), 0, 0, 0) == 0


def serve(descriptor):
    """Import the packages, then fork a process to run each request, until the channel closes."""
    import duckdb

    for name in MODULES:
        importlib.import_module(name)
    plan_feature_tables()
    # Threads do not survive a fork, and a forked process would wait for them at its end.
    duckdb.set_default_connection(duckdb.connect(config={"threads": 1}))
    gc.collect()
    gc.freeze()  # otherwise its first collection would copy all pages
    gc.set_threshold(20_000)
    with socket.socket(fileno=descriptor) as requests:
        while True:
            text, streams, *_ = socket.recv_fds(requests, MOST_BYTES, 3)
            if not text:
                return
            request = json.loads(text)
            child = _fork_orphan(request["new_session"])
            if child is None:
                break
            requests.sendall(str(child).encode())
            for stream in streams:
                os.close(stream)
    _prepare(request, streams)


def serve_programs(address):
    """Fork a process for each program that connects, and send it the process id and the exit code."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as requests:
        requests.bind(address)
        requests.listen()
        print("listening", flush=True)
        while True:
            connection, _ = requests.accept()
            if _fork_orphan() is None:
                break
            connection.close()
    text, streams, *_ = socket.recv_fds(connection, MOST_BYTES, 3)
    child = os.fork()
    if child == 0:
        connection.close()
        _prepare(json.loads(text), streams)
        return
    connection.sendall(str(child).encode())
    connection.sendall(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    os._exit(0)


def _fork_orphan(new_session=False):
    """Fork a process whose parent ends before this returns; return its process id, and None in the new process.

    If requested, it already leads a new session; otherwise signals to its process group would reach the tests.
    """
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        if os.fork():
            os._exit(0)
        if new_session:
            os.setsid()
        os.write(write, str(os.getpid()).encode())
        os.close(read)
        os.close(write)
        return None
    os.close(write)
    os.waitpid(parent, 0)
    child = int(os.read(read, 64))
    os.close(read)
    return child


def _prepare(request, streams):
    """Become the process of a request, and run its command."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
    os.closerange(3, max(streams) + 1)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    choose_metrics()
    choose_backend()
    if folder := os.environ.get(STORE):
        copy_new_stores(Path(folder))
    sys.path[1:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    kind, *rest = request["arguments"]
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    if kind == "-c":
        code, sys.argv = compile(rest[0], "<string>", "exec"), ["-c", *rest[1:]]
    else:
        code, sys.argv, main.__file__ = compile(Path(kind).read_text(), kind, "exec"), [kind, *rest], kind
        sys.path[0] = str(Path(kind).parent)
    exec(code, vars(main))
