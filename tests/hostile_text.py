"""What a site, a database, a feed or an exception may say to whoever reads it, and how its readers take it."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

#: What a site, a database or a feed may say to whoever reads it.
HOSTILE = {
    "image": "![x](http://evil.test/t.png)",
    "image by reference": "![x][y] [y]: http://evil.test/t.png",
    "link": "[click](javascript:alert(1)) [click](<http://evil.test/>)",
    "address": "see http://evil.test/t.png and HTTPS://evil.test, or www.evil.test",
    "address behind an escape": r"see http\://evil.test/ and \<http://evil.test/>",
    "address in backticks": "`http://evil.test/` ``http://evil.test/``` `",
    "address with a bar": "http://evil.test/a|b",
    "autolink": "<http://evil.test/> <ada@evil.test> ada@evil.test mailto:ada@evil.test",
    "element": "<img src=http://evil.test/t.png onerror=alert(1)> <script>alert(1)</script> <!-- -->",
    "element in entities": "&lt;img src=x&gt; &#60;img src=x&#62; &amp;lt;",
    "attribute": "\" onmouseover=\"alert(1)\" x=\"' onmouseover='alert(1)",
    "emphasis": "**bold** _it_ __bold__ ~~gone~~ ==marked== /articles/** and /news/**",
    "code": "`code` ``` ~~~",
    "odd backticks": "a ` b `` c",
    "table": "a | b \\| c",
    "heading": "# heading",
    "quote": "> quote",
    "list": "- item",
    "plus": "+ item",
    "number": "1. item",
    "rule": "---",
    "underline": "===",
    "fence": "```mermaid graph TD; A-->B",
    "task": "- [x] done",
    "backslash": "C:\\*new\\",
    "formula": "$x^2$ $$ \\frac{",
    "lines": "one\n# two\r\n::error::three\u2028four\u2029five\x85six\n\n    seven",
    "colours": "max-age=\x1b[31m60 \x9b31m \x1b]8;;http://evil.test\x07x\x1b]8;;\x07",
    "controls": "".join(map(chr, (*range(32), 127, *range(128, 160)))),
    "directions": "\u202ecod.exe \u2066\u2067\u2068\u2069\u202a\u202b\u202c\u202d\u200e\u200f\u061c",
    "without width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg\u034fh\u3164i\U000e0041j\ufe0f",
    "half characters": "a\ud800b\udfffc",
    "no characters": "a\ufffeb\uffffc",
    "workflow commands": "x ::error file=a::b ::SET-ENV name=a::b ::stop-commands::t ##[group]x ##vso[task.complete]",
    "other CI": "##teamcity[x] section_start:1:x\r\x1b[0K section_end:1:x",
    "rich": "[red]red[/red] [/nothing] [link=http://evil.test]x[/link] :bomb:",
    "jinja": "{{ 7 * 7 }} {% raw %} {# #}",
    "slack": "<!channel> <!here|x> <@U123> <#C1> <http://evil.test|safe> &lt;!channel&gt;",
    "chat": "@everyone @here <@&123> <@123> @channel @all",
    "format": "%s %(name)s {0} {name!r}",
    "long": "x" * 100_000,
}  # fmt: skip
VALUES = pytest.mark.parametrize("value", list(HOSTILE.values()), ids=list(HOSTILE))
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad\u061c\ud800-\udfff]")
LINK = re.compile(r"(?i)https?:/|www\.|@\w|javascript:")
OF_PAGES = MarkdownIt("gfm-like", {"linkify": False})


def elements(page):
    """The elements of a rendered page, and the words that are not code."""
    found, words, open_code = [], [], 0

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            nonlocal open_code
            found.append(tag)
            open_code += tag == "code"
            assert not attrs, attrs

        def handle_endtag(self, tag):
            nonlocal open_code
            open_code -= tag == "code"

        def handle_data(self, data):
            if not open_code:
                words.append(data)

    reader = Reader(convert_charrefs=True)
    reader.feed(page)
    reader.close()
    return found, "".join(words)


def text_of(page):
    return "".join(ET.fromstring(f"<x>{page}</x>").itertext())
