"""The training text: this Python's own standard library, named by a manifest and never shipped.

Every file is one document: its UTF-8 bytes, closed by byte 0 (which Python source never contains). Tokens are bytes.
A file belongs to the held-out part if the hash of its *name* says so, hence the split does not depend on the Python
version, and held-out text is never trained on.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MANIFEST = Path(__file__).with_name("manifest.json")
END = 0
"""Byte that closes a document, and that every prompt starts from."""

# Tests repeat each other, codec tables are numbers, and lib2to3/turtledemo left the library after 3.12.
LEFT_OUT = ("test", "tests", "idle_test", "encodings", "site-packages", "lib2to3", "turtledemo", "__pycache__")
HELD_OUT_SHARE = 16  # one file in sixteen


@dataclass(frozen=True)
class Document:
    """One library file: name relative to the library, SHA-256 of its bytes, and the bytes."""

    name: str
    digest: str
    text: bytes

    @property
    def held_out(self) -> bool:
        return int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % HELD_OUT_SHARE == 0


def library() -> Path:
    """Folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def documents(root: Path | None = None) -> list[Document]:
    """All corpus files under ``root`` (default: `library`), sorted by name."""
    root = library() if root is None else root
    found = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if any(part in LEFT_OUT for part in name.parts):
            continue
        text = path.read_bytes()
        if text and END not in text:
            found.append(Document(name.as_posix(), hashlib.sha256(text).hexdigest(), text))
    return found


def tokens(chosen: list[Document]) -> NDArray[np.uint8]:
    """The documents' bytes one after the other, each closed by `END`; shape (total,)."""
    return np.frombuffer(b"".join(document.text + bytes([END]) for document in chosen), dtype=np.uint8)


def write_manifest(chosen: list[Document], path: Path = MANIFEST) -> None:
    """Record names, hashes and split of the text the shipped weights were trained on."""
    rows = [{"name": d.name, "sha256": d.digest, "bytes": len(d.text), "held_out": d.held_out} for d in chosen]
    version = sysconfig.get_config_var("VERSION") or sysconfig.get_python_version()
    path.write_text(json.dumps({"python": version, "files": rows}, indent=0) + "\n")


def differences(chosen: list[Document], path: Path = MANIFEST) -> list[str]:
    """How this library differs from the manifest, one line per file; empty when the text is the same."""
    known = {row["name"]: row["sha256"] for row in json.loads(path.read_text())["files"]}
    here = {document.name: document.digest for document in chosen}
    return [
        *(f"missing here: {name}" for name in known if name not in here),
        *(f"new here: {name}" for name in here if name not in known),
        *(f"changed: {name}" for name in here if name in known and known[name] != here[name]),
    ]
