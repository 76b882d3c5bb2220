#!/bin/sh
# Build wheel and sdist, install the wheel into an environment of its own, and run the
# tests of the sdist against it, where no source of the package lies beside them.
# Arguments go to pytest, and then every extra is installed. Without any: a part that meets
# every room, in a minute.
set -eu
if [ $# -gt 0 ]; then
    extras=test,lab,plot,sweep,fleet,cluster,images,strategies
else
    extras=test,lab
    set -- tests/unit/test_abi_boot_params.py tests/unit/test_abi_pool_record.py \
        tests/unit/test_abi_bzimage.py tests/unit/test_kernel_profiles.py \
        tests/unit/test_doctests.py tests/unit/test_strategies.py tests/golden \
        tests/cli/test_cli_demo.py tests/cli/test_cli_build_rebuild.py \
        tests/cli/test_cli_process.py
fi
python=${PYTHON:-.venv/bin/python}
place=build/dist-test
rm -rf build/dist "$place"
"$python" -m build --no-isolation --outdir build/dist . >/dev/null
mkdir -p "$place"
wheel=$(echo build/dist/*.whl)
"$python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$wheel[$extras]"
tar -xzf build/dist/*.tar.gz -C "$place" --strip-components=1
rm -rf "${place:?}/e820pool"
cd "$place"
venv/bin/python - <<'EOF'
import e820pool, pathlib, sys
where = pathlib.Path(e820pool.__file__)
sys.exit(None if "venv" in where.parts else f"{where} is not the installed package")
EOF
# Those of tests/repo are about the tree.
exec venv/bin/python -m pytest -q --ignore=tests/repo "$@"
