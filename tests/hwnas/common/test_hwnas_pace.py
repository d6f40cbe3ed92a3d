"""How often to do what costs time."""

from hwnas._common._pace import Pace


def test_the_first_time_is_due_after_a_while_and_the_next_by_what_it_cost():
    now = [0.0]
    pace = Pace(2.0, 0.05, lambda: now[0])
    assert not pace.due
    now[0] = 2.0
    assert pace.due
    with pace.spend():
        now[0] = 3.0  # a second, so that 19 others must pass at least: 20 from here
    now[0] = 22.9
    assert not pace.due
    now[0] = 23.0
    assert pace.due
    with pace.spend():
        pass
    now[0] = 24.9
    assert not pace.due


def test_what_fails_counts_as_well():
    now = [0.0]
    pace = Pace(0.0, 0.5, lambda: now[0])
    try:
        with pace.spend():
            now[0] = 4.0
            raise ValueError
    except ValueError:
        assert not pace.due
    now[0] = 12.0
    assert pace.due
