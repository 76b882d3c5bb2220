"""No regular expression of the package has repeats that overlap.

Two repeats beside each other that take the same character, or one inside another, make
re try every way to share a run of it out between them: a line of 60 KB of blanks hung a
reader for minutes. Every pattern of the package is parsed and looked at, not only those
that somebody thought of.
"""

import ast
import io
import re
import re._constants as op
import re._parser as parser
import time
from contextlib import suppress
from pathlib import Path

import pytest

from e820pool.errors import E820PoolError
from e820pool.sources.buddyinfo import parse_free_blocks
from e820pool.sources.recognise import read_map

PACKAGE = Path(__file__).parents[2] / "e820pool"
# What a set of characters is held against: ASCII, and a letter and a blank beyond.
ALPHABET = [*map(chr, range(128)), "\xe9", "\u2003", "\u0663"]
#: Repeats up to this count are no danger: the work is bounded.
FEW = 40


def patterns():
    """Yield where a pattern is compiled, with its value: names are resolved."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "re." not in text:
            continue
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in USES:
                yield f"{path.name}:{node.lineno}", name, node


USES = {f"re.{name}" for name in ("compile", "match", "fullmatch", "search", "sub")}
USES |= {f"re.{name}" for name in ("split", "findall", "finditer")}


def value_of(module, node):
    """Return pattern and flags of a call, evaluated in its module."""
    imported = __import__(module, fromlist=["x"])
    pattern = eval(ast.unparse(node.args[0]), vars(imported))  # noqa: S307  our own
    flags = [ast.unparse(one) for one in node.args[1:] if "re." in ast.unparse(one)]
    flags += [ast.unparse(k.value) for k in node.keywords if k.arg == "flags"]
    value = eval(flags[0], {"re": re}) if flags else 0  # noqa: S307
    return pattern, int(value)


def takes(items, flags):
    """Return the characters that one step of these items may take."""
    found = set()
    for kind, value in items:
        match kind:
            case op.LITERAL:
                found |= {chr(value)}
            case op.NOT_LITERAL:
                found |= set(ALPHABET) - {chr(value)}
            case op.ANY:
                found |= set(ALPHABET) - (set() if flags & re.DOTALL else {"\n"})
            case op.IN:
                found |= _set(value, flags)
            case op.BRANCH:
                found |= set().union(*(takes(one, flags) for one in value[1]))
            case op.SUBPATTERN:
                found |= takes(value[-1], flags)
            case op.MAX_REPEAT | op.MIN_REPEAT | op.POSSESSIVE_REPEAT:
                found |= takes(value[2], flags)
            case op.ATOMIC_GROUP:
                found |= takes(value, flags)
    return found


CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def _set(value, flags):
    found, negated = set(), False
    for kind, part in value:
        match kind:
            case op.NEGATE:
                negated = True
            case op.LITERAL:
                found |= {chr(part)}
            case op.RANGE:
                found |= {c for c in ALPHABET if part[0] <= ord(c) <= part[1]}
                found |= {chr(part[0])}
            case op.CATEGORY:
                rule = re.compile(CATEGORIES[part], re.ASCII if flags & re.ASCII else 0)
                found |= {c for c in ALPHABET if rule.match(c)}
    return set(ALPHABET) - found if negated else found


def can_be_empty(items):
    return parser.SubPattern(parser.State(), list(items)).getwidth()[0] == 0


REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)


def overlaps(items, flags, after=()):  # noqa: C901  one case a kind of node
    """Yield the pairs of unbounded repeats that can take the same character.

    `after` are repeats before these items with nothing between that must be there.
    """
    open_before = list(after)
    for kind, value in items:
        inner = None
        match kind:
            case op.SUBPATTERN:
                inner = [value[-1]]
            case op.BRANCH:
                inner = value[1]
            case op.ATOMIC_GROUP | op.ASSERT | op.ASSERT_NOT:
                inner = [value if kind is op.ATOMIC_GROUP else value[1]]
            case _ if kind in REPEATS and value[1] > FEW:
                mine = takes(value[2], flags)
                for other in open_before:
                    if other & mine:
                        yield sorted(other & mine)[:5]
                yield from _nested(value[2], flags)
                must = value[0] > 0
                if must and not _same(open_before, mine):
                    open_before = []
                open_before = [*open_before, mine]
                continue
            case _ if kind in REPEATS:
                inner = [value[2]]
        if inner is not None:
            for one in inner:
                yield from overlaps(one, flags, open_before)
            tails = [tail for one in inner for tail in _tails(one, flags)]
            empty = any(can_be_empty(one) for one in inner)
            empty = empty or (kind in REPEATS and value[0] == 0)
            open_before = [*(open_before if empty else ()), *tails]
            continue
        if kind not in (op.AT, op.GROUPREF):
            mine = takes([(kind, value)], flags)
            # A character that must be there, and that no repeat before it takes, parts
            # them; one that a repeat takes is found at every place of a run.
            open_before = [one for one in open_before if one & mine]


def _same(open_before, mine):
    return any(one & mine for one in open_before)


def _tails(items, flags):
    """Return what repeats at the end of the items take."""
    found = []
    for kind, value in reversed(list(items)):
        if kind in REPEATS and value[1] > FEW:
            found.append(takes(value[2], flags))
        elif kind is op.SUBPATTERN:
            found += _tails(value[-1], flags)
        elif kind is op.BRANCH:
            found += [tail for one in value[1] for tail in _tails(one, flags)]
        if not can_be_empty([(kind, value)]):
            break
    return found


def _nested(items, flags):
    """Yield what a repeat inside a repeat takes where nothing parts two rounds."""
    first = _firsts(items, flags)
    for tail in _tails(items, flags):
        if tail & first:
            yield sorted(tail & first)[:5]
    yield from overlaps(items, flags)


def _firsts(items, flags):
    found = set()
    for kind, value in items:
        found |= takes([(kind, value)], flags)
        if not can_be_empty([(kind, value)]):
            break
    return found


def compiled():
    """Yield where a pattern lies that a module holds, in whatever it is kept."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "re.compile" in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            held = vars(__import__(name, fromlist=["x"]))
            for at, pattern in enumerate(_held(held, set())):
                yield f"{path.name}:{at}", pattern


def _held(value, seen):
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
        seen.add(id(value))
        inner = value.values() if isinstance(value, dict) else value
        for one in list(inner):
            yield from _held(one, seen)


CALLS = list(patterns())
HELD = list(compiled())


@pytest.mark.parametrize(
    "bad", [r"\s+(\S+)\s*(.*)\s*$", r"(a+)+b", r"\d+\d+", r"( *,? *)+x", r"x*(y|x*)z"]
)
def test_the_test_sees_repeats_that_overlap(bad):
    assert list(overlaps(parser.parse(bad), 0))


@pytest.mark.parametrize(
    "good", [r"\d+ \d+", r"a+b*c", r"(\w+,)+", r"[^:]*: x", r"\d{1,9}\d+"]
)
def test_and_lets_others_pass(good):
    assert not list(overlaps(parser.parse(good), 0))


def test_every_pattern_of_the_package_is_read():
    assert len(CALLS) > 60
    assert len(HELD) > 150


#: Suspects by file, each with why its repeats never meet a long run.
KNOWN = {
    "apt.py": "lines of this machine's own apt configuration",
    "fetch.py": "names of packages, of a signed list",
    "explanations.py": "a page of the package's own",
    "console.py": "a line of our own help, when it is printed",
    "patch_file.py": "the subject of a patch that is to be built",
    "hexdump.py": "blanks before an address are 40 at most, its digits 16",
    "iomem.py": "a line's blanks are one by then",
    "log_entry.py": "blanks of a log are one by then (log_text)",
    "firmware_memmap.py": "a line of more than some 100 letters is no value",
    "printed_map.py": "no more than 120 letters before the word",
    "type_words.py": "what follows a range, blanks joined, cut at the next",
}


def validate(where, pattern, flags):
    found = list(overlaps(parser.parse(pattern, flags), flags))
    assert where.partition(":")[0] in KNOWN or not found, (pattern, found)


@pytest.mark.parametrize(("where", "module", "node"), CALLS, ids=[c[0] for c in CALLS])
def test_no_two_repeats_of_a_pattern_take_the_same_character(where, module, node):
    try:
        pattern, flags = value_of(module, node)
    except NameError:
        return  # of a local name: what its module holds is looked at below
    if not isinstance(pattern, re.Pattern):
        validate(where, pattern, flags)


@pytest.mark.parametrize(("where", "pattern"), HELD, ids=[one[0] for one in HELD])
def test_nor_do_those_of_a_pattern_that_a_module_holds(where, pattern):
    validate(where, pattern.pattern, pattern.flags)


def test_every_suspect_is_one_still():
    files = {where.partition(":")[0] for where, _, _ in CALLS}
    assert set(KNOWN) <= files


# Each reader's own way to a long run, told by what it takes: 40 KB in a moment.
LONG = {
    "type": b"BIOS-e820: [mem 0x1000-0x1fff] type%s\n",
    "persistent": b"BIOS-e820: [mem 0x1000-0x1fff] persistent%s\n",
    "parenthesis": b"BIOS-e820: [mem 0x1000-0x1fff] (%sx\n",
    "no type": b"BIOS-e820: [mem 0x1000-0x1fff]%sx\n",
    "old": b" BIOS-e820: 0000000000000000 - 000000000009fc00%s(x\n",
    "iomem": b"00001000-00001fff%sx\n",
    "end of an entry": b"BIOS-e820: [mem 0x1000-0x1fff] usable\n0]%sx\n",
    "sysfs": b"/sys/firmware/memmap/0/start:0x0\n%sx\n",
    "named": b"==> 0/start <==\n%s0x0 x\n",
    "buddyinfo": b"Node 0, zone Normal%sx\n",
    "printed": b"%skernel: [    0.0] E820 memmap:\n",
    "dump": b"00000000:%s00 00\n",
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("char", [b" ", b"0", b"a", b"\t"])
def test_a_long_run_where_a_pattern_repeats_is_read_in_a_moment(name, char):
    start = time.process_time()
    with suppress(E820PoolError):
        read_map("-", stdin=io.BytesIO(LONG[name] % (char * 40000)))
    with suppress(E820PoolError):
        parse_free_blocks((LONG[name] % (char * 40000)).decode())
    assert time.process_time() - start < 2
