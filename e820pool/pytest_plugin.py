"""A pytest plugin: the fixture ``boot`` shows what a real kernel makes of a handoff.

The lab is imported when a test calls the fixture, so that a run which never does pays
for nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.handoff.model import Handoff
    from e820pool.kernel.view import KernelView
    from e820pool.lab.boot import BootOptions, BootRecord

__all__ = ("Boot", "boot", "pytest_addoption")

_CONSOLE_LINES = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options; each has a twin in the ini file."""
    group = parser.getgroup("e820pool", "real kernels in QEMU (fixture boot)")
    group.addoption(
        "--e820pool-fetch",
        action="store_true",
        help="download kernel images that the cache lacks",
    )
    group.addoption(
        "--e820pool-require",
        action="store_true",
        help="fail, not skip, where QEMU or a kernel image is missing",
    )
    group.addoption(
        "--e820pool-cache",
        metavar="DIR",
        help="folder of kernel images (default: e820pool's own cache)",
    )
    parser.addini("e820pool_fetch", "as --e820pool-fetch", type="bool", default=False)
    parser.addini(
        "e820pool_require", "as --e820pool-require", type="bool", default=False
    )
    parser.addini("e820pool_cache", "as --e820pool-cache, from the ini file's folder")
    parser.addini("e820pool_deadline", "seconds of each phase of a boot")


class Boot:
    """What the fixture ``boot`` gives a test: it boots handoffs on real kernels.

    Where QEMU, busybox or the image is missing the test is skipped, or fails if
    ``e820pool_require`` says so. Equal handoffs are booted once a session.
    """

    def __init__(self, session: _Session, item: pytest.Item) -> None:
        self._session = session
        self._item = item

    def __call__(
        self,
        handoff: Handoff,
        kernel: str | Path = "6.1",
        *,
        options: BootOptions | None = None,
        again: bool = False,
    ) -> KernelView:
        """Return what the kernel made of the handoff, with the pages it touched.

        Args:
            handoff: what the kernel gets.
            kernel: a release that is in the cache, or the path of a bzImage.
            options: how to boot.
            again: boot even if this session has booted the same before.

        Raises:
            InputError: no handoff, or a file that is not there.
            LostVmError: the machine hung; its console is in the test's report.
        """
        return self.record(handoff, kernel, options=options, again=again).view

    def record(
        self,
        handoff: Handoff,
        kernel: str | Path = "6.1",
        *,
        options: BootOptions | None = None,
        again: bool = False,
    ) -> BootRecord:
        """Return the same with the console, the report and the handoff as booted."""
        from e820pool.lab.machine import LostVmError  # noqa: PLC0415  lab

        _validate_arguments(handoff, kernel)
        try:
            record = self._session.record(handoff, kernel, options, again=again)
        except LostVmError as exc:
            self._show(exc.console, kernel)
            raise
        self._show(record.console, kernel)
        return record

    # pytest prints sections of tests that fail only.
    def _show(self, console: bytes, kernel: str | Path) -> None:
        lines = console.decode("utf-8", "replace").splitlines()[-_CONSOLE_LINES:]
        self._item.add_report_section("call", f"console of {kernel}", "\n".join(lines))


@pytest.fixture
def boot(request: pytest.FixtureRequest, _e820pool_session: _Session) -> Boot:
    """Boot handoffs on real kernels, ``boot(handoff, kernel="6.1")``: see `Boot`."""
    return Boot(_e820pool_session, request.node)


@pytest.fixture(scope="session")
def _e820pool_session(pytestconfig: pytest.Config) -> _Session:
    return _Session(pytestconfig)


# What the tests of a session share: settings, images read, boots made.
class _Session:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._images: dict[str, bytes] = {}
        self._records: dict[object, BootRecord] = {}

    def record(
        self,
        handoff: Handoff,
        kernel: str | Path,
        options: BootOptions | None,
        *,
        again: bool,
    ) -> BootRecord:
        from e820pool.lab.boot import boot as boot_kernel  # noqa: PLC0415  lab
        from e820pool.lab.cache import cache_below  # noqa: PLC0415  lab

        options = options or self._options()
        with cache_below(self._cache()):
            with self._or_skipped():
                image = self._image(kernel)
            key = (handoff, image, options)
            if again or key not in self._records:
                self._records[key] = boot_kernel(handoff, image, options)
        return self._records[key]

    def _image(self, kernel: str | Path) -> bytes:
        from e820pool.lab.guest import find_busybox  # noqa: PLC0415  lab
        from e820pool.lab.qemu import find_qemu  # noqa: PLC0415  lab

        find_qemu()
        find_busybox()
        if str(kernel) not in self._images:
            self._images[str(kernel)] = self._read(kernel)
        return self._images[str(kernel)]

    def _read(self, kernel: str | Path) -> bytes:
        from e820pool.errors import LabError  # noqa: PLC0415  lab
        from e820pool.lab.fetch import fetch_images  # noqa: PLC0415  lab
        from e820pool.lab.images import find_image  # noqa: PLC0415  lab
        from e820pool.sources.files import read_file  # noqa: PLC0415  numpy

        if isinstance(kernel, Path) or "/" in kernel:
            return read_file(Path(kernel))
        try:
            return find_image(kernel).read()
        except LabError as exc:
            if not self._flag("fetch"):
                raise LabError(f"{exc}, or use --e820pool-fetch") from exc
        return fetch_images((kernel,))[0].read()

    @contextmanager
    def _or_skipped(self) -> Iterator[None]:
        from e820pool.errors import LabError  # noqa: PLC0415  lab

        try:
            yield
        except LabError as exc:
            if self._flag("require"):
                pytest.fail(f"e820pool_require: {exc}", pytrace=False)
            pytest.skip(str(exc))

    def _flag(self, name: str) -> bool:
        option = self._config.getoption(f"e820pool_{name}")
        return bool(option or self._config.getini(f"e820pool_{name}"))

    def _cache(self) -> Path | None:
        option = self._config.getoption("e820pool_cache")
        if option:
            return self._config.invocation_params.dir / str(option)
        setting = self._config.getini("e820pool_cache")
        base = self._config.inipath.parent if self._config.inipath else Path()
        return base / str(setting) if setting else None

    def _options(self) -> BootOptions:
        from e820pool.lab.boot import BootOptions  # noqa: PLC0415  lab
        from e820pool.lab.machine import PHASES, Deadlines  # noqa: PLC0415  lab

        text = str(self._config.getini("e820pool_deadline") or "")
        if not text:
            return BootOptions()
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < 86_400:
            pytest.fail(
                f"e820pool_deadline = {text!r}: want seconds, more than 0 and less "
                "than 86400",
                pytrace=False,
            )
        return BootOptions(deadlines=Deadlines(**dict.fromkeys(PHASES, seconds)))


def _validate_arguments(handoff: object, kernel: object) -> None:
    from e820pool.errors import InputError  # noqa: PLC0415  only where it is used
    from e820pool.handoff.model import Handoff  # noqa: PLC0415  numpy

    if not isinstance(handoff, Handoff):
        raise InputError(
            f"boot() takes a Handoff, not {type(handoff).__name__}: make one with "
            "e820pool.handoff.build.build_handoff()"
        )
    if not isinstance(kernel, str | Path):
        raise InputError(
            f"boot() takes a release such as '6.1' or the path of a bzImage, "
            f"not {type(kernel).__name__}"
        )
