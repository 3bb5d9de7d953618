"""What is installed is what was locked: altered wheels are refused, no address is named."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOME = Path(__file__).parents[2]
LOCK = (HOME / "requirements.lock").read_text()
NAME = "ratchet_probe-1.0-py3-none-any.whl"


def build_wheel(folder: Path, code: bytes = b"ANSWER = 42\n") -> Path:
    """A wheel of one module, consistent in itself."""
    files = {
        "ratchet_probe.py": code,
        "ratchet_probe-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: ratchet-probe\n"
        b"Version: 1.0\n",
        "ratchet_probe-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    files["ratchet_probe-1.0.dist-info/RECORD"] = f"{record}{'RECORD'},,\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    return path


def install(tool: str, wheels: Path, lock: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Install as ``make setup`` does, but from a folder instead of a registry."""
    common = ("--no-index", "--find-links", str(wheels), "--require-hashes", "--no-deps")
    where = ("--target", str(target), "-r", str(lock))
    if tool == "pip":
        start = (sys.executable, "-m", "pip", "install", "--no-cache-dir", "--isolated")
    else:
        uv = Path(sys.executable).parent / "uv"
        start = (str(uv), "pip", "install", "--no-cache", "--no-config", "--python", sys.executable)
    return subprocess.run(
        [*start, *common, *where],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=wheels.parent,
    )


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_fault_59_an_altered_wheel_is_not_installed(tool: str, tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "wheels")
    sound = wheel.read_bytes()
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"ratchet-probe==1.0 --hash=sha256:{hashlib.sha256(sound).hexdigest()}\n")

    done = install(tool, wheel.parent, lock, tmp_path / "sound")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sound" / "ratchet_probe.py").read_text() == "ANSWER = 42\n"

    wheel.write_bytes(sound.replace(b"ANSWER = 42", b"ANSWER = 43"))  # one byte
    damaged = install(tool, wheel.parent, lock, tmp_path / "damaged")
    assert damaged.returncode != 0
    assert not (tmp_path / "damaged" / "ratchet_probe.py").exists()

    build_wheel(wheel.parent, b"ANSWER = 43\n")  # every checksum inside it fits
    forged = install(tool, wheel.parent, lock, tmp_path / "forged")
    assert forged.returncode != 0
    assert "hash" in forged.stderr.lower()
    assert not (tmp_path / "forged" / "ratchet_probe.py").exists()


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_fault_59_what_the_lock_does_not_vouch_for_is_not_installed(
    tool: str, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path / "wheels")
    lock = tmp_path / "requirements.lock"
    lock.write_text("ratchet-probe==1.0\n")
    refused = install(tool, wheel.parent, lock, tmp_path / "target")
    assert refused.returncode != 0
    assert "hash" in refused.stderr.lower()
    assert not (tmp_path / "target" / "ratchet_probe.py").exists()


# --- the lock itself ----------------------------------------------------------------------------


def entries() -> list[tuple[Requirement, list[str]]]:
    """Each requirement of the lock with its hashes."""
    joined = LOCK.replace("\\\n", " ")
    out = []
    for entry in joined.splitlines():
        text, *hashes = entry.split(" --hash=")
        out.append((Requirement(text.strip()), [h.strip() for h in hashes]))
    return out


def test_every_requirement_is_pinned_and_hashed() -> None:
    found = entries()
    assert len(found) > 100
    for requirement, hashes in found:
        versions = list(requirement.specifier)
        assert [s.operator for s in versions] == ["=="], requirement
        assert "*" not in versions[0].version, requirement
        assert requirement.url is None, requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes), requirement


def test_the_lock_names_no_address_and_no_option() -> None:
    assert "://" not in LOCK
    for line in LOCK.splitlines():
        assert re.match(r"([a-z0-9]|    --hash=sha256:)", line), line


def test_one_version_of_each_package_on_a_machine() -> None:
    active = [r for r, _ in entries() if r.marker is None or r.marker.evaluate()]
    names = [canonicalize_name(r.name) for r in active]
    assert sorted(names) == sorted(set(names))


def test_everything_declared_is_locked_at_a_version_that_fits() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        declared += extra
    locked: dict[str, list[str]] = {}
    for requirement, _ in entries():
        (pin,) = requirement.specifier
        locked.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    for text in declared:
        wanted = Requirement(text)
        versions = locked.get(canonicalize_name(wanted.name), [])
        assert versions, f"{text} is not in requirements.lock: run 'make lock'"
        assert all(wanted.specifier.contains(v) for v in versions), (text, versions)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_half_gigabyte_that_is_not_needed_is_installed_nowhere(platform: str) -> None:
    for requirement, _ in entries():
        if requirement.name.startswith("nvidia"):
            assert requirement.marker is not None
            assert not requirement.marker.evaluate({"sys_platform": platform})
