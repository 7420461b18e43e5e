"""Services that keep an alert open until it is closed: one alert from the first message to the last, by its key.

Apprise sends each message to them as a new alert, and Prefect's blocks send through Apprise. So those that know a key
are asked here: PagerDuty (Events API v2, https://developer.pagerduty.com/docs/events-api-v2-overview), Opsgenie and its
successor in Jira Service Management (https://docs.opsgenie.com/docs/alert-api). Splunk On-Call, SIGNL4 and PagerTree
take the key from Apprise. Any other service hears by the type of the message how grave it is.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from urllib.parse import quote

from blocks.asking import DENIED, retry_after
from roundsman.alerts.rules.alert_event import AlertEvent

#: Seconds for one request.
REQUEST_TIMEOUT_SECONDS = 10.0
#: Characters of PagerDuty's dedup_key and summary, and of Opsgenie's alias, message, note and description.
MAX_DEDUP_KEY_CHARACTERS, MAX_SUMMARY_CHARACTERS = 255, 1024
MAX_ALIAS_CHARACTERS, MAX_MESSAGE_CHARACTERS, MAX_NOTE_CHARACTERS, MAX_DESCRIPTION_CHARACTERS = 512, 130, 25_000, 15_000
#: What Apprise's plugins call the source and the component of an event when nobody gave them a name.
_NAMELESS = {"Apprise", "Prefect", "Notification"}

#: Priorities of Opsgenie, P1 being the highest, by severity.
_PRIORITIES = {"critical": "P1", "error": "P2", "warning": "P3"}


class NotTakenError(Exception):
    """What was sent and not, or perhaps not, taken: what was seen, without address, keys and answer.

    `permanent` means that the same request would be refused again, and `denied` that it is until a key is corrected.
    `retry_after` are the seconds asked to wait.
    """

    def __init__(
        self, says: str, *, permanent: bool = False, denied: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(says)
        self.permanent = permanent
        self.denied = denied
        self.retry_after = retry_after


class PagerError(NotTakenError):
    """An alert that a pager did not take."""


def send(client: Any, event: AlertEvent) -> bool:
    """Send an event by each service of an Apprise client; blocking. Returns whether all of them took it.

    Raises:
        PagerError: a pager answered something else than 2xx, or not at all.
    """
    taken = [_send(service, event) for service in client]
    return all(taken)


def knows_keys(client: Any) -> bool:
    """Whether a service of an Apprise client keeps alerts open until they are closed."""
    return any(type(service).__name__ in {*_ASKED, *_KEYED} for service in client)


def _send(service: Any, event: AlertEvent) -> bool:
    name = type(service).__name__
    if name in _ASKED:
        _ASKED[name](service, event)
        return True
    for setting, value in _KEYED.get(name, lambda _: {})(event).items():
        setattr(service, setting, value)
    from apprise import NotifyType  # noqa: PLC0415 - as for requests below

    kind = NotifyType(event.type)
    return bool(service.notify(body=event.body, title=event.subject, notify_type=kind))


def _pagerduty(service: Any, event: AlertEvent) -> None:
    asked: dict[str, Any] = {
        "routing_key": service.integration_key,
        "event_action": "resolve" if event.is_resolved else "trigger",
        "dedup_key": _short(event.key, MAX_DEDUP_KEY_CHARACTERS),
    }
    if not event.is_resolved:
        named = {"source": service.source, "component": service.component, "group": service.group}
        kept = {name: value for name, value in named.items() if value and value not in _NAMELESS}
        asked["payload"] = {
            "source": event.source,
            **kept,
            **({"class": service.class_id} if service.class_id else {}),
            "summary": event.subject[:MAX_SUMMARY_CHARACTERS],
            "severity": service.severity or event.severity,
            "custom_details": {**service.details, "message": event.body},
        }
        asked |= {"client": "Roundsman"} | ({"links": [{"href": str(service.click)}]} if service.click else {})
    address = _plugin(service).PAGERDUTY_API_LOOKUP[service.region_name]
    _post(service, address, asked, {})


def _opsgenie(service: Any, event: AlertEvent) -> None:
    plugin, alias = _plugin(service), _short(event.key, MAX_ALIAS_CHARACTERS)
    lookup = plugin.OPSGENIE_API_LOOKUP if hasattr(plugin, "OPSGENIE_API_LOOKUP") else plugin.JIRA_API_LOOKUP
    address, own = lookup[service.region_name], {"Authorization": f"GenieKey {service.apikey}"}
    user = {"user": service.user} if service.user else {}
    if event.is_resolved:
        address = f"{address}/{quote(alias, safe='')}/close?identifierType=alias"
        _post(service, address, {"source": "Roundsman", "note": event.body[:MAX_NOTE_CHARACTERS], **user}, own)
        return
    tags = getattr(service, f"_{type(service).__name__}__tags", ())
    asked = {
        "message": event.subject[:MAX_MESSAGE_CHARACTERS],
        "alias": alias,
        "description": event.body[:MAX_DESCRIPTION_CHARACTERS],
        "priority": _PRIORITIES[event.severity],
        "source": "Roundsman",
        "entity": service.entity or event.source,
        "details": {**service.details, "severity": event.severity},
        **({"responders": service.targets} if service.targets else {}),
        **({"tags": list(tags)} if tags else {}),
        **user,
    }
    _post(service, address, asked, own)


#: Asked here, by the name of Apprise's plugin.
_ASKED = {"NotifyPagerDuty": _pagerduty, "NotifyOpsgenie": _opsgenie, "NotifyJira": _opsgenie}
#: What makes Apprise's own plugin keep to one alert.
_KEYED = {
    "NotifySplunk": lambda event: {"entity_id": event.key, "action": "map"},
    "NotifySIGNL4": lambda event: {"external_id": event.key, "status": "resolved" if event.is_resolved else "new"},
    "NotifyPagerTree": lambda event: {
        "thirdparty": event.key,
        "action": "resolve" if event.is_resolved else "create",
    },
}


def _plugin(service: Any) -> ModuleType:
    return sys.modules[type(service).__module__]


def _short(key: str, most: int) -> str:
    """A key that a service takes; what is cut off of a longer one lives on in a hash."""
    return key if len(key) <= most else f"{key[: most - 17]}#{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _post(service: Any, address: str, asked: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Post JSON as Apprise does, so that what its URL says of proxies, certificates and redirects counts here too."""
    import requests  # noqa: PLC0415 - comes with Apprise, which is only imported when something is sent

    try:
        answer = requests.post(
            address,
            data=json.dumps(asked),
            headers={"User-Agent": "roundsman", "Content-Type": "application/json", **headers},
            verify=service.verify_certificate,
            timeout=REQUEST_TIMEOUT_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise PagerError(f"saw no answer ({type(error).__name__}), wanted 2xx") from None
    status = answer.status_code
    if not 200 <= status < 300:
        later = status in {408, 425, 429} or status >= 500
        raise PagerError(
            f"it answered {status}, wanted 2xx",
            permanent=not later,
            denied=status in DENIED,
            retry_after=retry_after(answer.headers),
        )
