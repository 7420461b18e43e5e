"""What a message to a machine says, how long it rests, and when it is given up."""

from datetime import timedelta

import pytest

from roundsman.ledger.rules.delivery import MOST_ATTEMPTS, DeliveryFailure, PurgeMessage, is_over, pause


@pytest.mark.parametrize("purge", [PurgeMessage(routes=("/a", "/b?c=d")), PurgeMessage(keys=("article-1",))])
def test_a_purge_comes_back_as_it_was_written(purge):
    assert purge == PurgeMessage.from_body(purge.as_body())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "Expecting value"),
        ("[]", "saw a purge of something else"),
        ('{"everything": ["everything"]}', "saw a purge of something else"),
        ('{"routes": ["/a"], "keys": ["b"]}', "saw a purge of something else"),
        ('{"routes": []}', "saw no list of routes"),
        ('{"routes": "/a"}', "saw no list of routes"),
        ('{"keys": [""]}', "saw no list of keys"),
        ('{"routes": ["/a", "http://elsewhere.example/"]}', "saw the route 'http://elsewhere.example/'"),
    ],
)
def test_what_is_no_purge_is_refused(body, says):
    with pytest.raises(ValueError, match=says):
        PurgeMessage.from_body(body)


@pytest.mark.parametrize(
    ("seconds", "attempts", "wait", "chance"),
    [
        (15, 1, 0, 0),
        (11.25, 1, 0, 1),
        (30, 2, 0, 0),
        (3600, 9, 0, 0),
        (3600, 5000, 0, 0),
        (120, 1, 120, 1),
        (3600, 1, 86400, 0),
    ],
)
def test_each_failure_doubles_the_pause_up_to_an_hour_and_what_is_asked_for_is_waited(seconds, attempts, wait, chance):
    assert timedelta(seconds=seconds) == pause(attempts, DeliveryFailure("no", wait=wait), chance)


def test_a_message_is_over_after_its_last_attempt_or_when_it_is_wrong_itself():
    assert not is_over(MOST_ATTEMPTS - 1, DeliveryFailure("no"))
    assert is_over(MOST_ATTEMPTS, DeliveryFailure("no"))
    assert is_over(1, DeliveryFailure("no", permanent=True))


def test_a_channel_may_be_down_for_a_night():
    rests = [pause(attempts, DeliveryFailure("no"), 1.0) for attempts in range(1, MOST_ATTEMPTS)]
    assert timedelta(hours=14) < sum(rests, timedelta()) < timedelta(days=2)
