"""House rules as tests: what no linter knows. Each rule names what to use instead.

Method: the syntax tree of every module. Names are resolved through the imports of their module, so `from time import
time as now` is seen as well. The rules are tried on small offences first: a rule that cannot fail is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.project import ROOMS, ROOT, project_files

MODULE_LINES_MAX = 500
FILE_BYTES_MAX = 512 * 1024

# name, or start of a dotted name -> what to use instead
NO_PICKLE = "pickle runs code when it is read: msgspec for records, Parquet for tables, np.load without pickle"
BANNED_EVERYWHERE = {
    **dict.fromkeys(("pickle", "cloudpickle", "dill", "shelve", "marshal"), NO_PICKLE),
    **{room: f"import lobgym.{room}: a bare import loads every module twice" for room in ROOMS},
    **{
        f"numba.{name}": "from lobgym.sim.jit import njit: one decorator, one set of rules, always cached"
        for name in ("njit", "jit", "vectorize", "guvectorize", "prange", "stencil", "cfunc", "experimental.jitclass")
    },
}
TIME = "time comes from the tape (or as an argument); durations from time.perf_counter_ns"
CHANCE = "draws are counter-based and keyed by a seed: lobgym.sim.rng"
BANNED_WHERE_REPLAY_MUST_REPEAT = {
    **dict.fromkeys(("time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow"), TIME),
    **dict.fromkeys(("datetime.datetime.today", "datetime.date.today"), TIME),
    **dict.fromkeys(("random", "numpy.random", "uuid.uuid1", "uuid.uuid4"), CHANCE),
}
BANNED_KEYWORDS = {
    "fastmath": "the last bit would depend on the machine (docs/determinism.md)",
    "parallel": "the order of a sum would depend on the number of cores (docs/determinism.md)",
    "allow_pickle": NO_PICKLE,
}
REPEATING_ROOMS = ("sim", "runtime")

# The one place that may name what it wraps, the tests that copy as worker processes do, the benchmark and the test
# of what a user would write, and scripts that run in another environment, without lobgym.
EXEMPT = {
    ("sim/jit.py", "numba.njit"),
    ("experiments/bench/step.py", "numba.njit"),
    ("docs/examples/custom_observation.py", "numba.njit"),
    ("envs/testing/repeatability.py", "pickle"),
    ("tests/envs/test_contract.py", "pickle"),
    ("tests/envs/test_router.py", "pickle"),
    ("tests/sim/test_session_face.py", "pickle"),
    ("tests/oracle/driver.py", "numba.njit"),
    ("tests/sim/test_registered_columns.py", "numba.njit"),
    ("tests/oracle/replay_peer.py", "numba.njit"),
}

# Modules that nobody in lobgym imports, each with the reason why it is not dead.
ENTRY_POINTS = {
    "lobgym.envs.arena_v0": "what PettingZoo's users import, docs/environments/arena.md",
    "lobgym.experiments.cli": "the command `lobgym`",
    "lobgym.sim.strategy": "what users' compiled strategies import, docs/simulator.md",
    "lobgym.experiments.sniper": "`python -m lobgym.experiments.sniper`, the table in docs/market.md",
    "lobgym.experiments.pages.scenario_pictures": "`python -m` with this name, docs/scenarios.md",
    "lobgym.experiments.pages.env_pictures": "`python -m` with this name, docs/rendering.md",
}


# -- the files ---------------------------------------------------------------------------------------------------------


def modules(*folders: str) -> list[Path]:
    return [path for path in project_files() if path.suffix == ".py" and (not folders or path.parts[0] in folders)]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes(), filename=str(path))


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    if parts[0] in ROOMS:
        parts = ("lobgym", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# -- the rules ---------------------------------------------------------------------------------------------------------


def imports(tree: ast.Module) -> Iterator[tuple[int, str, str, str]]:
    """Yields (line, dotted name imported, local name, what that is bound to), imports inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                yield node.lineno, alias.name, alias.asname or first, alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield node.lineno, name, alias.asname or alias.name, name


def used_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields (line, dotted name) of every import and every use of something imported."""
    bound = {}
    for line, name, local, target in imports(tree):
        bound[local] = target
        yield line, name
    for node in ast.walk(tree):
        chain = []
        inner: ast.expr | ast.AST = node
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        if chain and isinstance(inner, ast.Name) and inner.id in bound:
            yield node.lineno, ".".join([bound[inner.id], *reversed(chain)])  # type: ignore[attr-defined]


def banned_names(tree: ast.Module, banned: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    for line, name in sorted(set(used_names(tree))):
        for start, instead in banned.items():
            if name == start or name.startswith(start + "."):
                yield line, start, instead


def banned_keywords(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        for name, reason in BANNED_KEYWORDS.items():
            if isinstance(given.get(name), ast.Constant) and given[name].value:  # type: ignore[attr-defined]
                yield node.lineno, f"{name}=True", reason
        if ast.unparse(node.func).endswith("onnx.export"):
            dynamo = given.get("dynamo")
            if not (isinstance(dynamo, ast.Constant) and dynamo.value is False):
                yield node.lineno, "torch.onnx.export", "say dynamo=False: one file, and no local path inside"


def offences(path: Path, tree: ast.Module) -> list[str]:
    """Every broken rule of one module, as `path:line: what: what instead`."""
    found = [*banned_names(tree, BANNED_EVERYWHERE), *banned_keywords(tree)]
    if path.parts[0] in REPEATING_ROOMS:
        found += banned_names(tree, BANNED_WHERE_REPLAY_MUST_REPEAT)
    return [f"{path}:{line}: {what}: {why}" for line, what, why in found if (path.as_posix(), what) not in EXEMPT]


def listed(found: list[str]) -> str:
    return "\n" + "\n".join(found)


# -- the rules are kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "what"),
    [
        ("sim/a.py", "import time\nt = time.time()", "time.time"),
        ("sim/a.py", "from time import time as now", "time.time"),
        ("runtime/a.py", "import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now"),
        ("runtime/a.py", "from datetime import datetime\ndatetime.now()", "datetime.datetime.now"),
        ("sim/a.py", "import numpy as np\nr = np.random.default_rng(0)", "numpy.random"),
        ("sim/a.py", "def f():\n    from random import shuffle", "random"),
        ("sim/a.py", "import uuid\nuuid.uuid4()", "uuid.uuid4"),
        ("envs/a.py", "from numba import njit", "numba.njit"),
        ("agents/a.py", "import numba as nb\n@nb.njit(cache=True)\ndef f(): ...", "numba.njit"),
        ("governance/a.py", "import pickle", "pickle"),
        ("experiments/a.py", "from sim.records import BUY", "sim"),
        ("tests/a.py", "import envs.grid", "envs"),
        ("sim/a.py", "njit(fastmath=True)(f)", "fastmath=True"),
        ("sim/a.py", "njit(parallel=True)(f)", "parallel=True"),
        ("sim/a.py", "np.load(p, allow_pickle=True)", "allow_pickle=True"),
        ("agents/a.py", "torch.onnx.export(m, x, p)", "torch.onnx.export"),
        ("agents/a.py", "torch.onnx.export(m, x, p, dynamo=True)", "torch.onnx.export"),
    ],
)
def test_an_offence_is_seen(path: str, code: str, what: str) -> None:
    assert any(f": {what}: " in line for line in offences(Path(path), ast.parse(code)))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("sim/a.py", "import time\ntime.perf_counter_ns()"),
        ("experiments/a.py", "import time\ntime.time()"),
        ("envs/a.py", "from lobgym.sim import records\nrecords.BUY"),
        ("sim/a.py", "random = 3\nrandom.real"),
        ("agents/a.py", "torch.onnx.export(m, x, p, dynamo=False)"),
        ("sim/a.py", "np.load(p, allow_pickle=False)"),
    ],
)
def test_the_innocent_pass(path: str, code: str) -> None:
    assert offences(Path(path), ast.parse(code)) == []


def test_nothing_banned_is_used() -> None:
    found = [line for path in modules() for line in offences(path, tree_of(path))]
    assert not found, listed(found)


def test_no_module_is_too_long() -> None:
    """A long module is two ideas in one room."""
    lines = {path: len((ROOT / path).read_bytes().splitlines()) for path in modules()}
    found = [f"{path}: {count} lines" for path, count in lines.items() if count > MODULE_LINES_MAX]
    assert not found, listed(found)


def test_no_file_is_too_large() -> None:
    """Data is generated or fetched; what a test needs of it is cut to size."""
    sizes = {path: (ROOT / path).stat().st_size for path in project_files()}
    found = [f"{path}: {size} bytes" for path, size in sizes.items() if size > FILE_BYTES_MAX]
    assert not found, listed(found)


LOCAL_PATH = re.compile(rb"(?<![\w.~:/$}-])/(?:work|root|home|tmp|Users|mnt)/[\w.<*]")


def test_no_path_of_one_machine() -> None:
    """A path outside the repository belongs into an argument, an environment variable or tmp_path."""
    assert LOCAL_PATH.search(b"see " + b"/" + b"root/x")
    assert not LOCAL_PATH.search(b"https://example.org/home/x and docs/mnt/y")
    found = []
    for path in project_files():
        for number, line in enumerate((ROOT / path).read_bytes().splitlines(), start=1):
            if LOCAL_PATH.search(line):
                found.append(f"{path}:{number}: {line.decode(errors='replace').strip()}")
    assert not found, listed(found)


def test_every_folder_of_modules_is_a_package_with_a_stated_surface() -> None:
    """Each has an `__init__.py` (else it is missing from the wheel) with a docstring and an `__all__`."""
    found = []
    for folder in sorted({path.parent for path in modules(*ROOMS, "lobgym")}):
        init = folder / "__init__.py"
        if init not in project_files():
            found.append(f"{init} is missing")
            continue
        if not ast.get_docstring(tree_of(init)):
            found.append(f"{init} has no docstring")
        assigned = [node for node in tree_of(init).body if isinstance(node, ast.Assign | ast.AnnAssign)]
        targets = [t for node in assigned for t in (node.targets if isinstance(node, ast.Assign) else [node.target])]
        if "__all__" not in [ast.unparse(target) for target in targets]:
            found.append(f"{init} has no __all__")
    assert not found, listed(found)


def test_no_module_is_dead() -> None:
    """Every module is imported by another one of lobgym (tests do not count) or is a named entry point."""
    paths = modules(*ROOMS, "lobgym")
    wanted = set(ENTRY_POINTS)
    for path in paths:
        for _, name, _, _ in imports(tree_of(path)):
            wanted |= {name, name.rpartition(".")[0]} - {module_name(path)}
        for node in ast.walk(tree_of(path)):  # a lazy import by name
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("lobgym."):
                wanted.add(node.value.partition(":")[0])  # also "module:name"
    ordinary = [path for path in paths if path.name not in ("__init__.py", "__main__.py")]
    found = [f"{path}: nobody imports it" for path in ordinary if module_name(path) not in wanted]
    found += [f"{name}: a stale entry point" for name in set(ENTRY_POINTS) - {module_name(path) for path in paths}]
    assert not found, listed(found)
