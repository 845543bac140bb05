"""Facts about offers of candidates."""

from __future__ import annotations

import itertools
from math import inf

from tests.lab.paths import at
from tunnels import limits
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.checks import Offer
from tunnels.paths.offers import Offers

NOW = 1000.0
ONE, TWO = ((Candidate(at(f"192.0.2.{host}"), CandidateKind.HOST),) for host in (1, 2))


def test_an_offer_is_repeated_until_it_is_answered():
    offers = Offers()
    assert offers.set_own(ONE, NOW)
    first = offers.next(NOW)
    assert first == Offer(1, is_answer=False, candidates=ONE)
    assert offers.due == NOW + limits.OFFER_RETRY
    assert offers.next(offers.due) == first
    offers.received(Offer(1, is_answer=True, candidates=()), 1)
    assert offers.due == inf


def test_an_offer_that_is_never_answered_is_given_up():
    offers = Offers()
    offers.set_own(ONE, NOW)
    times = []
    while offers.due < inf:
        times.append(offers.due)
        offers.next(offers.due)
    assert len(times) == limits.OFFER_TRIES
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= limits.OFFER_RETRY_MAX


def test_the_same_candidates_are_not_offered_again_unless_asked_for():
    offers = Offers()
    offers.set_own(ONE, NOW)
    offers.received(Offer(1, is_answer=True, candidates=()), 1)
    assert not offers.set_own(ONE, NOW)
    assert offers.due == inf
    offers.renew(NOW)
    assert offers.next(NOW).round == 2


def test_an_answer_to_an_earlier_offer_does_not_end_the_later_one():
    offers = Offers()
    offers.set_own(ONE, NOW)
    offers.set_own(TWO, NOW)
    offers.received(Offer(1, is_answer=True, candidates=()), 1)
    assert offers.due == NOW


def test_an_offer_is_answered_with_its_number_and_our_candidates_and_an_answer_is_not():
    offers = Offers()
    offers.set_own(ONE, NOW)
    assert offers.received(Offer(7, is_answer=False, candidates=TWO), 1) == Offer(
        7, is_answer=True, candidates=ONE
    )
    assert offers.received(Offer(1, is_answer=True, candidates=TWO), 2) is None
    assert offers.theirs == TWO


def test_of_offers_that_overtook_each_other_the_newer_one_counts():
    offers = Offers()
    offers.received(Offer(2, is_answer=False, candidates=TWO), 9)
    offers.received(Offer(1, is_answer=False, candidates=ONE), 8)
    assert offers.theirs == TWO
