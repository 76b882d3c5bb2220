"""One input judged for many kernels: what they agree on is worked out once.

A kernel comes into a judgement only by what is asked of its profile. What was asked and
answered is kept beside each result, and a kernel that gives the same answers has the
same result: most of what 5.10 and 6.1 make of a handoff is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from operator import eq
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from e820pool.compat.check import GROUPS
from e820pool.compat.situation import situation_of
from e820pool.compat.verdict import verdict_of
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.profiles import all_behaviours

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from e820pool.compat.situation import Situation
    from e820pool.compat.verdict import Verdict
    from e820pool.extents import ByteRangeSet, ExtentSet
    from e820pool.findings import Finding
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView
    from e820pool.table import E820Table

__all__ = ("SharedChecks",)

_T = TypeVar("_T")
# Of whom what is asked: of a profile an option, of a view or a situation a field, of
# its table a set.
_Question = tuple[str, Any]
# Kinds of questions that a profile answers itself.
_OF_KERNELS = ("has", "apart", "holds", "config", "profile")


class SharedChecks:
    """The checks of one input, by any number of kernels."""

    def __init__(self, deposits: ExtentSet, inp: BootInput) -> None:
        self._deposits, self._inp = deposits, inp
        self._parts = _Parts()
        self._groups: list[_Shared[tuple[Finding, ...]]] = [_Shared() for _ in GROUPS]
        self._numbers = _Numbers()
        self._fields: dict[int, _FieldAnswers] = {}
        self._judged: dict[Profile, _Judged] = {}
        # Of those each that is not the same as one before it but for its name.
        self._distinct: list[_Judged] = []

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
        mine = _answers_of(profile)
        if base is not None and mine.have(base.options):
            return base
        for judged in self._distinct:
            if mine.are(judged):
                return judged.named(profile.release)
        if base is not None and mine.have(base.seen.options):
            seen, view = base.seen, base.verdict.view
        else:
            base = None
            seen = self._seen(profile, mine)
            view = seen.view.of_kernel(profile.release)
        asked, options = seen.asked, seen.options.copy()
        # Pages and tables are what the view's own values and the profile make them.
        answers = mine.beside(
            view=self._fields_of(seen.view),
            case=self._fields_of(seen.case),
            table=self._fields_of(seen.case.table),
        )
        parts = []
        for at, group in enumerate(GROUPS):
            part = base.parts[at] if base is not None else None
            if part is None or not mine.have(part.options):
                part = self._group(at, group, answers, seen, profile)
            parts.append(part)
            asked |= part.asked
            options |= part.options
        findings = [finding for part in parts for finding in part.result]
        judged = _Judged(
            asked=asked,
            shown=asked & mine.shows,
            options=options,
            seen=seen,
            parts=parts,
            verdict=verdict_of(profile.release, findings, view),
        )
        self._distinct.append(judged)
        return judged

    def _group(
        self,
        at: int,
        group: Callable[[Situation], Iterator[Finding]],
        answers: _Answers,
        seen: _Seen,
        profile: Profile,
    ) -> _Done[tuple[Finding, ...]]:
        shared = self._groups[at]
        done = shared.known_for(answers)
        if done is None:
            asked = _Asked(answers)
            case = _AskedCase(seen.case, seen.view, profile, asked)
            done = shared.keep(tuple(group(cast("Situation", case))), asked)
        return done

    def _seen(self, profile: Profile, mine: _Answers) -> _Seen:
        parts = self._parts
        parts.begin(mine)
        view = predict_input(self._inp, profile, parts)
        case = situation_of(self._deposits, view, self._inp, profile, parts)
        return _Seen(view=view, case=case, asked=parts.asked, options=parts.options)

    def _fields_of(self, whole: KernelView | Situation | E820Table) -> _FieldAnswers:
        answers = self._fields.get(id(whole))
        if answers is None:
            answers = self._fields[id(whole)] = _FieldAnswers(whole, self._numbers)
        return answers


class _Parts:
    # Parts of predictions, of a kernel at a time; see kernel.early_boot.Parts. What any
    # part rests on is in ``asked`` and ``options``.

    def __init__(self) -> None:
        self._known: dict[tuple[str, Hashable], _Shared[Any]] = {}
        self._first: dict[tuple[str, Hashable], Any] = {}

    def begin(self, answers: _Answers) -> None:
        self._answers, self.asked = answers, 0
        self.options: dict[_Question, Hashable] = {}

    def take(
        self, part: str, of: Hashable, make: Callable[[Profile], _T], profile: Profile
    ) -> _T:
        shared: _Shared[_T] | None = self._known.get((part, of))
        if shared is None:
            shared = self._known[part, of] = _Shared()
        done = shared.known_for(self._answers)
        if done is None:
            asked = _Asked(self._answers)
            made = make(cast("Profile", _AskedProfile(profile, asked)))
            done = shared.keep(made, asked)
        self.asked |= done.asked
        if done.options:
            self.options |= done.options
        return done.result

    def same(self, part: str, key: Hashable, value: _T) -> _T:
        first: _T = self._first.setdefault((part, key), value)
        return first


@dataclass(slots=True, kw_only=True, eq=False)
class _Seen:
    view: KernelView
    case: Situation
    asked: int
    options: dict[_Question, Hashable]


@dataclass(slots=True, kw_only=True, eq=False)
class _Judged:
    # A kernel's verdict, and what it was made from; the first three as in _Done.
    asked: int
    shown: int
    options: dict[_Question, Hashable]
    seen: _Seen
    parts: list[_Done[tuple[Finding, ...]]]
    verdict: Verdict

    def named(self, release: str) -> _Judged:
        # The same of another kernel.
        view = self.seen.view.of_kernel(release)
        return replace(self, verdict=replace(self.verdict, kernel=release, view=view))


@dataclass(slots=True, eq=False)
class _Done(Generic[_T]):
    # A result and the answers that it rests on: of the behaviours that were asked about
    # those that are shown, as bits, and all other answers; ``options`` are those of the
    # kernel itself.
    result: _T
    asked: int
    shown: int
    others: tuple[tuple[_Question, Hashable], ...]
    options: dict[_Question, Hashable]


class _Shared(Generic[_T]):
    # The results of one function. What it asks first is always the same, and what it
    # asks next follows from the answers: only one result can fit.

    def __init__(self) -> None:
        self._done: list[_Done[_T]] = []

    def known_for(self, answers: _Answers) -> _Done[_T] | None:
        shows, of = answers.shows, answers.of
        for done in self._done:
            if shows & done.asked == done.shown:
                for question, answer in done.others:
                    if of[question[0]][question] != answer:
                        break
                else:
                    return done
        return None

    def keep(self, result: _T, asked: _Asked) -> _Done[_T]:
        done = _Done(
            result,
            asked.behaviours,
            asked.behaviours & asked.answers.shows,
            tuple(asked.others.items()),
            {q: answer for q, answer in asked.others.items() if q[0] in _OF_KERNELS},
        )
        self._done.append(done)
        return done


class _Answers:
    # What a kernel answers: its behaviours as bits, and by kind of question the others.

    __slots__ = ("of", "shows")

    def __init__(
        self, shows: int, of: Mapping[str, Mapping[_Question, Hashable]]
    ) -> None:
        self.shows, self.of = shows, of

    def have(self, options: Mapping[_Question, Hashable]) -> bool:
        mine = self.of["config"]
        return all(map(eq, map(mine.__getitem__, options), options.values()))

    def are(self, judged: _Judged) -> bool:
        # Whether they are the same, in all that decided.
        if self.shows & judged.asked != judged.shown:
            return False
        return self.have(judged.options)

    def beside(self, **of: Mapping[_Question, Hashable]) -> _Answers:
        return _Answers(self.shows, {**self.of, **of})


class _Asked:
    # What is being asked, and what the answers are.

    __slots__ = ("answers", "behaviours", "others")

    def __init__(self, answers: _Answers) -> None:
        self.answers, self.behaviours = answers, 0
        self.others: dict[_Question, Hashable] = {}

    def ask(self, question: _Question) -> None:
        if question not in self.others:
            self.others[question] = self.answers.of[question[0]][question]


@cache
def _bits() -> Mapping[str, int]:
    return {behaviour.id: 1 << at for at, behaviour in enumerate(all_behaviours())}


# Profiles outlive the inputs of a fleet.
@lru_cache(maxsize=1024)
def _answers_of(profile: Profile) -> _Answers:
    shows = sum(_bits().get(behaviour, 0) for behaviour in profile.behaviours)
    return _Answers(shows, dict.fromkeys(_OF_KERNELS, _ProfileAnswers(profile)))


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
        elif kind == "apart":
            answer = int(name) in self._profile.never_merge
        else:
            answer = getattr(self._profile, name)
        self[question] = answer
        return answer


class _Numbers:
    # The values of views by number, so that each is compared once: the same number for
    # the same. Each is held, as long as it is known by its place.

    def __init__(self) -> None:
        self._by_value: dict[Hashable, int] = {}
        self._by_place: dict[int, tuple[Hashable, int]] = {}

    def number_of(self, value: Hashable) -> int:
        held = self._by_place.get(id(value))
        if held is None:
            number = self._by_value.setdefault(value, len(self._by_value))
            held = self._by_place[id(value)] = value, number
        return held[1]


class _FieldAnswers(dict[_Question, "Hashable"]):
    # The values of a view or a situation, or the sets of a table, as numbers.

    def __init__(
        self, whole: KernelView | Situation | E820Table, numbers: _Numbers
    ) -> None:
        super().__init__()
        self._whole, self._numbers = whole, numbers

    def __missing__(self, question: _Question) -> int:
        name = question[1]
        if isinstance(name, str):
            value = getattr(self._whole, name)
        else:
            value = getattr(self._whole, name[0])(*name[1:])
        number = self._numbers.number_of(value)
        self[question] = number
        return number


class _AskedProfile:
    # A profile that writes down what is asked of it. Its name is nobody's business but
    # of who prints it: that is set afterwards.

    def __init__(self, profile: Profile, asked: _Asked) -> None:
        self._profile, self._asked = profile, asked
        self._bits, self._behaviours = _bits(), profile.behaviours
        self.release = profile.release
        self.config: Mapping[str, Any] = _AskedConfig(profile, asked)

    def has(self, behaviour: str) -> bool:
        bit = self._bits.get(behaviour)
        if bit is None:
            self._asked.ask(("has", behaviour))
        else:
            self._asked.behaviours |= bit
        return behaviour in self._behaviours

    def holds(self, count: int) -> bool:
        self._asked.ask(("holds", str(count)))
        return self._profile.holds(count)

    @property
    def never_merge(self) -> Collection[int]:
        return _AskedTypes(self._profile, self._asked)

    def __getattr__(self, name: str) -> Any:
        self._asked.ask(("profile", name))
        return getattr(self._profile, name)


class _AskedTypes(Collection[int]):
    # Types that a kernel never joins: the answer is of weight for those that meet.

    def __init__(self, profile: Profile, asked: _Asked) -> None:
        self._types, self._asked = profile.never_merge, asked

    def __contains__(self, kind: object) -> bool:
        self._asked.ask(("apart", str(kind)))
        return kind in self._types

    def __iter__(self) -> Iterator[int]:
        self._asked.ask(("profile", "never_merge"))
        return iter(self._types)

    def __len__(self) -> int:
        self._asked.ask(("profile", "never_merge"))
        return len(self._types)


class _AskedConfig(Mapping[str, Any]):
    def __init__(self, profile: Profile, asked: _Asked) -> None:
        self._config, self._asked = profile.config, asked

    def __getitem__(self, option: str) -> Any:
        self._asked.ask(("config", option))
        return self._config[option]

    def __iter__(self) -> Iterator[str]:
        for option in self._config:
            self._asked.ask(("config", option))
            yield option

    def __len__(self) -> int:
        return len(self._config)


class _AskedCase:
    # A situation that writes down what is asked of it, and of its view and profile.

    def __init__(
        self, case: Situation, view: KernelView, profile: Profile, asked: _Asked
    ) -> None:
        self._case, self._asked = case, asked
        # The same for all kernels that are asked about this input.
        self.deposits, self.inp = case.deposits, case.inp
        self.input_table = case.input_table
        self.profile = _AskedProfile(profile, asked)
        self.view = _AskedView(view, asked)
        self.table = _AskedTable(case.table, asked)

    def has(self, behaviour: str) -> bool:
        return self.profile.has(behaviour)

    def __getattr__(self, name: str) -> Any:
        self._asked.ask(("case", name))
        return getattr(self._case, name)


class _AskedTable:
    # A table that is asked for sets: kernels may share these and not the table.

    def __init__(self, table: E820Table, asked: _Asked) -> None:
        self._table, self._asked = table, asked

    def bytes_of(self, *types: int) -> ByteRangeSet:
        self._asked.ask(("table", ("bytes_of", *types)))
        return self._table.bytes_of(*types)

    def bytes_but(self, *types: int) -> ByteRangeSet:
        self._asked.ask(("table", ("bytes_but", *types)))
        return self._table.bytes_but(*types)

    @property
    def covered(self) -> ByteRangeSet:
        self._asked.ask(("table", "covered"))
        return self._table.covered

    def __len__(self) -> int:
        self._asked.ask(("table", ("__len__",)))
        return len(self._table)


class _AskedView:
    def __init__(self, view: KernelView, asked: _Asked) -> None:
        self._view, self._asked = view, asked

    def usable_pages(self) -> ExtentSet:
        self._asked.ask(("view", "memory"))
        return self._view.usable_pages()

    def __getattr__(self, name: str) -> Any:
        self._asked.ask(("view", name))
        return getattr(self._view, name)
