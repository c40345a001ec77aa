"""Growth: what multiplies within minutes alarms, what grows slowly does not."""

from pilot_plus.views.growth import Growth


def test_a_count_that_triples_within_minutes_alarms_until_it_is_usual():
    growth = Growth()
    assert growth.note(100, 0.0) == ""
    assert growth.note(299, 10.0) == ""
    assert growth.note(300, 20.0) == "300 instances, 3 times as many as within the last 10 minutes"
    assert growth.note(300, 600.0) != ""
    assert growth.note(300, 611.0) == ""


def test_a_first_list_and_few_instances_alarm_nobody():
    growth = Growth()
    assert growth.note(0, 0.0) == ""
    assert growth.note(5000, 1.0) == ""
    few = Growth()
    few.note(3, 0.0)
    assert few.note(99, 1.0) == ""
