"""A site file names only what can be found, and whatever is wrong with it is told at once."""

import pytest

from flows.tasks.site import check, load
from roundsman.site.rules.site_file import SiteFileError
from tests.alerts.telling import keep_site, webhook, written
from tests.site.test_site_file import BOMB, GOOD

OPS = {"custom-webhook/ops": webhook("ops", "{{url}}", secrets={"url": {"env": "NOT_THERE"}})}
VARNISH = {"varnish/shop": {}}


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Holds a site with some channels and blocks against what this project can do."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def look(*channels, blocks=None):
        keep_site(tmp_path, monkeypatch, written(*channels, blocks=blocks))
        return check(tmp_path / "shop.yaml")

    return look


@pytest.mark.parametrize(
    ("channels", "blocks"),
    [
        (["slack-webhook/ops", "apprise/mail"], None),
        (["custom-webhook/ops"], OPS),
        (["slack-webhook/ops"], VARNISH),
        (["apprise/mail"], {"apprise/mail": {"url": {"env": "NOT_THERE"}}}),
        (["ms-teams-webhook/ops"], {"ms-teams-webhook/ops": {"url": {"env": "NOT_THERE"}}}),
    ],
)
def test_channels_are_declared_in_the_file_or_kept_in_prefect(checked, channels, blocks):
    assert tuple(channels) == checked(*channels, blocks=blocks).notify.channels


@pytest.mark.parametrize(
    ("channels", "blocks", "says"),
    [
        (["slak-webhook/ops"], None, "notify.channels[0]: saw the unknown channel type 'slak-webhook'; did you mean slack-webhook"),
        (["apprise/a", "varnish/shop"], VARNISH, "notify.channels[1]: saw the unknown channel type 'varnish'; wanted one of apprise, custom-webhook"),
        (["custom-webhook/opps"], OPS, "notify.channels[0]: saw the unknown channel 'custom-webhook/opps'; declare it under `blocks:`"),
        (["custom-webhook/ops"], {"custom-webhook/ops": {"name": "ops"}}, "blocks.custom-webhook/ops.url: saw nothing; Field required"),
        (["custom-webhook/ops"], {"custom-webhook/ops": {"name": "ops", "url": "{{url}}"}}, "blocks.custom-webhook/ops: saw settings that it can't be started with"),
    ],
)  # fmt: skip
def test_a_channel_that_can_t_be_found_is_told_with_its_line(checked, channels, blocks, says):
    with pytest.raises(SiteFileError) as caught:
        checked(*channels, blocks=blocks)
    [problem] = caught.value.problems
    assert says in str(problem)
    assert problem.line > 1


UNREADABLE = [
    ("another encoding", GOOD.replace("Nothing", "N\xf6thing").encode("latin-1"), ":23:23: file: saw the byte 0xf6, which is not UTF-8; save it as UTF-8"),
    ("UTF-16", GOOD.encode("utf-16"), ": file: saw text in UTF-16 or UTF-32; save it as UTF-8"),
    ("UTF-32", GOOD.encode("utf-32"), ": file: saw text in UTF-16 or UTF-32; save it as UTF-8"),
    ("a NUL", GOOD.replace("Nothing", "No\0thing").encode(), ":23:24: YAML: saw the control character U+0000; take it out"),
    ("a control character", GOOD.replace("Nothing", "a\x9bm").encode(), ":23:23: YAML: saw the control character U+009B; take it out"),
    ("nothing", b"", ":1: file: saw nothing; write at least site, base_url, owner and one rule"),
    ("a list", b"- a\n", ":1:1: file: saw a list; write a mapping that starts with `site: NAME`"),
    ("anchors that multiply", BOMB.encode(), ":1:5: YAML: saw more than 100000 values; write it out: anchors (`&name`) that repeat each other multiply"),
    ("brackets without end", b"a: " + 5000 * b"[", ":1:1: YAML: saw more than 50 levels; write it in fewer levels"),
    ("mappings without end", "\n".join(f"{' ' * level}a:" for level in range(300)).encode(), ":52:52: YAML: saw more than 50 levels"),
    ("a tab", b"site: a\nrules:\n\t- x: 1\n", ":3:1: YAML: saw no YAML: found character '\\t' that cannot start any token; indent with spaces"),
    ("a tag", b"site: !!python/object/apply:os.system [id]\n", ":1:7: YAML: saw no YAML: could not determine a constructor for the tag"),
    ("two documents", GOOD.encode() + b"---\nsite: x\n", ":25:1: YAML: saw a second document; keep one of them"),
    ("a day that never was", b"site: 2024-13-45\n", ":1:7: YAML: saw a date or number that can't be; put quotes around it"),
    ("a number without end", b"site: " + 6000 * b"9" + b"\n", ":1:7: YAML: saw a date or number that can't be; put quotes around it"),
    ("an anchor that is not there", b"site: *shop\n", ":1:7: YAML: saw no YAML: found undefined alias 'shop'; name an anchor"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "says"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_a_file_that_can_not_be_read_is_told_in_one_line_with_what_mends_it(written, says, tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_bytes(written)
    with pytest.raises(SiteFileError) as caught:
        check(path)
    assert str(caught.value).startswith(f"{path}{says}")
    assert 1 == len(caught.value.problems)


def test_a_file_of_a_hundred_megabytes_is_not_read(tmp_path):
    path = tmp_path / "shop.yaml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(SiteFileError, match=r"saw more than 1000000 bytes; is it a site file\?"):
        check(path)


MEANT = [
    ("www.example.com", "https://www.example.com/"),
    ("WWW.Example.COM", "https://WWW.Example.COM/"),
    ("example.com/path?a=b", "https://example.com/path?a=b"),
    ("www.example.com:443/a", "https://www.example.com:443/a"),
    ("//example.com/x", "https://example.com/x"),
    ("http:/x", "http://x/"),
    ("http:/www.example.com/a", "http://www.example.com/a"),
    ("https:example.com", "https://example.com/"),
    ("https//www.example.com", "https://www.example.com/"),
    ("htps://www.example.com/", "https://www.example.com/"),
    ("localhost:8080", "http://localhost:8080/"),
    ("origin:8080/health", "http://origin:8080/health"),
    ("10.0.0.7:6081", "http://10.0.0.7:6081/"),
    ("[::1]:8080", "http://[::1]:8080/"),
    ("bücher.example", "https://xn--bcher-kva.example/"),
    ("Shop", "shop"),
    ("shp", "shop"),
    ("shop.ymal", "shop"),
]


@pytest.mark.parametrize(("word", "meant"), MEANT)
def test_a_word_that_is_no_site_is_answered_with_what_was_meant(word, meant, tmp_path, monkeypatch):
    keep_site(tmp_path, monkeypatch, written())
    with pytest.raises(SiteFileError) as caught:
        load(word)
    assert str(caught.value).endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("sites/shp.yaml", "file: saw no such file; did you mean {folder}/sites/shop.yaml?"),
        ("sites", "file: saw a folder; name a site file in it"),
        ("nowhere/barn.yaml", "file: saw no such file; known sites: "),
        ("a\0b.yaml", "file: saw nothing that can be read (embedded null byte)"),
        (f"{'x' * 5000}.yaml", "file: saw nothing that can be read (File name too long)"),
    ],
)
def test_a_path_without_a_site_file_is_told(path, says, tmp_path):
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "shop.yaml").write_text(GOOD)
    with pytest.raises(SiteFileError) as caught:
        load(f"{tmp_path}/{path}")
    assert says.format(folder=tmp_path) in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "word", ["ada:hunter2@www.example.com", "https://ada:hunter2@a.test/", "httpx://ada:hunter2@a.test/"]
)
def test_an_address_with_a_password_is_refused_without_it(word):
    with pytest.raises(SiteFileError) as caught:
        load(word)
    assert "hunter2" not in str(caught.value)


def test_a_wrong_schedule_and_a_wrong_block_are_told_beside_what_else_is_wrong(tmp_path):
    more = {
        "owner: web": "ownr: web",
        "edge: varnish/shop": "edge: varnish/shop\nschedule: {inspect: 99 * * * *, timezone: Europe/Berln}\n"
        "blocks: {varnish/shop: {nods: []}, member/ada: {login: login, form: {password: hunter2}}, member/ben: {}}",
        "10m..24h": "24h..10m",
    }
    text = GOOD
    for old, new in more.items():
        text = text.replace(old, new, 1)
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    with pytest.raises(SiteFileError) as caught:
        check(path)
    assert [
        (3, "ownr"),
        (5, "schedule.inspect"),
        (5, "schedule.timezone"),
        (6, "blocks.varnish/shop.nods"),
        (6, "blocks.member/ada.login"),
        (6, "blocks.member/ada.form.password"),
        (11, "rules[0].cache.edge_ttl"),
    ] == [(problem.line, problem.field) for problem in caught.value.problems]
    assert all(problem.column for problem in caught.value.problems)
    assert "did you mean Europe/Berlin?" in str(caught.value)
    assert "hunter2" not in str(caught.value)
