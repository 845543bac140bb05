"""Plans and commands are values."""

from gateway.http.plans import Dial, Place


def test_requests_of_one_user_to_one_port_share_a_place_and_others_do_not() -> None:
    assert Place("a", 80) == Place("a", 80)
    assert len({Place("a", 80), Place("a", 81), Place("b", 80), Place("a", 80, "ann")}) == 4
    assert Dial(Place("a", 80)) == Dial(Place("a", 80))
