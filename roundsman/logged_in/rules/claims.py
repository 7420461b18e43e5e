"""The sentences of the logged-in check.

How much a breach harms: critical when somebody saw what is not theirs, stored when a shared cache holds it, policy when
nothing keeps it from being held.
"""

from roundsman.report.rules.verdict import Claim, Outcome, Severity

CHECK = "logged-in-traffic"
RFC = "https://www.rfc-editor.org/rfc/rfc9111"

MEMBERS = Claim(f"{CHECK}/members", "Two test members can log in.")
PRIVATE_KEY = Claim(f"{CHECK}/own-key", "What this test stores lies where no reader comes by.")
PERSONAL = Claim(f"{CHECK}/personal", "The member's page is personal, so that a leak would show.")
LEAK = Claim(f"{CHECK}/leak", "Nobody sees what belongs to another member.", severity=Severity.CRITICAL)
STORED = Claim(f"{CHECK}/stored", "No stranger gets the copy that a member's visit made.", severity=Severity.STORED)
SHARED = Claim(f"{CHECK}/not-from-store", "A member is not answered from the shared store.", severity=Severity.POLICY)
COOKIE = Claim(f"{CHECK}/set-cookie", "No two visitors are given the same cookie.", severity=Severity.CRITICAL)
POLICY = Claim(
    f"{CHECK}/policy",
    "The headers of a member's page keep shared caches out, or the rule names its bypass.",
    f"{RFC}#section-5.2.2.7",
    breach=Outcome.WARN,
    severity=Severity.POLICY,
)
BYPASS = Claim(f"{CHECK}/bypass", "A warm shared copy is not handed to a member.", severity=Severity.POLICY)
KEPT = Claim(f"{CHECK}/copy-kept", "A member's visit does not replace the shared copy.", severity=Severity.STORED)
DECEPTION = Claim(f"{CHECK}/deception", "A member's page under a file's name is not kept.", severity=Severity.CRITICAL)
INJECTED = Claim(
    f"{CHECK}/unkeyed-header",
    "No request header gets into a copy that others are given.",
    severity=Severity.CRITICAL,
)
ECHOED = Claim(
    f"{CHECK}/reflected-header",
    "No page repeats a header that any visitor can make up.",
    breach=Outcome.WARN,
    severity=Severity.POLICY,
)
CLEANED = Claim(
    f"{CHECK}/cleaned",
    "What this test may have stored is purged.",
    breach=Outcome.WARN,
    severity=Severity.STORED,
)
