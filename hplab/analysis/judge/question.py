"""A question about runs, read from words: "val_acc at lr=0.001 beats lr=0.0001 by 0.2 pp".

What is read here is checked only as language. Whether there are such runs is seen when it is asked
of a table (`ask`).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hplab.analysis.claims.grammar import Size
from hplab.errors import HplabError, unknown
from hplab.sweeps.metrics import one_word

DIRECTION, EQUIVALENCE, TREND, BEST = "direction", "equivalence", "trend", "best"
THRESHOLD, SOONER, CHANCE = "threshold", "sooner", "chance"
KINDS = (DIRECTION, EQUIVALENCE, TREND, BEST, THRESHOLD, SOONER, CHANCE)
FORMS = (  # one a kind, as a reader could ask
    "val_acc at lr=0.001 beats lr=0.0001 by 0.2 pp",
    "val_acc at lr=0.001 is within 0.5 pp of lr=0.0005",
    "val_loss falls with lr",
    "lr=0.001 is best",
    "val_acc at lr=0.001 reaches 0.9",
    "lr=0.001 reaches 0.9 sooner than lr=0.0001",
    "one run of lr=0.001 beats one of lr=0.0001",
)
WAYS = {"higher": 1, "lower": -1}
_UNITS = {"pp": "pp", "points": "pp", "nats": "any", "epochs": "epochs", "epoch": "epochs"}

# A way to go: 1 up, -1 down, 2 to the better side, -2 to the worse.
_MORE = {
    **dict.fromkeys(("higher", "larger", "greater", "bigger", "more"), 1),
    **dict.fromkeys(("lower", "smaller", "less"), -1),
    "better": 2,
    "worse": -2,
}
_VERBS = {"beats": 2, "outperforms": 2, "exceeds": 1, ">": 1, "<": -1}
_MOVES = {
    **dict.fromkeys(("grows", "rises", "increases"), 1),
    **dict.fromkeys(("falls", "drops", "decreases", "shrinks"), -1),
    "improves": 2,
    "worsens": -2,
}
_LEVELS = {
    **dict.fromkeys(("exceeds", "is above", "stays above", "is at least"), 1),
    **dict.fromkeys(("is below", "stays below", "is at most"), -1),
    "reaches": 2,
}


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked, as it was said.

    Attributes:
        kind: One of `KINDS`.
        text: The question in words, for messages and pages.
        metric: The column that is asked about; "" takes the table's first.
        arms: The settings that are compared, each a mapping or, where only a value was said, that.
        way: 1 for higher, -1 for lower, 2 for better, -2 for worse.
        x: The setting that a trend is along.
        size: The margin, as it was said: a number and a unit, "" for none.
        target: The level of a threshold or of a time, a number and "%" or "".
        chance: The share of pairs to be won.
        where: Settings that all runs must have.
        better: 1 or -1, where the question says which side of the metric is better; else 0.
        pair: Whether runs are compared seed by seed; None for if their seeds match.
    """

    kind: str
    text: str
    metric: str = ""
    arms: tuple[Any, ...] = ()
    way: int = 2
    x: str = ""
    size: tuple[float, str] | None = None
    target: tuple[float, str] | None = None
    chance: float = 0.5
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    better: int = 0
    pair: bool | None = None


_VALUE = r"(?:'[^']*'|\"[^\"]*\"|[^\s,;=]+)"
_ASSIGN = rf"[^\s,;=<>]+\s*=\s*{_VALUE}"
_ARM = rf"(?:{_ASSIGN}(?:\s*(?:,|\band\b|&)\s*{_ASSIGN})*|[^\s,;=]+)"
_AT = r"(?:at|for|with|of)"
_FRONT = rf"(?:(?P<front>[^\s=]+)\s+{_AT}\s+)?"
_BACK = r"(?:\s+(?:in|on)\s+(?P<back>[^\s=,]+))?"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LEVEL = rf"(?P<target>{_NUMBER})\s*(?P<percent>%?)"
_BY = r"(?:\s+by\s+(?:at\s+least\s+|more\s+than\s+)?(?P<by>.+?))?"


def _one_of(words: Mapping[str, int]) -> str:
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)


_PATTERNS = [
    (kind, re.compile(rf"^{pattern}$", re.IGNORECASE))
    for kind, pattern in (
        (
            CHANCE,
            rf"(?:one|a)(?:\s+new)?\s+run\s+{_AT}\s+(?P<a>{_ARM})\s+beats\s+"
            rf"(?:one|a)(?:\s+run)?\s+{_AT}\s+(?P<b>{_ARM}){_BACK}"
            rf"(?:\s+with\s+(?:a\s+)?(?:probability|chance)\s+(?:of\s+)?"
            rf"(?:at\s+least\s+|above\s+|over\s+)?{_LEVEL})?",
        ),
        (
            SOONER,
            rf"{_FRONT}(?P<a>{_ARM})\s+reaches\s+{_LEVEL}(?:\s+(?P<what>[^\s=,]+))??\s+"
            rf"(?P<pace>sooner|earlier|faster|later|slower)\s+than\s+(?P<b>{_ARM}){_BACK}{_BY}",
        ),
        (
            EQUIVALENCE,
            rf"{_FRONT}(?P<a>{_ARM})\s+is\s+within\s+(?P<by>.+?)\s+of\s+(?P<b>{_ARM}){_BACK}",
        ),
        (
            EQUIVALENCE,
            rf"{_FRONT}(?P<a>{_ARM})\s+is\s+the\s+same\s+as\s+(?P<b>{_ARM}){_BACK}"
            r"\s+within\s+(?P<by>.+?)",
        ),
        (TREND, rf"(?P<front>[^\s=]+)\s+(?P<move>{_one_of(_MOVES)})\s+with\s+(?P<x>[^\s=]+){_BY}"),
        (BEST, rf"{_FRONT}(?P<a>{_ARM})\s+is\s+(?:the\s+)?(?P<first>best|highest|lowest){_BACK}"),
        (
            BEST,
            rf"(?P<front>[^\s=]+)\s+is\s+(?:the\s+)?(?P<first>best|highest|lowest)\s+{_AT}\s+"
            rf"(?P<a>{_ARM})",
        ),
        (THRESHOLD, rf"{_FRONT}(?P<a>{_ARM})\s+(?P<level>{_one_of(_LEVELS)})\s+{_LEVEL}{_BACK}"),
        (
            DIRECTION,
            rf"{_FRONT}(?P<a>{_ARM})\s+(?:(?P<verb>{_one_of(_VERBS)})|"
            rf"is\s+(?P<more>{_one_of(_MORE)})\s+than)\s+(?P<b>{_ARM}){_BACK}{_BY}",
        ),
        (
            DIRECTION,
            rf"(?P<front>[^\s=]+)\s+is\s+(?P<more>{_one_of(_MORE)})\s+{_AT}\s+(?P<a>{_ARM})\s+than"
            rf"\s+(?:{_AT}\s+)?(?P<b>{_ARM}){_BY}",
        ),
    )
]
_ASIDES = (  # what may stand at the end of any question
    ("where", re.compile(rf"[\s,]+where\s+(?P<said>{_ASSIGN}(?:\s*(?:,|and|&)\s*{_ASSIGN})*)$")),
    ("better", re.compile(r"[\s,;]*\(?\s*(?P<said>higher|lower) is better\s*\)?$", re.IGNORECASE)),
    ("pair", re.compile(r"[\s,;]*\(?(?P<said>paired(?: by seed)?|unpaired)\)?$", re.IGNORECASE)),
)


_DECIMAL = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![\d.,])\d+,\d+(?![\d,])")


def with_points(text: str) -> str:
    """Return a text with decimal points for commas; what may divide thousands stays, as does what
    stands in quotes.

    Example:
        >>> with_points("lr=0,001 by 0,2 pp"), with_points("units=1,024 and shape='1,5'")
        ('lr=0.001 by 0.2 pp', "units=1,024 and shape='1,5'")
    """

    def point(found: re.Match[str]) -> str:
        number = found[0]
        keep = number[0] in "'\"" or re.fullmatch(r"[1-9]\d{0,2},\d{3}", number)
        return number if keep else number.replace(",", ".")

    return _DECIMAL.sub(point, text)


def with_names(text: str, names: Iterable[str]) -> str:
    """Return a text with the names of columns as one word each, without quotes around them.

    Example:
        >>> with_names("'Val acc' at learning rate=1 beats learning rate=2", ["learning rate"])
        "'Val acc' at learning_rate=1 beats learning_rate=2"
    """
    for name in sorted(map(str, names), key=len, reverse=True):
        spelled = r"\s+".join(map(re.escape, name.split()))
        word = one_word(name)
        ways = rf"(?<![\w=])(?P<quote>['\"]){spelled}(?P=quote)"
        if word != name:
            ways += rf"|(?<![\w'\"]){spelled}(?![\w'\"])"
        text = re.sub(ways, lambda _, word=word: word, text, flags=re.IGNORECASE)  # type: ignore[misc]
    return text


def parse(text: str, names: Iterable[str] = ()) -> Question:
    """Return a question that is asked in words.

    Args:
        text: The question.
        names: Names of columns that it may use, which can have several words.

    Raises:
        HplabError: If it is none of the forms, with an example of each.

    Example:
        >>> asked = parse("val_acc at lr=1e-3 beats lr=1e-4 by 0.2 pp")
        >>> asked.kind, asked.arms, asked.size
        ('direction', ({'lr': 0.001}, {'lr': 0.0001}), (0.2, 'pp'))
    """
    rest, asides = " ".join(str(text).split()).rstrip(".?"), {}
    rest = with_points(with_names(rest, names))
    found = True
    while found:
        found = False
        for name, pattern in _ASIDES:
            if name not in asides and (said := pattern.search(rest)):
                asides[name], rest, found = said["said"], rest[: said.start()], True
    for kind, pattern in _PATTERNS:
        if match := pattern.match(rest):
            return _of(kind, {k: v for k, v in match.groupdict().items() if v}, text, asides)
    raise HplabError(f"cannot read the question {text!r}; ask as in: {'; '.join(FORMS)}")


def _of(kind: str, said: Mapping[str, str], text: str, asides: Mapping[str, str]) -> Question:
    """Return the question that a form's parts make."""
    level = said.get("target")
    target = (float(level), said.get("percent", "")) if level else None
    first, pace = said.get("first", "best").lower(), said.get("pace", "")
    way = {
        DIRECTION: lambda: _way(said),
        TREND: lambda: _MOVES[said["move"].lower()],
        BEST: lambda: {"best": 2, "highest": 1, "lowest": -1}[first],
        THRESHOLD: lambda: _LEVELS[" ".join(said["level"].lower().split())],
        SOONER: lambda: -1 if pace.lower() in ("later", "slower") else 1,
    }.get(kind, lambda: 2)()
    return Question(
        kind,
        " ".join(str(text).split()),
        said.get("front") or said.get("back") or said.get("what") or "",
        tuple(arm(said[name]) for name in ("a", "b") if name in said),
        way,
        said.get("x", ""),
        size(said["by"]) if "by" in said else None,
        None if kind == CHANCE else target,
        share(target) if kind == CHANCE and target else 0.5,
        arm(asides["where"]) if "where" in asides else {},
        WAYS[asides["better"].lower()] if "better" in asides else 0,
        not asides["pair"].lower().startswith("un") if "pair" in asides else None,
    )


def _way(said: Mapping[str, str]) -> int:
    return _VERBS[said["verb"].lower()] if "verb" in said else _MORE[said["more"].lower()]


def share(target: tuple[float, str]) -> float:
    """Return a level of a share: 0.9, 90 % and 90 are the same."""
    value, unit = target
    return value / 100 if unit == "%" or value > 1 else value


def arm(said: Any, names: Iterable[str] = ()) -> Any:
    """Return the settings that a text says, or a bare value: "lr=0.1, model=cnn"; "adam".

    Example:
        >>> arm("lr=1e-2, optimizer=adam"), arm({"lr": 0.1}), arm("adam")
        ({'lr': 0.01, 'optimizer': 'adam'}, {'lr': 0.1}, 'adam')
    """
    if not isinstance(said, str):
        return said
    said = with_points(with_names(said, names))
    pairs = re.findall(rf"([^\s,;=<>]+)\s*=\s*({_VALUE})", said)
    return {name: value(text) for name, text in pairs} if pairs else value(said)


def value(text: Any) -> Any:
    """Return the value of a setting that a text says: a number, true, false, none or a word."""
    if not isinstance(text, str):
        return text
    bare = text.strip("'\"")
    if bare != text:
        return bare
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def size(said: Any) -> tuple[float, str] | None:
    """Return a margin as it was said: a number and "pp", "any", "epochs", "ratio", "%" or "".

    Raises:
        HplabError: If it is none.

    Example:
        >>> size("0.2 pp"), size("a factor of 1.5"), size(0.01)
        ((0.2, 'pp'), (1.5, 'ratio'), (0.01, ''))
    """
    if said is None:
        return None
    if isinstance(said, Size):
        return said.value, said.unit
    text = with_points(str(said).strip().lower())
    text = re.sub(r"\s+(?:a|per|for each|with each)\s+(?:doubling|level|step)$", "", text)
    if factor := re.fullmatch(rf"(?:a\s+)?factor\s+(?:of\s+)?({_NUMBER})|({_NUMBER})\s*x", text):
        number, unit = float(factor[1] or factor[2]), "ratio"
    elif plain := re.fullmatch(rf"({_NUMBER})\s*(percentage points|[a-z]+|%)?", text):
        number, unit = float(plain[1]), (plain[2] or "").replace("percentage points", "pp")
        if unit not in ("", "%"):
            if unit not in _UNITS:
                raise unknown("unit", unit, _UNITS, f"the margin {said!r}")
            unit = _UNITS[unit]
    else:
        raise HplabError(
            f"cannot read the margin {said!r}; write 0.2 pp, a factor of 1.2 or, for what is "
            "no share, 0.01"
        )
    if not math.isfinite(number):
        raise HplabError(f"the margin is {said!r}; it must be a number that is not infinite")
    if number < 0 or (unit == "ratio" and number < 1):
        least = "a factor must be at least 1" if unit == "ratio" else "it must not be negative"
        raise HplabError(f"the margin is {said!r}; {least}")
    return number, unit
