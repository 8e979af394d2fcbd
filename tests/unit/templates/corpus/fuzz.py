"""Random templates and data, by a seed: what they print here and in handlebars.js.

Run where npm's ``handlebars`` is installed::

    NODE_PATH=<its node_modules> python -m tests.unit.templates.corpus.fuzz [--seed 1] [--cases 10000] [--write]

``--write`` keeps the cases and handlebars.js's answers in ``fuzz.json``, which the suite runs.

Differences that are known, with their reasons, so that no case has them or ``is_known`` tells them:

- An unknown helper or a wrong number of arguments is refused when a version is saved; handlebars.js finds out when it
  runs, and prints nothing for a name with hash arguments only. So a version that is stored always renders.
- A name that is a helper here (``length``, ``insert``) is no value. The data has no such keys.
- Integers above 2^53 print exactly. The data has none.
- The length of a text counts characters, not UTF-16's units. The data has no characters above U+FFFF.
- Two numbers that are not escaped and stand side by side at the beginning of a template or block print side by side.
  handlebars.js prints their sum. What is not escaped has an ``x`` before it.
- A block parameter of a block of one value (``{{#a as |x|}}``, ``{{#if a as |x|}}``) is undefined unless the value is
  an array. handlebars.js throws, or gives it all parameters of the block around. Only ``each`` and ``with`` have some.
- An object with a key ``toString`` prints ``[object Object]``; handlebars.js throws. The data has no such key.
"""

import argparse
import json
import subprocess
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.text import CompiledText, compile_text

FOLDER = Path(__file__).parent
ENOUGH = 10**9
"""Steps and characters, which are not bounded here."""

NAMES = (
    *("a", "a", "b", "b", "c", "list", "list", "map", "key", "index", "x y", "é", "this", "athis", "null", "else-x"),
    *("", "0", "1", "10", "-1", "length", "constructor", "__proto__"),
)
BARE = (*("a", "b", "c", "list", "map") * 3, "é", "athis", "else-x", "key", "index")
SCALARS = (
    *("0", "-0", "1", "-1", "2", "2.50", "1.0", "0.1", "1e3", "1e21", "1e-7", "123456.789", "5e-324", "1e300", "2e20"),
    *("null", "true", "false", '""', '" "', '"a"', '"b"', '"2"', '"true"', '"<b>&\'`=\\""', '"é\\u00a0日"', '"a\\nb"'),
)
TEXTS = (
    *("", "", "", " ", "  ", "\n", "\n", " \n", "\n ", "\n\n", "\t", "\r\n", "\u00a0"),
    *("x", "<p>", " y ", "z\n", "\nz"),
)
BACKSLASHED = ("\\", "\\\\", "\\\\\\")
LITERALS = (
    *("1", "0", "0.0", "-1", "2.50", "true", "false", "null", "undefined"),
    *('"a"', "'x y'", '"it\\"s"', "' 1'", '""'),
)
STEPS = (
    *(".a", ".b", ".list", "/map", ".[0]", ".[1]", ".1.a", ".[x y]", ".[this]"),
    *(".length", ".constructor", ".__proto__"),
)
VARIABLES = ("@index", "@key", "@first", "@last", "@root", "@root.a", "@root.list", "@../index", "@../key", "@missing")


class Maker:
    """Makes data and templates of one source of chance."""

    def __init__(self, random: Random) -> None:
        self.chance = random

    def is_in(self, share: float) -> bool:
        return self.chance.random() < share

    def data(self) -> str:
        return self.object(depth=0)

    def value(self, depth: int) -> str:
        if depth < 4 and self.is_in(0.55):
            return self.array(depth) if self.is_in(0.5) else self.object(depth)
        return self.chance.choice(SCALARS)

    def array(self, depth: int) -> str:
        return f"[{','.join(self.value(depth + 1) for _ in range(self.chance.randint(0, 3)))}]"

    def object(self, depth: int) -> str:
        names = dict.fromkeys(self.chance.choices(NAMES, k=self.chance.randint(0, 4) if depth else 20))
        return f"{{{','.join(f'{json.dumps(name)}:{self.value(depth + 1)}' for name in names)}}}"

    def template(self) -> str:
        source = self.program(depth=0, params=())
        if self.is_in(0.1):
            at = self.chance.randrange(len(source) + 1)
            source = source[:at] + self.chance.choice(("", "{", "}", "~", "#", "\\", " ", '"')) + source[at + 1 :]
        return source

    def program(self, depth: int, params: tuple[str, ...]) -> str:
        parts = []
        for _ in range(self.chance.choice((0, 1, 1, 2) if depth else (1, 1, 2, 3))):
            parts += [self.text(), self.statement(depth, params)]
        return "".join((*parts, self.text()))

    def text(self) -> str:
        text = "".join(self.chance.choice(TEXTS) for _ in range(2))
        return text + self.chance.choice(BACKSLASHED) if self.is_in(0.004) else text

    def statement(self, depth: int, params: tuple[str, ...]) -> str:
        kind = self.chance.random()
        if kind < 0.06:
            return self.tag(self.chance.choice(("! note", "!", "!-- {{a}} --", "!----")))
        if kind < 0.09:
            name, rest = self.chance.choice(((self.bare(), ""), ("if", " a"), ("each", " list")))
            return f"{{{{{{{{{name}{rest}}}}}}}}}{self.text()}{{{{b}}}}{self.text()}{{{{{{{{/{name}}}}}}}}}"
        if kind < 0.45 or depth >= 4:
            return self.mustache(params)
        if kind < 0.6:
            return self.section(depth, params)
        return self.block(depth, params)

    def tag(self, inside: str) -> str:
        before, after = ("~" if self.is_in(0.12) else "" for _ in range(2))
        return f"{{{{{before}{inside}{after}}}}}"

    def mustache(self, params: tuple[str, ...]) -> str:
        inside = self.call(params, depth=0) if self.is_in(0.25) else self.path(params)
        if self.is_in(0.1):
            before, after = ("~" if self.is_in(0.12) else "" for _ in range(2))
            return f"x{{{{{before}{{{inside}}}{after}}}}}"
        if self.is_in(0.1):
            return "x" + self.tag(f"& {inside}")
        return self.tag(self.space() + inside + self.space())

    def space(self) -> str:
        return self.chance.choice(("", "", "", " ", "\n"))

    def call(self, params: tuple[str, ...], depth: int) -> str:
        one, other = self.argument(params, depth + 1), self.argument(params, depth + 1)
        match self.chance.choice(("lookup", "lookup", "length", "insert", "equals", "and", "or", "greaterThan")):
            case "length":
                return f"length {one}"
            case "insert":
                return f'insert {one} "default=none"'
            case name:
                return f"{name} {one} {other}"

    def argument(self, params: tuple[str, ...], depth: int = 0) -> str:
        if depth < 3 and self.is_in(0.15):
            return f"({self.call(params, depth)})"
        return self.chance.choice(LITERALS) if self.is_in(0.15) else self.path(params)

    def bare(self) -> str:
        return self.chance.choice(BARE)

    def path(self, params: tuple[str, ...]) -> str:
        if self.is_in(0.12):
            return self.chance.choice(VARIABLES)
        if params and self.is_in(0.35):
            first = self.chance.choice(params)
            return first if self.is_in(0.6) else f"{first}{self.steps()}"
        start = self.chance.choice((*("",) * 7, "../", "../", "../../", "./", "this."))
        if not start and self.is_in(0.2):
            return self.chance.choice(("this", ".", "..", "[x y]", '"x y"', "[0]", "[this]", "1", "null"))
        return start + self.bare() + self.steps()

    def steps(self) -> str:
        return "".join(self.chance.choice(STEPS) for _ in range(self.chance.choice((0, 0, 0, 0, 1, 1, 2))))

    def params(self) -> tuple[str, ...]:
        if not self.is_in(0.25):
            return ()
        return tuple(self.chance.sample(("p", "q", "a", "index", "list"), self.chance.randint(1, 3)))

    def section(self, depth: int, params: tuple[str, ...]) -> str:
        """A block of a value: ``{{#a}}`` or ``{{^a}}``."""
        others = ("this", "..", "a.b", "./a", "../list", "@root", '"x y"', "[0]", "1", "@key")
        name = self.chance.choice((self.bare(), self.chance.choice(others), *params))
        opening = "^" if self.is_in(0.3) else "#"
        second = self.branch(depth, params) if self.is_in(0.3) else ""
        return "".join((self.tag(opening + name), self.program(depth + 1, params), second, self.tag("/" + name)))

    def block(self, depth: int, params: tuple[str, ...]) -> str:
        name, opening, own = self.opening(params)
        is_inverse = not own and self.is_in(0.05)
        parts = [
            self.tag("^" * is_inverse + "#" * (not is_inverse) + opening),
            self.program(depth + 1, (*params, *own)),
        ]
        while not is_inverse and self.is_in(0.2):
            _, chained, own = (None, self.path(()), ()) if self.is_in(0.1) else self.opening(params)
            parts += [self.tag("else " + chained), self.program(depth + 1, (*params, *own))]
        if self.is_in(0.4):
            parts.append(self.branch(depth, params))
        return "".join((*parts, self.tag("/" + name)))

    def branch(self, depth: int, params: tuple[str, ...]) -> str:
        return self.tag(self.chance.choice(("else", "^", " else "))) + self.program(depth + 1, params)

    def opening(self, params: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
        """A block's helper, its tag's contents, and its parameters."""
        name = self.chance.choice(("if", "if", "unless", "each", "each", "each", "with", "equals", "and", "lessThan"))
        own: tuple[str, ...] = ()
        opening = f"{name} {self.argument(params)}"
        if name in ("each", "with"):
            own = self.params()
            opening += f" as |{' '.join(own)}|" if own else ""
        elif name not in ("if", "unless"):
            opening += f" {self.argument(params)}"
        elif self.is_in(0.1):
            opening += f" includeZero={self.argument(params)}"
        return name, opening, own


def made(seed: int, cases: int) -> list[tuple[str, str]]:
    """Pairs of a template and its data as JSON."""
    maker = Maker(Random(seed))
    return [(maker.template(), maker.data()) for _ in range(cases)]


@lru_cache(maxsize=8)
def compiled_text(template: str, is_html: bool) -> CompiledText:
    """Cases of one template follow each other."""
    return compile_text(template, is_html=is_html)


def ours(template: str, data: Any, *, is_html: bool) -> str | TemplateError:
    """What a template prints, or why it cannot be compiled."""
    try:
        compiled = compiled_text(template, is_html)
    except TemplateError as error:
        return error
    return compiled.whole(data, Budget(ENOUGH, ENOUGH))


def is_known(fault: TemplateError) -> bool:
    """Whether we refuse what handlebars.js compiles, for a reason that is known."""
    return any(words in fault.reason for words in ("helper", "argument", "is a block:", "is not a block:"))


def difference(template: str, data: str, answer: dict[str, str | None]) -> str | None:
    """How ours differs from handlebars.js's answer, unless it does not, or for a known reason. Where escapes change
    nothing there, they are not compared here."""
    decoded = json.loads(data)
    for is_html, name in ((True, "html"), (False, "text")):
        if name not in answer:
            continue
        theirs = answer[name]
        mine = ours(template, decoded, is_html=is_html)
        if isinstance(mine, TemplateError):
            if theirs is not None and not is_known(mine):
                return f"ours fails: {mine}\ntheirs: {theirs!r}"
        elif mine != theirs:
            return f"ours:   {mine!r}\ntheirs: {theirs!r}"
    return None


def answers(cases: list[tuple[str, str]]) -> list[dict[str, str | None]]:
    """handlebars.js's answers, of one process."""
    command = ["node", str(FOLDER / "answers.js")]
    output = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True).stdout
    decoded: list[dict[str, str | None]] = json.loads(output)
    return decoded


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    cases = made(options.seed, options.cases)
    theirs = answers(cases)
    found = 0
    for (template, data), answer in zip(cases, theirs, strict=True):
        if told := difference(template, data, answer):
            found += 1
            print(f"{template!r}\n{data}\n{told}\n")
    rendered = sum(answer["html"] is not None for answer in theirs)
    print(f"{found} differences in {len(cases)} cases, of which handlebars.js renders {rendered}")
    if options.write:
        lines = ",\n".join(
            json.dumps({"template": template, "data": data, **answer}, ensure_ascii=False)
            for (template, data), answer in zip(cases, theirs, strict=True)
        )
        (FOLDER / "fuzz.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
