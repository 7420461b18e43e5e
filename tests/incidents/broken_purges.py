"""Edges whose purge is broken in one of the rarer ways, and what the proof of a purge says of each."""

import gzip
import time
from dataclasses import replace

from flows.checks.targeted_purge import check_targeted_purge
from roundsman.report.rules.verdict import Outcome, worst
from tests.incidents.edge import Edge, at_work, shared_page
from tests.incidents.play import look, written
from tests.incidents.table import FAR, OnTheWeb, purged


class Changing(Edge):
    """An edge before pages whose content changes when the first purge comes, if it changes at all."""

    def __init__(self, *, changes=True):
        super().__init__()
        self.changes, self.generation = changes, 1

    def answer(self, request):
        if request.method == "PURGE" and self.changes:
            self.generation = 2
        return super().answer(request)

    def page(self, request):
        if not request.path.startswith("/news/"):
            return super().page(request)
        return shared_page(request, ETag=f'"{self.generation}"')


class OfAnotherScheme(Changing):
    def key(self, request):
        return f"{'https' if request.method == 'PURGE' else 'http'}://{request.target}"


class OfAnotherHost(Changing):
    def key(self, request):
        return ("www." if request.method == "PURGE" else "") + request.headers["host"] + request.target


class OfLowerCaseOnly(Changing):
    def purge(self, request):
        self.store.pop(request.target.lower(), None)


class WithoutTheQuery(Changing):
    def purge(self, request):
        for key in [key for key in self.store if key.partition("?")[0] == request.path]:
            del self.store[key]


class OfOneCoding(Changing):
    def page(self, request):
        answer = super().page(request)
        if not request.path.startswith("/news/"):
            return answer
        varied = {**answer.headers, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return replace(answer, headers=varied)
        coded = {**varied, "Content-Encoding": "gzip", "ETag": f'"{self.generation}-gzip"'}
        return replace(answer, headers=coded, body=gzip.compress(answer.body, mtime=0))

    def purge(self, request):
        copies = self.store.get(self.key(request), [])
        self.store[self.key(request)] = [copy for copy in copies if "Content-Encoding" not in copy.answer.headers]


class TenSecondsLate(Changing):
    def __init__(self, **how):
        super().__init__(**how)
        self.due = {}

    def purge(self, request):
        self.due.setdefault(self.key(request), time.monotonic() + 10)

    def find(self, request):
        if self.due.get(self.key(request), float("inf")) < time.monotonic():
            self.store.pop(self.key(request), None)
            del self.due[self.key(request)]
        return super().find(request)


class SoftlyForEver(Changing):
    """The purge sets the end of the copy's lifetime to now, and the copy is served on as stale."""

    def __init__(self, **how):
        super().__init__(**how)
        self.outdated = set()

    def purge(self, request):
        self.outdated.add(self.key(request))

    def answer(self, request):
        said = super().answer(request)
        stale = request.method != "PURGE" and self.key(request) in self.outdated
        return replace(said, headers={**said.headers, "X-Cache": "STALE"}) if stale else said


class UndoneByItsShield(Changing):
    """Two answers after the purge the old copy is back."""

    def __init__(self, **how):
        super().__init__(**how)
        self.old, self.since = {}, {}

    def purge(self, request):
        key = self.key(request)
        if key in self.store:
            self.old.setdefault(key, self.store[key])
        super().purge(request)
        self.since[key] = 0

    def find(self, request):
        key = self.key(request)
        if key in self.since:
            self.since[key] += 1
            if self.since[key] == 3 and key in self.old:
                self.store[key] = self.old[key]
        return super().find(request)


class OfEverything(Changing):
    def purge(self, request):
        self.store.clear()


class OfItsNeighbours(Changing):
    def purge(self, request):
        folder = request.path.rpartition("/")[0]
        for key in [key for key in self.store if key.startswith(f"{folder}/")]:
            del self.store[key]


KINDS = {
    "at one of two nodes": Changing,
    "of the other scheme": OfAnotherScheme,
    "of another host": OfAnotherHost,
    "of the path in lower case only": OfLowerCaseOnly,
    "all queries of the path as well": WithoutTheQuery,
    "the gzip copy only": OfOneCoding,
    "ten seconds late": TenSecondsLate,
    "softly, and never refreshed": SoftlyForEver,
    "undone by a shield": UndoneByItsShield,
    "everything": OfEverything,
    "its neighbours as well": OfItsNeighbours,
}


async def proven(kind: str, *, changes: bool) -> Outcome:
    """The outcome of a purge of this kind; `changes`: the content changes with it."""
    path = "/news/One" if kind == "of the path in lower case only" else "/news/one"
    rules = [purged(path, "/news/two", "/news/three", "/news/one?page=2"), FAR]
    edges = [KINDS[kind](changes=changes) for _ in range(2 if kind == "at one of two nodes" else 1)]
    with at_work(*edges) as urls:
        site = written(OnTheWeb(kind, "", "", ("", ""), rules=rules), urls)
        verdicts = await look(site, [check_targeted_purge])
    return worst(verdict.outcome for verdict in verdicts)
