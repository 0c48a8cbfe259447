"""Files of others by the thousand: accepted rightly, or refused in one line, in time and memory."""

import pytest
from amounts import AMOUNT
from elsewhere import module_of

FUZZ = module_of("fuzz", "test_files")
OF_A_KIND = AMOUNT.inputs // len(FUZZ.KINDS)
CHUNK = 400
"""Inputs of one test, so that a run that was cut off goes on near to where it was."""
FIRST = 10_000
"""Number of the first: CI tries the ones before."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return FUZZ.Files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("first", range(0, OF_A_KIND, CHUNK))
@pytest.mark.parametrize("kind", FUZZ.KINDS)
def test_each_is_accepted_rightly_or_refused(files, tally, kind, first):
    seeds = range(FIRST + first, FIRST + min(first + CHUNK, OF_A_KIND))
    tally(f"files of others: {kind}", len(seeds))
    assert {seed: why for seed in seeds if (why := FUZZ.held(files, kind, seed))} == {}
