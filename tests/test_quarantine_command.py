"""`roundsman quarantine`: rows are shown without what is in them, replayed, and dismissed."""

import asyncio
from pathlib import Path

import pytest
import yaml

from flows.__main__ import main
from flows.tasks.catalogue import ARTICLE, VARIABLE, catalogue
from flows.tasks.site import load
from roundsman.batch import open_target, run
from tests.jobs.conftest import articles, site

SECRET = "hush-hush"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/shop.db")
    engine = open_target(VARIABLE)
    ARTICLE.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def names(tmp_path):
    """Two site files, and a feed with two bad rows."""
    written = []
    for name in ("lab", "other"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(site("http://127.0.0.1:9", [articles(name)]) | {"site": name}))
        written.append(str(path))
    feed = tmp_path / "feed.jsonl"
    feed.write_text(f'{{"route": "/a", "title": "A"}}\n{{"route": "/b", "title": "", "text": "{SECRET}"}}\n{{torn\n')
    return *written, str(feed)


@pytest.fixture
async def bad(shop, names):
    await run(catalogue(load(names[0]), names[2], shop))


def test_a_list_says_where_and_why_and_no_word_of_a_row(bad, capsys):
    assert 1 == main(["quarantine"])
    said = capsys.readouterr().out
    assert ["2 in quarantine", "1/1  catalogue  ValidationError", "1/2  catalogue  Unreadable"] == [
        line.partition("  /")[0].strip() for line in said.splitlines()
    ]
    assert SECRET not in said


def test_one_row_is_shown_in_full_to_who_asks_for_it(bad, capsys):
    assert 0 == main(["quarantine", "--show", "1/1"])
    assert SECRET in capsys.readouterr().out


def test_a_row_is_dismissed_once(bad, capsys):
    assert 0 == main(["quarantine", "--dismiss", "1/1"])
    assert 3 == main(["quarantine", "--dismiss", "1/1"])
    assert 1 == main(["quarantine"])
    assert 0 == main(["quarantine", "--dismiss", "1/2"])
    assert 0 == main(["quarantine"])
    assert "0 in quarantine" in capsys.readouterr().out


def test_a_replay_applies_what_the_code_can_do_now_and_keeps_the_rest(bad, shop, names, capsys, monkeypatch):
    assert 1 == main(["quarantine", "--replay", names[0], names[2]])
    assert "0 applied, 2 left in quarantine" in capsys.readouterr().out
    monkeypatch.setattr("flows.tasks.catalogue.Article.model_validate", _mended)
    assert 1 == main(["quarantine", "--replay", names[0], names[2]])
    assert "1 applied, 1 left in quarantine" in capsys.readouterr().out
    with shop.connect() as connection:
        assert ["/a", "/b"] == sorted(connection.execute(ARTICLE.select()).scalars())


def _mended(row):
    from flows.tasks.catalogue import Article

    return Article(**{**row, "title": row["title"] or "no title"})


def test_the_rows_of_another_site_are_left_alone(bad, names, capsys):
    assert 0 == main(["quarantine", "--replay", names[1], names[2]])
    assert "0 applied, 0 left" in capsys.readouterr().out


async def test_a_row_that_a_newer_edition_has_mended_is_not_put_back(bad, shop, names, capsys, monkeypatch):
    Path(names[2]).write_text('{"route": "/a", "title": "A"}\n{"route": "/b", "title": "B"}\n')
    await run(catalogue(load(names[0]), names[2], shop))
    monkeypatch.setattr("flows.tasks.catalogue.Article.model_validate", _mended)
    assert 1 == await asyncio.to_thread(main, ["quarantine", "--replay", names[0], names[2]])
    said = capsys.readouterr().out
    assert f"{names[2]}: 0 applied, 0 left in quarantine" in said
    assert "2 not tried: a newer edition of the feed is applied; --dismiss what it has right" in said
    with shop.connect() as connection:
        assert ["A", "B"] == sorted(row.title for row in connection.execute(ARTICLE.select()))


async def test_the_rows_of_another_feed_are_left_alone(bad, shop, names, tmp_path, capsys):
    """Its header would give them other names."""
    (tmp_path / "other.csv").write_text("title,route\nTitle\nTomatoes,/articles/tomatoes\n")
    await run(catalogue(load(names[0]), str(tmp_path / "other.csv"), shop))
    assert 1 == await asyncio.to_thread(main, ["quarantine", "--replay", names[0], str(tmp_path / "other.csv")])
    assert "other.csv: 0 applied, 1 left in quarantine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--show", "one"], "saw 'one', wanted JOB/ROW"),
        (["--dismiss", "1/1000"], "no such row"),
        (["--show", "1/1000"], "no such row"),
        (["--in", "NOWHERE"], "NOWHERE: saw nothing"),
    ],
)
def test_a_wrong_word_is_told(words, says, bad, capsys):
    assert 3 == main(["quarantine", *words])
    assert says in capsys.readouterr().err


def test_a_database_without_a_batch_job_is_told(shop, capsys):
    assert 3 == main(["quarantine"])
    assert "a database without a quarantine" in capsys.readouterr().err
