#!/bin/sh
# Build wheel and sdist, install the wheel into an environment of its own, and run the
# tests of the sdist against it, where no source of the package lies beside them.
# Arguments go to pytest; without any: a part that meets every room, in a minute.
set -eu
python=${PYTHON:-.venv/bin/python}
place=build/dist-test
rm -rf build/dist "$place"
"$python" -m build --no-isolation --outdir build/dist . >/dev/null
mkdir -p "$place"
wheel=$(echo build/dist/*.whl)
"$python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$wheel[test,lab,plot,sweep,fleet,strategies]"
tar -xzf build/dist/*.tar.gz -C "$place" --strip-components=1
rm -rf "${place:?}/e820pool"
cd "$place"
venv/bin/python - <<'EOF'
import e820pool, pathlib, sys
where = pathlib.Path(e820pool.__file__)
sys.exit(None if "venv" in where.parts else f"{where} is not the installed package")
EOF
[ $# -gt 0 ] || set -- tests/cli/test_cli_demo.py tests/cli/test_cli_build_rebuild.py \
    tests/cli/test_cli_show.py tests/golden tests/unit/test_abi_boot_params.py \
    tests/unit/test_abi_pool_record.py tests/unit/test_kernel_profiles.py \
    tests/unit/test_strategies.py tests/console
exec venv/bin/python -m pytest -q "$@"
