"""One input judged for many kernels: what they agree on is worked out once.

A kernel comes into a judgement only by what is asked of its profile. The questions
and their answers are kept beside each result, and a kernel that gives the same answers
has the same result: most of what 5.10 and 6.1 make of a handoff is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from e820pool.compat.check import GROUPS
from e820pool.compat.situation import situation_of
from e820pool.compat.verdict import verdict_of
from e820pool.kernel.early_boot import predict_input

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from e820pool.compat.situation import Situation
    from e820pool.compat.verdict import Verdict
    from e820pool.extents import ExtentSet
    from e820pool.findings import Finding
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

    _Group = Callable[[Situation], Iterator[Finding]]
    _Ask = Callable[["_Question"], None]

__all__ = ("SharedChecks",)

_T = TypeVar("_T")
_Question = tuple[str, str]


class SharedChecks:
    """The checks of one input, by any number of kernels."""

    def __init__(self, deposits: ExtentSet, given: BootInput) -> None:
        self._deposits, self._given = deposits, given
        self._views: _Shared[KernelView] = _Shared()
        self._cases: dict[int, _Shared[Situation]] = {}
        self._groups: list[_Shared[tuple[Finding, ...]]] = [_Shared() for _ in GROUPS]
        # The values of views by number, so that each is compared once.
        self._numbers: dict[Hashable, int] = {}
        self._fields: dict[tuple[int, str], int] = {}

    def verdict(self, profile: Profile) -> Verdict:
        """Return what :func:`e820pool.compat.check.check_input` does."""
        view = self._views.of(
            lambda question: _answer(profile, question),
            lambda ask: predict_input(self._given, _asking(profile, ask)),
        )
        found = [finding for part in self._findings(profile, view) for finding in part]
        return verdict_of(profile.release, found, replace(view, kernel=profile.release))

    def _findings(
        self, profile: Profile, view: KernelView
    ) -> Iterator[tuple[Finding, ...]]:
        case = self._cases.setdefault(id(view), _Shared()).of(
            lambda question: _answer(profile, question),
            lambda ask: situation_of(
                self._deposits, view, self._given, _asking(profile, ask)
            ),
        )

        def answer(question: _Question) -> Hashable:
            kind, name = question
            if kind == "view":
                return self._number(view, name)
            # Pages and tables are what the view's own values and the profile make them.
            return (
                self._number(case, name)
                if kind == "case"
                else _answer(profile, question)
            )

        for group, shared in zip(GROUPS, self._groups, strict=True):

            def found(ask: _Ask, group: _Group = group) -> tuple[Finding, ...]:
                asked = _AskedCase(case, view, profile, ask)
                return tuple(group(cast("Situation", asked)))

            yield shared.of(answer, found)

    def _number(self, whole: KernelView | Situation, name: str) -> int:
        key = (id(whole), name)
        if key not in self._fields:
            value = (name, getattr(whole, name))
            self._fields[key] = self._numbers.setdefault(value, len(self._numbers))
        return self._fields[key]


class _Shared(Generic[_T]):
    # The results of a function, at the leaves of a tree: a node is what the function
    # asks next, which follows from the answers so far, with a branch for each answer.

    def __init__(self) -> None:
        self._tree: dict[Any, Any] = {}

    def of(
        self,
        answer: Callable[[_Question], Hashable],
        make: Callable[[_Ask], _T],
    ) -> _T:
        node = self._tree
        while "question" in node:
            branch = node["branches"].get(answer(node["question"]))
            if branch is None:
                break
            node = branch
        if "result" in node:
            return cast("_T", node["result"])
        asked: dict[_Question, Hashable] = {}

        def ask(question: _Question) -> None:
            if question not in asked:
                asked[question] = answer(question)

        result = make(ask)
        self._keep(asked, result)
        return result

    def _keep(self, asked: dict[_Question, Hashable], result: _T) -> None:
        node = self._tree
        for question, given in asked.items():
            node.setdefault("question", question)
            node = node.setdefault("branches", {}).setdefault(given, {})
        node["result"] = result


def _answer(profile: Profile, question: _Question) -> Hashable:
    kind, name = question
    if kind == "has":
        return profile.has(name)
    if kind == "config":
        return profile.config.get(name)
    return cast("Hashable", getattr(profile, name))


def _asking(profile: Profile, ask: _Ask) -> Profile:
    return cast("Profile", _AskedProfile(profile, ask))


class _AskedProfile:
    # A profile that writes down what is asked of it. Its name is nobody's business but
    # of who prints it: that is set afterwards.

    def __init__(self, profile: Profile, ask: _Ask) -> None:
        self._profile, self._ask = profile, ask
        self.release = profile.release
        self.config: Mapping[str, Any] = _AskedConfig(profile, ask)

    def has(self, behaviour: str) -> bool:
        self._ask(("has", behaviour))
        return self._profile.has(behaviour)

    def __getattr__(self, name: str) -> Any:
        self._ask(("profile", name))
        return getattr(self._profile, name)


class _AskedConfig(Mapping[str, Any]):
    def __init__(self, profile: Profile, ask: _Ask) -> None:
        self._config, self._ask = profile.config, ask

    def __getitem__(self, option: str) -> Any:
        self._ask(("config", option))
        return self._config[option]

    def __iter__(self) -> Iterator[str]:
        for option in self._config:
            self._ask(("config", option))
            yield option

    def __len__(self) -> int:
        return len(self._config)


class _AskedCase:
    # A situation that writes down what is asked of it, and of its view and profile.

    def __init__(
        self,
        case: Situation,
        view: KernelView,
        profile: Profile,
        ask: _Ask,
    ) -> None:
        self._case, self._ask = case, ask
        # The same for all kernels that are asked about this input.
        self.deposits, self.given, self.told = case.deposits, case.given, case.told
        self.profile = _AskedProfile(profile, ask)
        self.view = _AskedView(view, ask)

    def has(self, behaviour: str) -> bool:
        return self.profile.has(behaviour)

    def __getattr__(self, name: str) -> Any:
        self._ask(("case", name))
        return getattr(self._case, name)


class _AskedView:
    def __init__(self, view: KernelView, ask: _Ask) -> None:
        self._view, self._ask = view, ask

    def usable_pages(self) -> ExtentSet:
        self._ask(("view", "memory"))
        return self._view.usable_pages()

    def __getattr__(self, name: str) -> Any:
        self._ask(("view", name))
        return getattr(self._view, name)
