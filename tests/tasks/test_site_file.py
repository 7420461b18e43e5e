"""A site file names only channels that can be found."""

import pytest

from flows.rules.site_file import SiteFileError
from flows.tasks.site_file import check
from tests.tasks.telling import keep_site, webhook, written

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
        (["slak-webhook/ops"], None, "notify.channels[0]: saw the unknown channel type 'slak-webhook'; did you mean slack-webhook?"),
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
