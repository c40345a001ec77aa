"""What a new answer changes of what was said."""

from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Drop, Instance, Port, Put, Reset, Skipped, instance
from registries.consul.truth import EMPTY, Reading, Truth


def copy(key: str, weight: int = 100) -> Instance:
    return instance(key=key, name="orders", id=key, address="10.1.0.7", ports=[Port("http", 80, "http")], weight=weight)


def reading(*copies: Instance, skipped: dict[str, str] | None = None) -> Reading:
    return Reading({one.key: one for one in copies}, skipped or {}, len(copies))


def test_the_first_readings_are_the_reset_and_its_skips():
    truth = Truth()
    truth.learn("orders", reading(copy("a"), skipped={"b": "no port"}))
    truth.learn("carts", reading(copy("c")))
    assert list(truth.whole()) == [Reset(instances=[copy("a"), copy("c")]), Skipped("b", "no port")]


def test_the_same_answer_changes_nothing():
    truth = Truth()
    truth.learn("orders", reading(copy("a"), skipped={"b": "no port"}))
    assert list(truth.answered("orders", reading(copy("a"), skipped={"b": "no port"}))) == []


def test_the_new_comes_before_the_old_goes():
    truth = Truth()
    truth.learn("orders", reading(copy("a"), copy("b")))
    assert list(truth.answered("orders", reading(copy("b", 200), copy("c")))) == [
        Put(copy("b", 200)),
        Put(copy("c")),
        Drop("a"),
    ]


def test_the_last_instance_goes():
    truth = Truth()
    truth.learn("orders", reading(copy("a")))
    assert list(truth.answered("orders", EMPTY)) == [Drop("a")]
    assert truth.of("orders") == EMPTY


def test_a_record_that_turns_to_garbage_is_dropped_and_skipped_and_comes_back():
    truth = Truth()
    truth.learn("orders", reading(copy("a")))
    assert list(truth.answered("orders", reading(skipped={"a": "port 0"}))) == [Drop("a"), Skipped("a", "port 0")]
    assert list(truth.answered("orders", reading(copy("a")))) == [Put(copy("a")), Skipped("a", "")]


_answers = st.lists(
    st.tuples(
        st.sampled_from(["s", "t"]),
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
        st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["no", "bad"])),
    )
)


@given(_answers)
def test_what_is_said_always_adds_up_to_the_last_answers(answers: list[tuple[str, dict[str, int], dict[str, str]]]):
    truth = Truth()
    said: dict[str, Instance] = {}
    skipped: dict[str, str] = {}
    last: dict[str, Reading] = {}
    for service, weights, reasons in answers:
        copies = [copy(f"{service}/{key}", weight) for key, weight in weights.items()]
        last[service] = reading(*copies, skipped={f"{service}/{key}": why for key, why in reasons.items()})
        for update in truth.answered(service, last[service]):
            match update:
                case Put(record=Instance() as record):
                    said[record.key] = record
                case Drop(key=key):
                    del said[key]
                case Skipped(place=place, reason=""):
                    del skipped[place]
                case Skipped(place=place, reason=reason):
                    skipped[place] = reason
    assert said == {key: one for answer in last.values() for key, one in answer.instances.items()}
    assert skipped == {place: why for answer in last.values() for place, why in answer.skipped.items()}
