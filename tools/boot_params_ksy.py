"""Write specs/boot_params.ksy anew from the package's definitions."""

# ruff: noqa: INP001  a script, no package

from pathlib import Path

from e820pool.abi.kaitai import boot_params_ksy

TARGET = Path(__file__).parents[1] / "specs" / "boot_params.ksy"

if __name__ == "__main__":
    TARGET.write_text(boot_params_ksy(), encoding="utf-8", newline="\n")
