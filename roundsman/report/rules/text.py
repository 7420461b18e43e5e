"""Text from outside, made safe for the place where it is shown: one function for each kind of place.

Everything that a server, a file, a database or an exception says is text from outside. It is kept as it is and made
safe where it is shown, as each place obeys characters of its own. JSON needs nothing: its reader gets data.

"""

import difflib
import html
import re
from collections.abc import Callable, Iterable, Sequence

#: Characters of one line of a message, at most; a longer one is cut.
LINE_CHARACTERS = 200

#: Characters of one value on a page, in a cell or on a line of a terminal, at most.
MAX_SHOWN_CHARACTERS = 2000
#: Characters of a label in a picture, at most.
MAX_LABEL_CHARACTERS = 80
#: Characters of a text in which secrets are looked for; the rest is left out, as looking takes time.
MAX_SEARCHED_CHARACTERS = 10_000

_LEFT_OUT = re.compile(r"\.\.\. \(([0-9,]{1,15}) characters left out\)$")
#: Letters that nothing is drawn for, though Python calls them printable: fillers, joiners and variation selectors.
_BLANK_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: Words behind `::` that the runner of GitHub's workflows obeys.
_GITHUB_COMMANDS = (
    "add-mask|add-matcher|add-path|debug|echo|endgroup|error|group|internal-set-repo-path|notice|remove-matcher"
    "|save-state|set-env|set-output|stop-commands|warning"
)
#: What CI systems obey in a log: `::error::`, `##[error]`, `##vso[...]`, `##teamcity[...]`, `section_start:...`. At any
#: place of a line, as a long line can be folded anywhere.
_CI_COMMANDS = re.compile(rf"(?i)(:)(?=:(?:{_GITHUB_COMMANDS})\b)|(##\w*)(?=\[)|(section_(?:start|end))(?=:)")

#: What a renderer of Markdown makes a link of even without brackets: an address of the web, or of mail.
_ADDRESS = re.compile(r"(?i)[a-z]:/|www\.|@|(?:mailto|xmpp|javascript|vbscript|data):")
_MARKDOWN = re.compile(r"[\\*_\[\]|~#!$^=]")
#: Of these, what the old Prefect page obeys in a cell of a table. The new one shows them as they are.
_CELL = re.compile(r"\\(?=[!-/:-@\[-`{-~])|[*`~\[]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
#: What makes a list, a heading, a quote or a rule at the beginning of a text.
_BLOCK_START = re.compile(r"^(?:([-+=#>])|(\d+)([.)]))")
#: What Apprise makes a call of in Slack, even without a `<` before it.
_CALL = re.compile(r"([!@])(?=[^| .]+(?: *\|.*)?>)")
#: What a channel obeys: Slack's `<!channel>`, `<@U1>` and `<http://...|text>`, the beginning of an element of HTML (but
#: for a mail address), calls of everybody, links of Markdown, addresses, which chats fetch a preview of, and templates.
_MESSAGE = re.compile(
    r"(?i)<(?=[!@#/?a-z])(?![\w.+-]+@[\w.-]+>)|@(?=(?:everyone|here|channel|all|room|team)\b)|\](?=[(\[])|:(?=//[\w\[])|\bwww(?=\.)|\{(?=\{)"
)

# Everything behind it can be a secret, whatever it is called: as a header, in a dictionary, as a pair, from a jar.
# (Possessive: else a long word costs its length squared.)
_COOKIES = re.compile(
    r"(?i)(cookies?[\w-]*+(?:\\?['\"]?[ \t]*[=:]|['\"],|[ \t]+[^\s=;]+=|\((?=\w+=))[ \t]*).*(?:\n[ \t]+.+)*"
)
_COOKIES_OF_LINE = re.compile(_COOKIES.pattern.removesuffix(r"(?:\n[ \t]+.+)*"))
_SECRET = re.compile(
    r"(?i)(?<![\w-])([\w-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|(?:api|access|private)[-_]?key|credential|signature"
    r"|nonce|cookie|session|sessid)[\w-]*+|(?:[\w-]*[_-])?si[dg]|__(?:host|secure)-[\w.-]*+)(['\"]?\s*[=:]\s*)[^\s,;&]+"
)
#: A secret that is the next word of a command, as text or as the list that an exception quotes.
_OPTION = re.compile(
    r"(?i)((?<!\S)['\"\[]*--?(?:[\w-]*-)?(?:password|passwd|secret|token|api-?key)(?:['\"],)?\s+)[^\s,]+"
)
# The group is not possessive, as Python before 3.11.5 loses its place in one that can fail half-way.
_AUTHORIZATION = re.compile(
    r"(?i)(\b(?:proxy-)?authorization['\"]?\s*[=:]\s*['\"]?)(?:[a-z][\w-]*[ \t]+)?[^\s,]+"
    r"(?:,\s*[\w-]+=(?:\"[^\"]*+\"|[^\s,]*+))*"
)
_BEARER = re.compile(r"(?i)\b(authorization|bearer|basic)(\s*:?\s+)(?:(?:bearer|basic)\s+)?[\w+/=.~-]{6,}")
_URL = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z0-9+.-]*+)://(\S*)")
_END = re.compile(r"[/\"'<>)\],;]*")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?")
#: A user and a password before a host, where no scheme tells that it is an address.
_USERINFO = re.compile(
    r"(?<![^\s/\\'\"<>(\[=,;|])(?!mailto:)[^\s/\\'\"<>(\[=,;|@]{1,200}:[^\s@/]{0,500}@(?=[\w\[])|(?<=//)[^\s/?#@]{1,500}@"
)
#: The same in an address that is percent-encoded, as within another address.
_QUOTED_USERINFO = re.compile(r"(?i)(?<=%2f%2f)[^\s/?#@&]{1,500}?%40")
#: Schemes behind which a host stands, or a file; behind others a token can stand in its place, such as in Apprise's.
_KNOWN_SCHEME = re.compile(r"(?i)(?:https?|wss?|ftp|file|(?:sqlite|postgres(?:ql)?|rediss?)(?:\+\w+)?)?")


def visible(text: str, keep: str = "") -> str:
    r"""A text with what can't be seen written out, such as `\x1b`, `\n` or `\u202e`; characters to `keep` stay.

    These are the controls (C0, DEL, C1), marks that turn the direction of writing, characters without width, separators
    of lines and paragraphs, blanks other than the space, and halves of characters.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(one if one.isprintable() or one in keep else _written_out(one) for one in text)
    return _BLANK_LETTERS.sub(lambda found: _written_out(found[0]), shown)


def plain(text: str) -> str:
    """A text as one line that every channel and database takes: white space is one space, the unseen is written out."""
    return visible(" ".join(text.split()))


def clipped(text: str, most: int = LINE_CHARACTERS) -> str:
    """A text as one line of at most `most` characters."""
    line = plain(text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def shortened(text: str, most: int) -> str:
    """A text of at most `most` characters and, if it was longer, how many are left out, also by an earlier cut."""
    if len(text) <= most:
        return text
    cut = _LEFT_OUT.search(text[-60:])
    left_out = len(text) - most + (int(cut[1].replace(",", "")) - len(cut[0]) if cut else 0)
    return f"{text[:most]}... ({left_out:,} characters left out)"


def for_terminal(text: str, keep: str = "", most: int = MAX_SHOWN_CHARACTERS) -> str:
    """A text for a terminal or the log of a CI job, neither of which obeys anything in it. Newlines only if kept."""
    lines = [shortened(line, most) for line in visible(text, keep).split("\n")]
    # A backslash in its middle is enough, as a CI system looks for the whole word.
    return _CI_COMMANDS.sub(lambda found: f"{found[0]}\\", "\n".join(lines))


def for_markdown(text: str) -> str:
    """A text as words within a line of Markdown or a cell of its table: no link, image, element or emphasis.

    What looks like an address becomes code, since renderers make links of addresses even where they are escaped.
    """
    return _line(text, _escaped)


def code_for_markdown(text: str, *, cell: bool = False) -> str:
    """A text as code within a line of Markdown, such as a command to copy. In a `cell` of a table bars are escaped."""
    line = shortened(plain(text), MAX_SHOWN_CHARACTERS)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    code = f"{fence}{space}{line}{space}{fence}" if line else ""
    return code.replace("|", r"\|") if cell else code


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; its cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def for_table(text: str) -> str:
    """A text for a cell of Prefect's table artifacts: Markdown to its old page, plain text to the new one."""
    return _line(text, lambda word: _CELL.sub(r"\\\g<0>", word))


def for_picture(text: str) -> str:
    """A text for matplotlib, in SVG: nothing that XML forbids, no formula between dollars, and not too long."""
    line = visible(text)
    cut = line if len(line) <= MAX_LABEL_CHARACTERS else f"{line[: MAX_LABEL_CHARACTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    return cut.replace("$", r"\$")


def for_message(text: str) -> str:
    """A line for a chat, a mail or a pager, whichever it is: nobody is called, nothing is a link, an image or HTML.

    The backslash that it takes changes nothing in a command that is pasted into a shell, unless it stands in quotes.
    """
    line = _CALL.sub(r"\1 ", shortened(plain(text), MAX_SHOWN_CHARACTERS))
    return _MESSAGE.sub(lambda found: f"{found[0]}\\", line)


def without_credentials(text: str) -> str:
    """A text whose addresses have neither user and password, nor a query or fragment, in which tokens stand."""
    if "://" in text:
        text = _URL.sub(_path_only, text)
    if "%40" in text:
        text = _QUOTED_USERINFO.sub("...%40", text)
    return _USERINFO.sub("...@", text) if "@" in text else text


def hidden(text: str) -> str:
    """A text for a log, of several lines perhaps, without what is, or may be, a secret. An address keeps its path."""
    lines = [_COOKIES_OF_LINE.sub(r"\1...", shortened(line, MAX_SEARCHED_CHARACTERS)) for line in text.split("\n")]
    return "\n".join(_unnamed(without_credentials(line)) for line in lines)


def hosts_only(text: str) -> str:
    """A text whose addresses are cut behind the host, as a token can stand in a path."""
    return _URL.sub(_host_only, text)


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """A text from somebody else's exception without what is, or may be, a secret: an address keeps its host only."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "...")
    # Only then, or a secret that the cut goes through could not be recognised.
    text = shortened(text, MAX_SEARCHED_CHARACTERS)
    # Before it is one line, or what follows a cookie would go with it.
    text = hosts_only(plain(_COOKIES.sub(r"\1...", text)))
    return _unnamed(without_credentials(text))


def _unnamed(text: str) -> str:
    """A text without the values of what has a secret's name."""
    text = _BEARER.sub(r"\1\2...", _AUTHORIZATION.sub(r"\1...", text))
    return _OPTION.sub(r"\1...", _SECRET.sub(r"\1\2...", text))


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _line(text: str, escape: Callable[[str], str]) -> str:
    """A text as a line of Markdown: words that look like an address as code, the others escaped."""
    words = re.split("([ `]+)", shortened(plain(text), MAX_SHOWN_CHARACTERS))
    line = "".join(f"`{word.replace('|', '%7C')}`" if _ADDRESS.search(word) else escape(word) for word in words)
    return _BLOCK_START.sub(r"\2\\\1\3", line)


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(text, quote=False)).replace("`", "&#96;")


def _host_only(found: re.Match[str]) -> str:
    """Scheme and host of a web address; of others the scheme, as in Apprise's a token can stand in the host's place."""
    scheme, rest = found[1], found[2]
    host = re.split(r"[/?#\"'<>)\],;]", rest, maxsplit=1)[0]
    if scheme.lower() not in {"http", "https"} or "@" in rest or not _HOST.fullmatch(host):
        return f"{scheme}://..."
    tail = rest.removeprefix(host)
    return f"{scheme}://{host}{tail if _END.fullmatch(tail) else '/...'}"


def _path_only(found: re.Match[str]) -> str:
    """An address without user, password, query and fragment."""
    scheme, rest = found[1], found[2]
    if not _KNOWN_SCHEME.fullmatch(scheme):
        return f"{scheme}://..."
    host = re.split(r"[/?#\"'<>)\],;]", rest, maxsplit=1)[0]
    # A password with a slash ends the host too early.
    if "@" in rest and not _HOST.fullmatch(host):
        return f"{scheme}://...@{_path(rest.rpartition('@')[2])}"
    return f"{scheme}://{_path(rest)}"


def _path(rest: str) -> str:
    path, mark, query = re.match(r"([^?#]*)([?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{path}{mark}{query if _END.fullmatch(query) else '...'}"


#: How much less like the word a second one may be than the first.
_BEHIND = 0.15


def nearest(word: str, known: Iterable[str], most: int = 2) -> list[str]:
    """The known words that a word may be a misspelling, or the beginning, of; the likeliest first, `most` at most."""
    by_fold = {one.casefold(): one for one in known}
    folded = word.casefold()
    likeness = {one: difflib.SequenceMatcher(None, one, folded).ratio() for one in by_fold}
    begun = [one for one in by_fold if len(folded) > 1 and one.startswith(folded)]
    near = difflib.get_close_matches(folded, by_fold, most, 0.6)
    found = list(dict.fromkeys([*begun, *near]))
    return [by_fold[one] for one in found if likeness[one] > likeness[found[0]] - _BEHIND][:most]


def did_you_mean(word: str, known: Iterable[str], most: int = 2) -> str:
    """The same as a question, such as `did you mean inspect?`; empty when nothing is near."""
    return f"did you mean {' or '.join(near)}?" if (near := nearest(word, known, most)) else ""
