"""Which targets a command asks make for, and which a listing has."""

import pytest

from roundsman.rollback.rules.make_targets import LIST, OLD_LIST, complaint, goals, is_make, missing, reading

COMMANDS = [
    ("make", [], []),
    ("make back", [], ["back"]),
    ("make back RULE=a x", ["RULE=a"], ["back", "x"]),
    ("make -C edge -f a.mk back", ["--directory=edge", "--file=a.mk"], ["back"]),
    ("make -Cedge --makefile=a.mk --eval=x: back", ["--directory=edge", "--file=a.mk", "--eval=x:"], ["back"]),
    ("make -skC edge back", ["--directory=edge"], ["back"]),
    ("make -j 4 -j8 --jobs 2 -l 1.5 --load-average=2 back", [], ["back"]),
    ("make -j back", [], ["back"]),
    ("make -kj4 -sj 4 -O -Otarget --output-sync=line back", [], ["back"]),
    ("make -o old --what-if new back", [], ["back"]),
    ("make --silent --warn-undefined-variables back", [], ["back"]),
    ("make -- -back", [], ["-back"]),
]


@pytest.mark.parametrize(("command", "read", "wanted"), COMMANDS)
def test_what_is_read_and_what_is_wanted_are_told_apart(command, read, wanted):
    argv = command.split()
    assert wanted == goals(argv)
    named = [f"MAKECMDGOALS={' '.join(wanted)}"] if wanted else []
    assert ["make", *read, *named, *LIST] == reading(argv)
    assert ["make", *read, *named, *OLD_LIST] == reading(argv, OLD_LIST)


@pytest.mark.parametrize("command", ["make -Z back", "make -C"])
def test_options_that_make_does_not_have_are_refused(command):
    with pytest.raises(ValueError, match=r"-[ZC]"):
        goals(command.split())


@pytest.mark.parametrize(
    ("program", "is_one"),
    [("make", True), ("/usr/bin/make", True), ("gmake", True), ("cmake", False), ("./make.sh", False), ("", False)],
)
def test_make_has_two_names(program, is_one):
    assert is_one is is_make(program)


LISTING = """# GNU Make 4.3

# Make data base, printed on Fri Nov 27 00:00:00 2026

# Variables

back := no target
# Implicit Rules

back-%: FORCE
#  recipe to execute (from 'Makefile', line 3):
\techo $*

# Files

# Not a target:
absent:
#  Implicit rule search has not been done.

one two: FORCE
cdn-rollback: RULE := all
cdn-rollback: check
#  Phony target (prerequisite of .PHONY).
#  recipe to execute (from 'Makefile', line 9):
\t@echo later: no target

double::
# files hash-table stats:
# Load=1/1024=0%
# VPATH Search Paths

last: no target
"""


@pytest.mark.parametrize(
    ("wanted", "lacks"),
    [
        ([], []),
        (["cdn-rollback", "one", "two", "double", "back-shop"], []),
        (["back", "absent", "later", "last", "back-", "RULE", "cdn"], ["back", "absent", "later", "last", "back-", "RULE", "cdn"]),
    ],
)  # fmt: skip
def test_a_target_is_what_a_rule_makes(wanted, lacks):
    assert lacks == missing(LISTING, wanted)


def test_a_rule_for_whatever_has_no_rule_is_enough():
    assert [] == missing(LISTING.replace("double::", ".DEFAULT:"), ["absent"])


@pytest.mark.parametrize("listing", ["", "usage: make [-BeikNnqrSstWwX]"])
def test_what_is_no_listing_says_nothing(listing):
    assert missing(listing, ["back"]) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("make: *** No rule to make target ':'.  Stop.", ""),
        ("make: *** No rule to make target `:'.  Stop.", ""),
        ("Makefile:7: warning: overriding recipe for target 'all'", ""),
        ("make: unrecognized option `--eval=.roundsman:'\nUsage: make", "make: unrecognized option `--eval=.roundsman:'"),
        ("a.mk: No such file\nmake: *** No rule to make target 'a.mk'.  Stop.", "make: *** No rule to make target 'a.mk'.  Stop."),
        ("", ""),
    ],
)  # fmt: skip
def test_only_what_keeps_it_from_reading_is_a_complaint(said, told):
    assert told == complaint(said)
