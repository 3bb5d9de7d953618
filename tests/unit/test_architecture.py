"""What the design promises about the code itself."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
FILES = sorted(p for d in ("ratchet", "tasks", "flows") for p in (HOME / d).rglob("*.py"))
STAGES = ("ingest", "validate", "self_train", "drift", "gate", "register", "profile", "meters")
VENDORS = {
    "prefect",
    "mlflow",
    "boto3",
    "botocore",
    "evidently",
    "great_expectations",
    "deltalake",
}
HEAVY = ("prefect", "mlflow", "xgboost", "great_expectations", "evidently", "boto3", "pandas")
Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def place(path: Path) -> str:
    return path.relative_to(HOME).as_posix()


def public(tree: ast.Module | ast.ClassDef) -> Iterator[Node]:
    """Every public function, class and method; what is inside a function is its own affair."""
    for node in tree.body:
        if isinstance(node, Node) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def imports(tree: ast.AST) -> set[str]:
    """The modules that are imported anywhere in a tree."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", FILES, ids=place)
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    silent = [f"{n.name} (line {n.lineno})" for n in public(tree) if not ast.get_docstring(n)]
    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=place)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    functions = [
        n
        for n in ast.walk(ast.parse(text))
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    sizes = {f"{f.name} (line {f.lineno})": (f.end_lineno or 0) - f.lineno + 1 for f in functions}
    assert {name: lines for name, lines in sizes.items() if lines > 60} == {}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_meets_no_vendor_no_environment_and_no_other_stage(stage: str) -> None:
    root = HOME / "ratchet"
    found = [root / f"{stage}.py"] if (root / f"{stage}.py").is_file() else []
    found += sorted((root / stage).rglob("*.py"))
    assert found
    others = {f"ratchet.{s}" for s in STAGES if s != stage} | {"ratchet.adapters"}
    for path in found:
        names = imports(ast.parse(path.read_text()))
        assert not {n.split(".")[0] for n in names} & VENDORS, place(path)
        assert not {".".join(n.split(".")[:2]) for n in names} & others, place(path)
        assert "os" not in names, place(path)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_nothing_happens_at_import(path: Path) -> None:
    """A module defines things; a bare call at its top would be work done at import."""
    tree = ast.parse(path.read_text())
    calls = [
        n.lineno for n in tree.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)
    ]
    assert calls == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["status"], ["init", "--help"]])
def test_the_quick_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from ratchet.cli.main import main\n"
        f"sys.argv = {['ratchet', *arguments]!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    environment = {**os.environ, "RATCHET_HOME": str(tmp_path), "RATCHET_STATE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=HOME,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert done.stderr == ""
