"""Thirty public incidents, rebuilt: which are named rightly, whether anything else fails, and what a plain check says.

It needs Varnish and nginx, and takes about half a minute: `python -m benchmarks incidents`. The plain check asks each
page once for its status, Cache-Control and a status header, and takes the 200 of a purge for its success.
"""

BY_NAME = True
#: Incidents that have to be named rightly.
FEWEST_NAMED = 28


def rows() -> list[tuple[str, str, str, bool]]:
    """A row for each incident, and one for all of them."""
    from tests.incidents.play import Told, side_by_side
    from tests.incidents.table import INCIDENTS

    told = side_by_side(INCIDENTS)
    pairs = [(one, said) for one, said in zip(INCIDENTS, told, strict=True) if isinstance(said, Told)]
    named = {one.name for one, said in pairs if said.names(*one.wanted)}
    enough = len(named) >= FEWEST_NAMED
    table, beside, plain = [], 0, 0
    for one, said in zip(INCIDENTS, told, strict=True):
        if not isinstance(said, Told):
            table.append((one.name, f"not played: {said}", one.wanted[0], enough))
            continue
        surplus = ", ".join(" ".join(each) for each in sorted(said.surplus(one)))
        parts = ["named" if one.name in named else "NOT named", f"also red: {surplus}" if surplus else ""]
        parts.append(f"plain check: {said.plain or 'nothing wrong'}")
        ok = not surplus and (enough or one.name in named)
        table.append((one.name, "; ".join(filter(None, parts)), " at ".join(one.wanted), ok))
        beside, plain = beside + bool(surplus), plain + bool(said.plain)
    measured = f"{len(named)} named rightly, {beside} with something else red; the plain check complains of {plain}"
    wanted = f"at least {FEWEST_NAMED} named, nothing else red"
    return [*table, (f"{len(INCIDENTS)} incidents", measured, wanted, enough and not beside)]
