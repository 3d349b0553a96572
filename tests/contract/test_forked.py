"""A process of the fork server is what an interpreter of its own would be."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.forked import EARLY, SERVER, Forked, can_fork, is_read_early
from tests.world import Child, Home

Start = Callable[..., Child]
"""Starts a module in a home: the home, the module's code, its words and variables."""

STATE = """
import gc, json, locale, os, random, resource, signal, sys, tempfile, threading, time
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "executable": sys.executable, "flags": str(sys.flags), "name": __name__,
    "warnings": sys.warnoptions, "environ": dict(os.environ), "HOME": os.getenv("HOME"), "zone": time.strftime("%Z"),
    "cwd": os.getcwd(), "umask": status["Umask"], "group": os.getpgid(0), "session": os.getsid(0),
    "descriptors": {fd: os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in "012"},
    "open": len(os.listdir("/proc/self/fd")), "inheritable": [os.get_inheritable(fd) for fd in range(3)],
    "streams": [
        (s.name, s.mode, s.encoding, s.errors, s.isatty(), s.line_buffering, s.newlines)
        for s in (sys.stdin, sys.stdout, sys.stderr)
    ],
    "stdin": sys.stdin.read(), "locale": locale.getlocale(), "tempdir": tempfile.tempdir,
    "signals": {str(number): str(signal.getsignal(number)).partition(" at ")[0] for number in signal.valid_signals()},
    "masks": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")], "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "cores": sorted(os.sched_getaffinity(0)), "user": os.getresuid(), "groups": os.getgroups(),
    "limits": [resource.getrlimit(kind) for kind in range(16)], "threads": len(threading.enumerate()),
    "gc": [gc.isenabled(), *gc.get_threshold()], "main": threading.current_thread().name,
    "children": open(f"/proc/self/task/{os.getpid()}/children").read(), "hub": "huggingface_hub" in sys.modules,
}))
print(random.random(), file=sys.stderr)
"""
ENDS = {
    "import sys; sys.exit(3)": (3, "", ""),
    "import sys; sys.exit('no')": (1, "", "no\n"),
    "import os; os._exit(7)": (7, "", ""),
    "import os; os.kill(os.getpid(), 15)": (-15, "", ""),
    "import atexit; atexit.register(print, 'end'); print('a\\r\\nb\\rc')": (0, "a\nb\nc\nend\n", ""),
    "import threading, time; threading.Timer(0.2, print, ['thread']).start()": (0, "thread\n", ""),
    "import sys; print('o' * 300_000); print('e' * 300_000, file=sys.stderr)": (
        0,
        "o" * 300_000 + "\n",
        "e" * 300_000 + "\n",
    ),
}
LASTING = "import time; print('begun', flush=True); time.sleep(600)"


def interpreted(home: Home, code: str, *words: str, **more: str) -> Child:
    """Start a module in an interpreter of its own."""
    (home.work / "module.py").write_text(code, encoding="utf-8")
    return home.start_program(sys.executable, "-m", "module", *words, **more)


def forked(home: Home, code: str, *words: str, **more: str) -> Child:
    """Start a module in a fork."""
    (home.work / "module.py").write_text(code, encoding="utf-8")
    home.children.append(Child(Forked("module", words, home.work, home.environ(**more))))
    return home.children[-1]


@pytest.fixture(params=[interpreted, forked])
def start(request: pytest.FixtureRequest) -> Start:
    """Either way to start a module."""
    found: Start = request.param
    return found


def test_a_module_finds_the_same_process(home: Home) -> None:
    """A module finds the same words, paths, variables, streams, descriptors, signals and limits; chance is its own."""
    words, more = ("one", "", "ü\udcff"), {"TZ": "Asia/Tokyo", "EMPTY": "", "TMPDIR": str(home.root)}
    real, fork = (way(home, STATE, *words, **more).finish().checked() for way in (interpreted, forked))

    assert fork.json == real.json
    assert len({float(said.err) for said in (real, fork, forked(home, STATE).finish())}) == 3


@pytest.mark.parametrize(("code", "end"), ENDS.items(), ids=range(len(ENDS)))
def test_an_end_is_told_with_all_that_was_printed(
    home: Home, start: Start, code: str, end: tuple[int, str, str]
) -> None:
    """The exit code or the signal is told, with everything that was printed until then, at the very end too."""
    done = start(home, code).finish()

    assert (done.code, done.out, done.err) == end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_it(home: Home, start: Start, number: int) -> None:
    """A running module has no exit code, outlasts a deadline that passes, and ends by a signal."""
    process = start(home, LASTING).process
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    assert process.poll() is None
    for waits in (process.wait, process.communicate):
        with pytest.raises(subprocess.TimeoutExpired):
            waits(timeout=0.05)

    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.wait() == process.poll() == process.returncode == -number
    process.kill()  # nothing is left to be killed, or to be read
    process.communicate()


def test_an_error_that_nobody_catches_ends_it_with_a_traceback(home: Home, start: Start) -> None:
    """An error that nobody catches is exit code 1, with the module's line in a traceback."""
    done = start(home, "1 / 0").finish()

    assert done.code == 1
    assert 'module.py", line 1, in <module>' in done.err
    assert done.err.endswith("ZeroDivisionError: division by zero\n")


def test_code_is_run_as_after_c(home: Home) -> None:
    """With `-c` a fork runs code, which finds its words and imports what lies beside, as in an interpreter."""
    (home.work / "beside.py").write_text("found = 7")
    code = "import sys, beside; print(sys.argv, sys.path[0] in ('', sys.argv[1]), beside.found, __name__)"
    words = ("-c", code, str(home.work))

    fork = Child(Forked(words[0], words[1:], home.work, home.environ())).finish().checked()

    assert fork == home.start_program(sys.executable, *words).finish()


def test_a_file_takes_what_is_printed(home: Home) -> None:
    """With a descriptor for its output a fork writes both streams there."""
    (home.work / "module.py").write_text("import sys; print('o', flush=True); print('e', file=sys.stderr)")
    with (home.root / "log").open("wb") as log:
        process = Forked("module", [], home.work, home.environ(), log.fileno())

    assert process.wait(60) == 0
    assert (home.root / "log").read_text() == "o\ne\n"


def test_forks_begin_at_the_same_time(home: Home) -> None:
    """Many forks run side by side, and none holds the pipes of another."""
    lasting = forked(home, LASTING)
    assert lasting.process.stdout is not None
    assert lasting.process.stdout.readline() == "begun\n"
    (home.work / "done.py").write_text("print('done')")
    others = [Forked("done", [], home.work, home.environ()) for _ in range(8)]

    assert [other.communicate(60) for other in others] == [("done\n", "")] * 8
    assert lasting.process.poll() is None


def test_only_what_is_read_early_is_read_while_modules_are_imported(home: Home) -> None:
    """What the server imports reads no variable that a fork could have with another value, and starts no thread."""
    code = f"""
import collections, json, os, sys, threading
sys.path[0] = {str(SERVER.parent)!r}
import fork_server
read, get = set(), type(os.environ).__getitem__
type(os.environ).__getitem__ = lambda self, name: read.add(name) or get(self, name)
fork_server.import_everything()
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(json.dumps([sorted(read), sorted(loaded), threading.active_count()]))
"""

    read, loaded, threads = home.python(code).checked().json

    variables_of_cgi = set(home.environ())  # wsgiref copies them all, for servers that we don't start
    assert {name for name in read if not is_read_early(name)} <= variables_of_cgi
    assert {"sqlalchemy", "fastapi", "modelshelf"} <= set(loaded)
    assert not {"huggingface_hub", "transformers", "torch", "xllamacpp"} & set(loaded)
    assert threads == 1


@pytest.mark.parametrize("name", ["LC_ALL", "PYTHONUNBUFFERED", "LD_PRELOAD", "TYPER_USE_RICH"])
def test_what_is_read_early_takes_an_interpreter_of_its_own(home: Home, name: str) -> None:
    """With a variable that is read before a command begins, a command gets an interpreter of its own."""
    assert can_fork(home.environ())
    assert not can_fork(home.environ(**{name: ""}))
    assert isinstance(home.start("--version", **{name: ""}).process, subprocess.Popen)
    assert isinstance(home.start("--version").process, Forked)
    assert not can_fork({name: value for name, value in home.environ().items() if name not in EARLY})
