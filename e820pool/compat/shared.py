"""One input judged for many kernels: what they agree on is worked out once.

A kernel comes into a judgement only by what is asked of its profile. The questions
and their answers are kept beside each result, and a kernel that gives the same answers
has the same result: most of what 5.10 and 6.1 make of a handoff is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
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
    # Who is asked: profile, view or situation; each has answers of its own.
    _Answers = Mapping[str, Mapping["_Question", Hashable]]

__all__ = ("SharedChecks",)

_T = TypeVar("_T")
_Question = tuple[str, str]
# Kinds of questions about a profile's options, and not about its behaviours.
_OPTIONS = ("holds", "config", "profile")


class SharedChecks:
    """The checks of one input, by any number of kernels."""

    def __init__(self, deposits: ExtentSet, inp: BootInput) -> None:
        self._deposits, self._inp = deposits, inp
        self._parts: dict[tuple[str, Hashable], _Shared[Any]] = {}
        self._groups: list[_Shared[tuple[Finding, ...]]] = [_Shared() for _ in GROUPS]
        # The values of views by number, so that each is compared once.
        self._numbers: dict[Hashable, int] = {}
        self._fields: dict[int, _FieldAnswers] = {}
        self._judged: dict[Profile, _Judged] = {}

    def verdict(self, profile: Profile, like: Profile | None = None) -> Verdict:
        """Return what :func:`e820pool.compat.check.check_input` does.

        Args:
            profile: of the kernel.
            like: of a kernel that was judged before and shows the same behaviours: what
                rests on no option that differs is taken from there.
        """
        judged = self._judged.get(profile)
        if judged is None:
            base = None if like is None else self._judged.get(like)
            judged = self._judged[profile] = self._judge(profile, base)
        return judged.verdict

    def _judge(self, profile: Profile, base: _Judged | None) -> _Judged:
        mine = _profile_answers(profile)
        if base is not None and base.seen.holds_for(mine, base.mine):
            seen, view = base.seen, base.verdict.view
        else:
            base = None
            seen = self._seen(profile)
            view = replace(seen.view, kernel=profile.release)
        # Pages and tables are what the view's own values and the profile make them.
        answers = {
            **mine,
            "view": self._answers_of(seen.view),
            "case": self._answers_of(seen.case),
        }
        parts = []
        for at, group in enumerate(GROUPS):
            part = base.parts[at] if base is not None else None
            if base is None or part is None or not part.holds_for(mine, base.mine):

                def run(ask: _Ask, group: _Group = group) -> tuple[Finding, ...]:
                    case = _AskedCase(seen.case, seen.view, profile, ask)
                    return tuple(group(cast("Situation", case)))

                part = self._groups[at].of(answers, run)
            parts.append(part)
        findings = [finding for part in parts for finding in part.result]
        verdict = verdict_of(profile.release, findings, view)
        return _Judged(mine=mine, seen=seen, parts=parts, verdict=verdict)

    def _seen(self, profile: Profile) -> _Seen:
        asked: set[_Question] = set()

        def take(
            part: str,
            of: Hashable,
            make: Callable[[Profile], _T],
            profile: Profile,
            /,
        ) -> _T:
            shared = self._parts.get((part, of))
            if shared is None:
                shared = self._parts[part, of] = _Shared()
            done: _Done[_T] = shared.of(
                _profile_answers(profile), lambda ask: make(_asking(profile, ask))
            )
            asked.update(done.options)
            return done.result

        view = predict_input(self._inp, profile, take)

        def situation(asking: Profile) -> Situation:
            return situation_of(self._deposits, view, self._inp, asking)

        case = take("situation", id(view), situation, profile)
        return _Seen(view=view, case=case, options=tuple(asked))

    def _answers_of(self, whole: KernelView | Situation) -> _FieldAnswers:
        answers = self._fields.get(id(whole))
        if answers is None:
            answers = self._fields[id(whole)] = _FieldAnswers(whole, self._numbers)
        return answers


class _OfOptions:
    # What was made by asking a profile; ``options`` are those questions that kernels
    # with the same behaviours may answer otherwise.
    options: tuple[_Question, ...]

    def holds_for(self, mine: _Answers, theirs: _Answers) -> bool:
        ours, others = mine["config"], theirs["config"]
        return all(ours[question] == others[question] for question in self.options)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen(_OfOptions):
    view: KernelView
    case: Situation
    options: tuple[_Question, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Done(_OfOptions, Generic[_T]):
    result: _T
    options: tuple[_Question, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    # A kernel's verdict, and what it was made from.
    mine: _Answers
    seen: _Seen
    parts: list[_Done[tuple[Finding, ...]]]
    verdict: Verdict


class _Shared(Generic[_T]):
    # The results of a function, at the leaves of a tree: a node is what the function
    # asks next, which follows from the answers so far, with a branch for each answer.

    def __init__(self) -> None:
        self._root: _Node[_T] = _Node()

    def of(self, answers: _Answers, make: Callable[[_Ask], _T]) -> _Done[_T]:
        node: _Node[_T] | None = self._root
        while node is not None and (question := node.question) is not None:
            node = node.branches.get(answers[question[0]][question])
        if node is not None and node.done is not None:
            return node.done
        asked: dict[_Question, Hashable] = {}

        def ask(question: _Question) -> None:
            if question not in asked:
                asked[question] = answers[question[0]][question]

        result = make(ask)
        options = tuple(question for question in asked if question[0] in _OPTIONS)
        leaf = self._root
        for question, answer in asked.items():
            leaf.question = question
            leaf = leaf.branches.setdefault(answer, _Node())
        leaf.done = _Done(result=result, options=options)
        return leaf.done


class _Node(Generic[_T]):
    __slots__ = ("branches", "done", "question")

    def __init__(self) -> None:
        self.question: _Question | None = None
        self.branches: dict[Hashable, _Node[_T]] = {}
        self.done: _Done[_T] | None = None


class _ProfileAnswers(dict[_Question, "Hashable"]):
    # What a profile answers, written down when it is first asked.

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self._profile = profile

    def __missing__(self, question: _Question) -> Hashable:
        kind, name = question
        answer: Hashable
        if kind == "has":
            answer = self._profile.has(name)
        elif kind == "config":
            answer = self._profile.config.get(name)
        elif kind == "holds":
            answer = self._profile.holds(int(name))
        else:
            answer = getattr(self._profile, name)
        self[question] = answer
        return answer


# Profiles outlive the inputs of a fleet.
@lru_cache(maxsize=1024)
def _profile_answers(profile: Profile) -> _Answers:
    return dict.fromkeys(("has", *_OPTIONS), _ProfileAnswers(profile))


class _FieldAnswers(dict[_Question, "Hashable"]):
    # The values of a view or a situation, as numbers: the same number for the same.

    def __init__(
        self, whole: KernelView | Situation, numbers: dict[Hashable, int]
    ) -> None:
        super().__init__()
        self._whole, self._numbers = whole, numbers

    def __missing__(self, question: _Question) -> int:
        value = (question[1], getattr(self._whole, question[1]))
        number = self._numbers.setdefault(value, len(self._numbers))
        self[question] = number
        return number


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

    def holds(self, count: int) -> bool:
        self._ask(("holds", str(count)))
        return self._profile.holds(count)

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
        self, case: Situation, view: KernelView, profile: Profile, ask: _Ask
    ) -> None:
        self._case, self._ask = case, ask
        # The same for all kernels that are asked about this input.
        self.deposits, self.inp = case.deposits, case.inp
        self.input_table = case.input_table
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
