"""Pack the conformance corpus as dist/e820-corpus-VERSION.tar.gz, always alike."""

import gzip
import io
import json
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "specs" / "corpus"


def members() -> list[tuple[str, Path]]:
    """Return ``(name in the archive, path)``, in order."""
    files = [(path.name, path) for path in CORPUS.iterdir() if path.is_file()]
    return sorted([*files, ("README.md", ROOT / "specs" / "corpus.md")])


def packed(name: str) -> bytes:
    """Return the archive's bytes; no time, owner or order of this machine is in it."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member, path in members():
            entry = tarfile.TarInfo(f"{name}/{member}")
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return gzip.compress(plain.getvalue(), mtime=0)


def write(folder: Path) -> Path:
    """Write the archive into a folder; return its path."""
    manifest = json.loads((CORPUS / "manifest.json").read_text(encoding="utf-8"))
    name = f"e820-corpus-{manifest['version']}"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.tar.gz"
    path.write_bytes(packed(name))
    return path


if __name__ == "__main__":
    write(ROOT / "dist")
