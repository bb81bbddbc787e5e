"""Builds the package by zipping it (PEP 517), so that installing it takes nothing from anywhere."""

import base64
import hashlib
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "modtwin"
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    if line.startswith("version = ")
)
METADATA = f"""\
Metadata-Version: 2.1
Name: {NAME}
Version: {VERSION}
Summary: Client of modtwin: Azure IoT Hub module twins over a Unix socket
License: Apache-2.0 OR MIT
Requires-Python: >=3.9
Classifier: Operating System :: POSIX :: Linux
Classifier: Typing :: Typed
Description-Content-Type: text/markdown

"""
WHEEL = "Wheel-Version: 1.0\nGenerator: modtwin\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _metadata():
    return METADATA + (ROOT / "README.md").read_text(encoding="utf-8")


def _sources():
    return sorted(path for path in (ROOT / "src" / NAME).iterdir() if path.is_file())


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Writes the wheel; returns its name."""
    information = f"{NAME}-{VERSION}.dist-info"
    files = {f"{NAME}/{path.name}": path.read_bytes() for path in _sources()}
    files[f"{information}/METADATA"] = _metadata().encode()
    files[f"{information}/WHEEL"] = WHEEL.encode()
    record = f"{information}/RECORD"
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    files[record] = ("".join(lines) + f"{record},,\n").encode()
    wheel = f"{NAME}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


def build_sdist(sdist_directory, config_settings=None):
    """Writes the source archive; returns its name."""
    base = f"{NAME}-{VERSION}"
    information = ROOT / "build" / "PKG-INFO"
    information.write_text(_metadata(), encoding="utf-8")
    try:
        with tarfile.open(Path(sdist_directory, f"{base}.tar.gz"), "w:gz") as archive:
            archive.add(information, f"{base}/PKG-INFO")
            for name in ("pyproject.toml", "README.md", "build/backend.py"):
                archive.add(ROOT / name, f"{base}/{name}")
            for path in _sources():
                archive.add(path, f"{base}/src/{NAME}/{path.name}")
    finally:
        information.unlink()
    return f"{base}.tar.gz"
