"""The configuration of a kernel that is built: fragments, merged by Kconfig."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError, InputError, LabError
from e820pool.kernel.profiles import profile_for
from e820pool.lab.run_tool import run_tool
from e820pool.sources.kernel_config import parse_config_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = (
    "BuildConfig",
    "base_options",
    "configure",
    "like_options",
    "make_environment",
    "parse_settings",
    "wanted_options",
)

_BASE = Path(__file__).parent / "small.config"
_MERGE_SECONDS = 600
_SETTING = re.compile(r"(?:CONFIG_)?(?P<name>[A-Za-z0-9_]+)=(?P<value>[^\n]*)")
# Before the words of a question.
_ASKING = ("bool", "tristate", "int", "hex", "string", "prompt")
_LITERAL = re.compile(r"[yn]|-?\d+|0[xX][0-9a-fA-F]+")

# A live update that carries no file has nothing to carry (7.3 mm/memfd_luo.c).
_COMPANIONS = {"LIVEUPDATE": {"LIVEUPDATE_MEMFD": "y"}}

# What a distribution's configuration says of memory maps beside the options that the
# model knows: what is added to memory, by whom, and what may be read.
_MORE_LIKE = (
    "AMD_NUMA",
    "CMA",
    "DEFERRED_STRUCT_PAGE_INIT",
    "EFI_STUB",
    "HIBERNATION",
    "MEMORY_HOTPLUG_DEFAULT_ONLINE",
    "MHP_DEFAULT_ONLINE_TYPE_OFFLINE",
    "MHP_DEFAULT_ONLINE_TYPE_ONLINE_AUTO",
    "MHP_DEFAULT_ONLINE_TYPE_ONLINE_MOVABLE",
    "STRICT_DEVMEM",
    "X86_5LEVEL",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig:
    """The options that a kernel is to be built with, by who asks for them.

    Attributes:
        base: of :file:`small.config`; what a source does not have is left out.
        like: taken from another kernel's configuration; the same holds for them.
        wanted: asked for by name: each must stick.
    """

    base: Mapping[str, str]
    like: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return all of them as one fragment, the last word of each option alone."""
        options = {**self.base, **self.like, **self.wanted}
        return "".join(map(_line, sorted(options), map(options.get, sorted(options))))


def base_options(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the options that the lab needs, and what makes ``wanted`` of any use.

    Kconfig's own defaults do not count, as everything that nobody asked for is off.
    """
    base = parse_config_text(_BASE.read_text(encoding="utf-8"))
    for name, companions in _COMPANIONS.items():
        if wanted.get(name) == "y":
            base |= companions
    return base


def like_options(text: str) -> dict[str, str]:
    """Return what another kernel's configuration says of memory maps.

    No modules are built, so that ``m`` is ``y``.
    """
    config = parse_config_text(text)
    known = (*profile_for("6.1").config, *_MORE_LIKE)
    values = {name: config.get(name, "n") for name in known}
    if values["CMDLINE"] in ("", "n"):
        del values["CMDLINE"]
    return {
        name: "y" if value == "m" else value
        for name, value in values.items()
        if name in config or value == "n"
    }


def wanted_options(text: str, name: str) -> dict[str, str]:
    """Return the options of a fragment.

    Raises:
        BadImageError: it sets none.
        InputError: one is to be a module.
    """
    options = parse_config_text(text)
    if not options:
        raise BadImageError(
            f"{name!r} sets no option: a fragment has lines such as "
            "CONFIG_EFI=y or '# CONFIG_EFI is not set'"
        )
    for option, value in options.items():
        _validate_no_module(option, value)
    return options


def parse_settings(words: Sequence[str]) -> dict[str, str]:
    """Return the options that words such as ``KEXEC_HANDOVER=y`` set.

    Raises:
        InputError: a word is none.
    """
    settings = {}
    for word in words:
        match = _SETTING.fullmatch(word)
        if match is None or not match["value"]:
            raise InputError(f"option {word!r}: NAME=y, NAME=n, NAME=123 or NAME=text")
        _validate_no_module(match["name"], match["value"])
        settings[match["name"]] = match["value"].strip('"')
    return settings


def configure(tree: Path, out: Path, config: BuildConfig) -> tuple[str, list[str]]:
    """Let Kconfig make ``out/.config``; everything not asked for is off.

    The kernel's scripts/kconfig/merge_config.sh does it.

    Returns:
        The text of the whole ``.config``, and the options of ``base`` and ``like`` that
        the source has, and that did not stick.

    Raises:
        InputError: an option that was asked for did not stick; says what it depends on.
        LabError: the scripts fail.
    """
    fragment = out / "wanted.config"
    fragment.write_text(config.text(), encoding="utf-8")
    script = "scripts/kconfig/merge_config.sh"
    argv = ["sh", script, "-n", "-O", str(out), str(fragment)]
    env = make_environment() | {"KCONFIG_CONFIG": str(out / ".config")}
    done = run_tool(argv, _MERGE_SECONDS, cwd=tree, env=env)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise LabError(f"{script} failed: {' '.join(said)}")
    text = (out / ".config").read_text(encoding="utf-8")
    made = parse_config_text(text)
    lost = [
        name for name, value in config.wanted.items() if _differs(value, made, name)
    ]
    if lost:
        questions = _Questions(tree)
        raise InputError(
            "; ".join(
                f"{name}={config.wanted[name]} did not stick: "
                f"{questions.why(name, config.wanted[name], made)}"
                for name in lost
            )
        )
    others = {**config.base, **config.like}
    missing = [
        name
        for name, value in others.items()
        if name not in config.wanted and _differs(value, made, name)
    ]
    if missing:
        known = _Questions(tree)
        missing = sorted(filter(known.has, missing))
    return text, missing


def make_environment() -> dict[str, str]:
    """Return the environment of the kernel's own scripts.

    Nothing of a make(1) around us counts, nor a setting of the caller's, and the image
    does not depend on who makes it, and when.
    """
    mine = ("MAKE", "MFLAGS", "KBUILD_", "KCONFIG_", "CROSS_COMPILE", "LOCALVERSION")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(mine)}
    return kept | {
        "ARCH": "x86_64",
        "LC_ALL": "C",
        "KBUILD_BUILD_USER": "e820pool",
        "KBUILD_BUILD_HOST": "lab",
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    }


def _line(name: str, value: str | None) -> str:
    if value in (None, "n"):
        return f"# CONFIG_{name} is not set\n"
    if _LITERAL.fullmatch(str(value)):
        return f"CONFIG_{name}={value}\n"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'CONFIG_{name}="{escaped}"\n'


def _validate_no_module(name: str, value: str) -> None:
    if value == "m":
        raise InputError(f"option {name}=m: no modules are built, say {name}=y")


def _differs(value: str, made: Mapping[str, str], name: str) -> bool:
    have = made.get(name, "n")
    if have == value:
        return False
    try:
        return int(have, 0) != int(value, 0)
    except ValueError:
        return True


@dataclass(slots=True)
class _Definition:
    depends: list[str]
    asks: bool = False
    selects: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Take one line of the option's entry."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if line.startswith("depends on "):
            self.depends.append(line.removeprefix("depends on ").strip())
        elif word in _ASKING and rest[:1] in ('"', "'"):
            self.asks = True
        elif word == "select":
            self.selects.append(rest.partition(" ")[0])

    def all_of(self) -> str:
        """Return what all it depends on."""
        return " && ".join(
            f"({part})" if "||" in part and len(self.depends) > 1 else part
            for part in self.depends
        )


class _Questions:
    """What the Kconfig files of a tree say of options, to explain a refusal.

    Only that: Kconfig itself has decided. Of other architectures nothing is read.
    """

    def __init__(self, tree: Path) -> None:
        self._known: dict[str, list[_Definition]] = defaultdict(list)
        for path in tree.rglob("Kconfig*"):
            parts = path.relative_to(tree).parts
            if path.is_file() and (parts[0] != "arch" or parts[1:2] == ("x86",)):
                for name, definition in _definitions(
                    path.read_text("utf-8", "replace")
                ):
                    self._known[name].append(definition)

    def has(self, name: str) -> bool:
        """Return whether the source has such an option."""
        return name in self._known

    def why(self, name: str, value: str, made: Mapping[str, str]) -> str:
        """Return a reason in words."""
        known = self._known.get(name)
        if not known:
            return "this source has no such option"
        selects = self._selecting(name)
        if value == "n":
            forced = [option for option in selects if made.get(option, "n") != "n"]
            return f"selected by {', '.join(forced) or 'another option'}"
        if not any(definition.asks for definition in known):
            return (
                "it is no question of its own; it is selected by "
                f"{', '.join(selects) or 'nothing'}"
            )
        depends = " or ".join(
            filter(None, (definition.all_of() for definition in known))
        )
        if not depends:
            return f"it is {made.get(name, 'n')}: its range or choice wants that"
        words = dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9_]+\b", depends))
        unset = [word for word in words if made.get(word, "n") == "n"]
        missing = f"; not set: {', '.join(unset)}" if unset else ""
        return f"it depends on {depends}{missing}"

    def _selecting(self, name: str) -> list[str]:
        return sorted(
            other
            for other, definitions in self._known.items()
            if any(name in definition.selects for definition in definitions)
        )


# Kconfig's grammar as far as dependencies go: Documentation/kbuild/kconfig-language.rst
def _definitions(text: str) -> Iterator[tuple[str, _Definition]]:
    around: list[str] = []
    current: _Definition | None = None
    in_help = False
    for raw in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = raw.strip()
        if not line or line.startswith("#") or (in_help and raw[0] in " \t"):
            continue
        in_help = line in ("help", "---help---")
        word, _, rest = line.partition(" ")
        if word in ("config", "menuconfig"):
            current = _Definition(
                depends=[condition for condition in around if condition]
            )
            yield rest.strip(), current
        elif word in ("if", "menu", "choice"):
            around.append(rest.strip() if word == "if" else "")
            current = None
        elif word in ("endif", "endmenu", "endchoice"):
            del around[-1:]
            current = None
        elif current is not None:
            current.note(line)
        elif line.startswith("depends on ") and around:
            around[-1] = line.removeprefix("depends on ").strip()
