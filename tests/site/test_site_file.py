"""A site file is a site, or a list of problems with their lines."""

import pytest

from roundsman.site.rules.promises import AlertPolicy
from roundsman.site.rules.site_file import SiteFileError, read

GOOD = """\
site: shop
base_url: https://www.example.com
owner: web-platform <web-oncall@example.com>
edge: varnish/shop
sessions: [member/ada, member/ben]
rules:
  - name: articles
    paths: ["/articles/**"]
    cache: {by: everyone, edge_ttl: 10m..24h, browser_ttl: "<=5m", vary: [accept-encoding]}
    bypass:
      - {when: cookie sessionid, because: the header shows the member's name}
    examples:
      cached: [/articles/how-to-plant, /articles/tomatoes]
      not_cached: [/articles/preview/123]
    response_time: {hit: {p95: 80ms}, miss: {p95: 600ms}}
    purge: {canary: /articles/tomatoes, marker: {header: etag}}
    expected_result: A reader gets a copy at most ten minutes old.
    rollback: {note: kept for 30 days, command: [make, cdn-rollback]}
  - name: rest
    paths: ["/**"]
    cache: {by: nobody}
    examples: {not_cached: [/cart]}
    expected_result: Nothing is kept.
    rollback: {note: kept for 30 days, command: [make, cdn-rollback]}
"""


#: A few lines that are ten million values.
BOMB = "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [{', '.join(10 * [f'*a{n - 1}'])}]" for n in range(1, 8))


def test_a_good_file_keeps_its_promises():
    site, _ = read(GOOD, "shop.yaml")
    rule = site.rules[0]
    assert (600, 86400) == (rule.cache.edge_ttl.low, rule.cache.edge_ttl.high)
    assert 0.08 == rule.response_time.hit.p95
    assert "articles" == site.rule_for("/articles/x?page=2").name
    assert "web-platform" == site.owner_of(rule)


def test_who_is_told_becomes_a_policy():
    notify = "notify: {channels: [slack-webhook/ops, apprise/mail], after: 2 of 3, remind: 6h, recover: 2}\n"
    site, _ = read(notify + GOOD, "shop.yaml")
    assert ("slack-webhook/ops", "apprise/mail") == site.notify.channels
    assert AlertPolicy(2, 3, 2, 6 * 3600) == site.notify.policy
    site, _ = read("notify: {channels: [apprise/mail]}\n" + GOOD, "shop.yaml")
    assert AlertPolicy(1, 1, 1, 12 * 3600) == site.notify.policy


def test_a_site_survives_the_way_through_json():
    site, _ = read(GOOD, "shop.yaml")
    assert site == type(site).model_validate(site.model_dump(mode="json", by_alias=True))


WRONG = [
    ("an unknown key", "owner: web", "ownr: web", "shop.yaml:3:1: ownr: saw the unknown key `ownr`; did you mean `owner`?"),
    ("an unknown key below", "edge_ttl:", "edge_tl:", "shop.yaml:9:27: rules[0].cache.edge_tl: saw the unknown key `edge_tl`; did you mean `edge_ttl`?"),
    ("no owner", "owner: web-platform <web-oncall@example.com>\n", "", "shop.yaml:1:1: owner: saw nothing; write who answers for it"),
    ("no expected result", "    expected_result: A reader gets a copy at most ten minutes old.\n", "", "shop.yaml:7:5: rules[0].expected_result: saw nothing; write in a sentence"),
    ("no rollback", "    rollback: {note: kept for 30 days, command: [make, cdn-rollback]}\n  - name: rest", "  - name: rest", "shop.yaml:7:5: rules[0].rollback: saw nothing; write how to go back"),
    ("an empty owner", "owner: web-platform <web-oncall@example.com>", 'owner: ""', "shop.yaml:3:1: owner: saw ''"),
    ("an example in two rules", "[/cart]", "[/articles/tomatoes]", "shop.yaml:22:29: rules[1].examples.not_cached[0]: saw '/articles/tomatoes'; rule articles claims the same example"),
    ("an example in another spelling", "[/cart]", "[/articles/%74omatoes]", "saw '/articles/%74omatoes'; rule articles claims the same example"),
    ("an example that an earlier rule decides", "[/cart]", "[/articles/new]", "shop.yaml:22:29: rules[1].examples.not_cached[0]: saw '/articles/new'; rule articles stands earlier and claims it too"),
    ("an example outside its rule", "[/articles/preview/123]", "[/blog/123]", "shop.yaml:14:20: rules[0].examples.not_cached[0]: saw '/blog/123'; its own rule does not match it; wanted a path like /articles/**"),
    ("a canary outside its rule", "canary: /articles/tomatoes", "canary: /blog", "shop.yaml:16:13: rules[0].purge.canary: saw '/blog'; its own rule does not match it"),
    ("a range upside down", "10m..24h", "24h..10m", "shop.yaml:9:27: rules[0].cache.edge_ttl: saw '24h..10m'; the range is upside down; did you mean 10m..24h?"),
    ("a duration without unit", "p95: 80ms", "p95: 80", "shop.yaml:15:27: rules[0].response_time.hit.p95: saw 80; wanted a number with a unit (ms, s, m, h or d), such as 80ms or 10m"),
    ("a range without unit", "10m..24h", "10..24", "shop.yaml:9:27: rules[0].cache.edge_ttl: saw '10..24'; wanted a range such as 10m..24h, <=5m or >=1h"),
    ("no block name", "varnish/shop", "varnish", "shop.yaml:4:1: edge: saw 'varnish'; wanted a block's type and name"),
    ("two rules of one name", "name: rest", "name: articles", "shop.yaml:19:5: rules[1].name: saw 'articles'; another rule has this name"),
    ("a rule called release", "name: rest", "name: release", "shop.yaml:19:5: rules[1].name: saw 'release'; the site's own rollback goes by this name"),
    ("a rule without example", "{not_cached: [/cart]}", "{}", "shop.yaml:22:5: rules[1].examples: saw 'no example'; a rule without an example can't be proven"),
    ("a member's page as cached", "{by: nobody}\n    examples: {not_cached", "{by: member}\n    examples: {cached", "shop.yaml:22:16: rules[1].examples.cached: saw '/cart'; a page kept by member is not cached for all"),
    ("a command for a shell", "command: [make, cdn-rollback]}\n  - name: rest", "command: make back}\n  - name: rest", "shop.yaml:18:40: rules[0].rollback.command: saw 'make back'; wanted a command as a list of words, such as [make, rollback]; no shell reads it"),
    ("a purge without edge", "edge: varnish/shop\n", "", "shop.yaml:15:5: rules[0].purge: saw '/articles/tomatoes'; a purge needs an edge"),
    ("an import without a feed", "site: shop\n", "site: shop\nschedule: {inspect: daily, catalogue: daily}\n", "shop.yaml:2:28: schedule.catalogue: saw 'daily'; an import needs a feed; add `catalogue: {feed: FILE or ADDRESS}`"),
    ("a key twice", "site: shop", "site: shop\nsite: barn", "shop.yaml:2:1: site: saw the key again (first on line 1); keep one"),
    ("no YAML", "site: shop", "site: 'shop", "YAML: saw"),
    ("nothing", GOOD, "", "shop.yaml:1: file: saw nothing; write at least site, base_url, owner and one rule"),
    ("only a comment", GOOD, "# later\n", "shop.yaml:1: file: saw nothing"),
    ("a list", GOOD, "- shop\n", "shop.yaml:1:1: file: saw a list; write a mapping"),
    ("a path in the address", "https://www.example.com", "https://www.example.com/shop", "shop.yaml:2:1: base_url: saw 'https://www.example.com/shop'; wanted scheme and host without a path"),
    ("a bypass of no kind", "when: cookie sessionid", "when: moon full", "shop.yaml:11:10: rules[0].bypass[0].when: saw 'moon full'; wanted `cookie NAME`"),
    ("a bypass by a method that copies answer", "when: cookie sessionid", "when: method GET", "rules[0].bypass[0].when: saw 'method GET'; wanted a method that no copy answers, such as `method POST`"),
    ("a bypass that no probe can try", "when: cookie sessionid", "when: header Pragma", "rules[0].bypass[0].when: saw 'header Pragma'; wanted another header: a probe never sends this one"),
    ("a bypass with a colon", "when: cookie sessionid", "when: 'header X-Preview:'", "rules[0].bypass[0].when: saw 'header X-Preview:'; wanted the name of a header alone"),
    ("a budget that nothing shows", "{not_cached: [/cart]}", "{not_cached: [/cart]}\n    response_time: {hit: {p95: 80ms}}", "shop.yaml:23:21: rules[1].response_time.hit: saw 'a budget for hits'; only a cached example shows it"),
    ("a promise that nothing shows", "{by: nobody}", "{by: everyone, missing: '<=1m'}", "shop.yaml:21:27: rules[1].cache.missing: saw"),
    ("a channel without a type", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [ops]}", "shop.yaml:5:21: notify.channels[0]: saw 'ops'; wanted a block's type and name"),
    ("nobody to tell", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: []}", "shop.yaml:5:10: notify.channels: saw []"),
    ("a channel twice", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [apprise/a, apprise/a]}", "shop.yaml:5:32: notify.channels[1]: saw 'apprise/a'; it would be told twice"),
    ("no K of N", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [apprise/a], after: 2}", "shop.yaml:5:33: notify.after: saw 2; wanted text; put quotes around it"),
    ("half a K of N", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [apprise/a], after: 2/3}", "shop.yaml:5:33: notify.after: saw '2/3'; wanted `K of N`, such as 2 of 3"),
    ("a K above its N", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [apprise/a], after: 3 of 2}", "shop.yaml:5:33: notify.after: saw '3 of 2'; wanted K of N with K up to N and N up to 20"),
    ("a reminder all the time", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [apprise/a], remind: 0s}", "shop.yaml:5:33: notify.remind: saw 0.0; should be greater than 0"),
    ("a reminder without unit", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [apprise/a], remind: 12}", "shop.yaml:5:33: notify.remind: saw 12; wanted a number with a unit"),
    ("an unknown word about telling", "edge: varnish/shop", "edge: varnish/shop\nnotify: {channels: [apprise/a], repeat: 1h}", "shop.yaml:5:33: notify.repeat: saw the unknown key `repeat`; "),
    ("a key without a value", "owner: web-platform <web-oncall@example.com>", "owner:", "shop.yaml:3:1: owner: saw None; write who answers for it"),
    ("a name that YAML takes for true", "name: rest", "name: yes", "shop.yaml:19:5: rules[1].name: saw True; wanted text; put quotes around it"),
    ("no rule", GOOD[GOOD.index("rules:") :], "rules: []", "shop.yaml:6:1: rules: saw []; wanted at least 1"),
    ("a word for a mapping", "edge: varnish/shop", "edge: varnish/shop\nhealth: /health", "shop.yaml:5:1: health: saw '/health'; wanted a mapping with some of path, expect"),
    ("a word for a list", "edge: varnish/shop", "edge: varnish/shop\nservers: http://10.0.0.7", "shop.yaml:5:1: servers: saw 'http://10.0.0.7'; wanted a list, such as [one, other]"),
    ("a word for a number", "edge: varnish/shop", "edge: varnish/shop\nmanners: {samples: many}", "shop.yaml:5:11: manners.samples: saw 'many'; wanted a whole number"),
    ("a key that is a number", "edge: varnish/shop", "edge: varnish/shop\n7: x", "[7]: saw 7; wanted a key that is a word"),
    ("a port that is none", "https://www.example.com", "https://www.example.com:80443", "shop.yaml:2:1: base_url: saw 'https://www.example.com:80443'; wanted a host and, if it is written, a port"),
    ("a host that is no ASCII", "https://www.example.com", "https://bücher.example", "base_url: saw 'https://bücher.example'; wanted the host as it is sent, in ASCII; did you mean https://xn--bcher-kva.example?"),
    ("an escape in a host", "https://www.example.com", '"https://www.example.com\\e[31m"', "shop.yaml:2:1: base_url: saw 'https://www.example.com\\x1b[31m'; wanted scheme and host"),
    ("a turned direction in a path", "not_cached: [/cart]", 'not_cached: ["/cart\\u202e"]', "rules[1].examples.not_cached[0]: saw '/cart\\u202e'; wanted a path that starts with a slash"),
    ("a NUL in a command", "command: [make, cdn-rollback]", 'command: [make, "cdn\\0"]', "rules[0].rollback.command[1]: saw 'cdn\\x00'; wanted text without control characters"),
    ("a colour in a note", "note: kept for 30 days", 'note: "kept \\e[31m"', "rules[0].rollback.note: saw 'kept \\x1b[31m'; wanted text without control characters"),
    ("an exchange that may take no time", "edge: varnish/shop", "edge: varnish/shop\nmanners: {timeout: 0s}", "shop.yaml:5:11: manners.timeout: saw 0.0; should be greater than 0"),
    ("an exchange that may take for ever", "edge: varnish/shop", "edge: varnish/shop\nmanners: {timeout: 9999d}", "manners.timeout: saw 863913600.0; should be less than or equal to 3600"),
    ("a rate that is no number", "edge: varnish/shop", "edge: varnish/shop\nmanners: {rate: .nan}", "manners.rate: saw nan; should be less than or equal to 5000"),
    ("an address that ends early", "https://www.example.com", '"http://[::1"', "shop.yaml:2:1: base_url: saw 'http://[::1'; wanted a host"),
    ("an anchor in itself", "site: shop", "site: &a {x: *a}", "shop.yaml:1:7: YAML: saw more than 50 levels; write it in fewer levels, and no anchor (`&name`) within itself"),
    ("anchors that multiply", "site: shop", BOMB, "YAML: saw more than 100000 values; write it out: anchors (`&name`) that repeat each other multiply"),
    ("brackets without end", "site: shop", "site: " + 1000 * "[", "YAML: saw"),
    ("a broken marker", "{header: etag}", '{pattern: "("}', "shop.yaml:16:41: rules[0].purge.marker"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_each_problem_is_told_with_its_line_and_its_mend(old, new, says):
    assert old in GOOD
    with pytest.raises(SiteFileError) as caught:
        read(GOOD.replace(old, new, 1), "shop.yaml")
    assert says in str(caught.value)


def test_all_problems_are_told_at_once_and_in_order():
    text = GOOD.replace("10m..24h", "24h..10m").replace("p95: 80ms", "p95: 80").replace("owner: web", "ownr: web", 1)
    with pytest.raises(SiteFileError) as caught:
        read(text, "shop.yaml")
    assert [3, 9, 15] == [problem.line for problem in caught.value.problems]


MISTAKES = [
    ("owner: web", "ownr: web", "3:1: ownr: saw the unknown key `ownr`; did you mean `owner`?"),
    ("edge: varnish/shop", "edge: varnish", "4:1: edge: saw 'varnish'; wanted a block's type and name"),
    ("sessions: [", "schedule: {inspect: daily, catalogue: daily}\nsessions: [", "5:28: schedule.catalogue: saw 'daily'; an import needs a feed"),
    ("sessions: [", "password: hunter2\nsessions: [", "6:1: password: saw a secret (`password`) in plain text"),
    ("10m..24h", "24h..10m", "11:27: rules[0].cache.edge_ttl: saw '24h..10m'; the range is upside down"),
    ("p95: 80ms", "p95: 80", "17:27: rules[0].response_time.hit.p95: saw 80; wanted a number with a unit"),
    ("canary: /articles/tomatoes", "canary: /blog", "18:13: rules[0].purge.canary: saw '/blog'; its own rule does not match it"),
    ("{by: nobody}", "{by: nobdy}", "23:13: rules[1].cache.by: saw 'nobdy'; should be"),
    ("[/cart]", "[/articles/new, cart]", "24:29: rules[1].examples.not_cached[0]: saw '/articles/new'; rule articles stands earlier"),
    ("", "", "24:44: rules[1].examples.not_cached[1]: saw 'cart'; wanted a path"),
]  # fmt: skip


def test_one_mistake_hides_no_other():
    """What is held against the whole file is found as well while single fields are wrong."""
    text = GOOD
    for old, new, _ in MISTAKES:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(SiteFileError) as caught:
        read(text, "shop.yaml")
    told = str(caught.value).splitlines()
    assert len(MISTAKES) == len(told)
    for line, (_, _, says) in zip(told, MISTAKES, strict=True):
        assert line.startswith(f"shop.yaml:{says}")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    rollback: {note: kept for 30 days, command: [make, cdn-rollback]}\n  - name: rest", "  - name: rest", "7:5: rules[0].rollback"),
        ("    cache: {by: nobody}\n", "", "19:5: rules[1].cache"),
        ("    cache: {by: nobody}\n", "    cache: private\n", "21:5: rules[1].cache"),
        ("    examples: {not_cached: [/cart]}\n", "", "19:5: rules[1].examples"),
        ('    paths: ["/**"]\n', "", "19:5: rules[1].paths"),
        ('    paths: ["/**"]\n', '    paths: ["**"]\n', "20:13: rules[1].paths[0]"),
        ("edge: varnish/shop", "edg: varnish/shop", "4:1: edg: saw the unknown key `edg`; did you mean `edge`?"),
        ("edge: varnish/shop", "edge: [varnish/shop]", "4:1: edge"),
        ("edge: varnish/shop", "edge: varnish/shop\norigin: here", "5:1: origin"),
        ("{header: etag}", "{}", "16:41: rules[0].purge.marker"),
        ("base_url: https://www.example.com\n", "", "1:1: base_url"),
        ("rules:", "rules:\n  - articles", "7:5: rules[0]"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(old, new, says):
    """What is told to be missing is missing in the file, and not because something wrong was left aside."""
    assert old in GOOD
    with pytest.raises(SiteFileError) as caught:
        read(GOOD.replace(old, new, 1), "shop.yaml")
    [problem] = str(caught.value).splitlines()
    assert problem.startswith(f"shop.yaml:{says}")


def test_what_an_anchor_brings_in_is_told_where_it_is_written():
    text = GOOD.replace("rules:", "manners: &own {rate: fast}\nsweep:\n  <<: *own\nrules:")
    with pytest.raises(SiteFileError) as caught:
        read(text, "shop.yaml")
    assert ["6:16: manners.rate", "6:16: sweep.rate"] == [
        str(problem).removeprefix("shop.yaml:").partition(": saw")[0] for problem in caught.value.problems
    ]


def test_no_message_about_a_file_quotes_a_secret():
    text = GOOD.replace(
        "command: [make, cdn-rollback]}\n  - name: rest", "command: make --password=hunter2}\n  - name: rest"
    )
    for secret in (
        "token: *hunter2",
        "token: !hunter2 x",
        "token: 'hunter2",
        "token: [hunter2",
        "edge: {password: hunter2}",
    ):
        with pytest.raises(SiteFileError) as caught:
            read(f"{text}{secret}\n", "shop.yaml")
        assert "hunter2" not in str(caught.value)
