"""Which service is asked how."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from registries.consul.attention import Attention


def test_every_service_within_the_bound_gets_a_long_poll_and_nothing_is_read_besides():
    attention = Attention(3)
    assert attention.begin(["a", "b", "c"]) == ["a", "b", "c"]
    attention.sweep()
    assert attention.claim() is None


def test_what_is_beyond_the_bound_is_swept():
    attention = Attention(1)
    assert attention.begin(["a", "b", "c"]) == ["a"]
    assert attention.claim() is None
    attention.sweep()
    assert [attention.claim(), attention.claim(), attention.claim()] == ["b", "c", None]


def test_a_new_service_gets_a_long_poll_or_is_read_at_once():
    attention = Attention(2)
    attention.begin(["a"])
    assert attention.update(["a", "b"]) == ["b"]
    assert attention.update(["a", "b", "c"]) == []
    assert attention.claim() == "c"


def test_a_service_that_is_gone_from_the_list_is_read_once_more():
    attention = Attention(1)
    attention.begin(["a", "b"])
    assert attention.update(["a"]) == []
    assert attention.claim() == "b"
    attention.was_read("b", changed=True)
    assert attention.claim() is None


def test_a_service_that_is_gone_is_read_even_while_its_long_poll_sleeps():
    attention = Attention(1)
    attention.begin(["a", "b"])
    assert attention.update(["b"]) == []
    assert attention.claim() == "a"
    assert attention.counts("a")
    attention.was_read("a", changed=True)
    attention.ended("a")
    assert attention.breathe() == ["b"]


def test_what_is_read_besides_a_long_poll_does_not_count_once_that_has_answered():
    attention = Attention(1)
    attention.begin(["a"])
    attention.update([])
    attention.claim()
    attention.answered("a")
    assert not attention.counts("a")


def test_a_service_that_can_not_be_asked_for_gets_no_long_poll_again():
    attention = Attention(2)
    attention.begin(["..", "b"])
    attention.unaskable("..")
    assert attention.breathe() == []
    assert attention.update(["b"]) == []
    assert attention.claim() == ".."


def test_a_touched_service_is_read_before_the_rest_of_the_sweep():
    attention = Attention(1)
    attention.begin(["a", "b", "c", "d"])
    attention.sweep()
    attention.touched(["d", "a", "unknown"])
    assert [attention.claim(), attention.claim()] == ["d", "b"]


def test_a_service_touched_while_it_is_read_is_read_again():
    attention = Attention(1)
    attention.begin(["a", "b"])
    attention.touched(["b"])
    assert attention.claim() == "b"
    attention.touched(["b"])
    assert attention.claim() is None
    attention.was_read("b", changed=True)
    assert attention.claim() == "b"


def test_a_long_poll_without_news_goes_to_a_service_that_changed():
    attention = Attention(1)
    attention.begin(["a", "b", "c"])
    assert attention.trade("a") is None
    attention.touched(["c"])
    attention.claim()
    attention.was_read("c", changed=True)
    assert attention.trade("a") == "c"
    assert attention.polled == {"c"}
    assert set(attention.beyond) == {"a", "b"}


def test_a_refused_long_poll_makes_the_bound_smaller_until_it_has_breathed():
    attention = Attention(3)
    attention.begin(["a", "b", "c"])
    attention.refused("c")
    attention.refused("b")
    assert (attention.polled, list(attention.beyond)) == ({"a"}, ["c", "b"])
    assert attention.claim() == "c"
    assert attention.breathe() == ["b"]
    attention.put_off("c")
    assert attention.breathe() == ["c"]
    assert attention.breathe() == []


class Attending(RuleBasedStateMachine):
    """Whatever happens: nobody is forgotten, nobody is asked by two, and the bound holds."""

    names = st.sets(st.sampled_from("abcdefg"))

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(2)
        self.polls: set[str] = set(self.attention.begin(["a", "b", "c"]))
        self.reading: set[str] = set()

    @rule(listed=names)
    def list_arrives(self, listed: set[str]) -> None:
        self.polls |= set(self.attention.update(sorted(listed)))

    @rule(services=names)
    def checks_change(self, services: set[str]) -> None:
        self.attention.touched(services)

    @rule()
    def sweep_begins(self) -> None:
        self.attention.sweep()

    @rule()
    def reader_asks(self) -> None:
        service = self.attention.claim()
        if service:
            assert service not in self.reading
            assert service not in self.polls & self.attention.listed
            self.reading.add(service)

    @precondition(lambda self: self.reading)
    @rule(changed=st.booleans())
    def reader_is_done(self, changed: bool) -> None:
        self.attention.was_read(self.reading.pop(), changed=changed)

    @precondition(lambda self: self.polls)
    @rule(data=st.data())
    def poll_ends_without_news(self, data: st.DataObject) -> None:
        service = data.draw(st.sampled_from(sorted(self.polls)))
        if other := self.attention.trade(service):
            self.polls = (self.polls - {service}) | {other}

    @rule(data=st.data())
    def gone_service_says_so(self, data: st.DataObject) -> None:
        if gone := sorted(self.polls - self.attention.listed):
            service = data.draw(st.sampled_from(gone))
            self.attention.ended(service)
            self.polls.discard(service)

    @precondition(lambda self: self.reading)
    @rule()
    def reader_fails(self) -> None:
        self.attention.put_off(self.reading.pop())

    @precondition(lambda self: self.polls)
    @rule(data=st.data())
    def poll_is_refused(self, data: st.DataObject) -> None:
        service = data.draw(st.sampled_from(sorted(self.polls)))
        self.attention.refused(service)
        self.polls.discard(service)

    @rule()
    def time_goes_by(self) -> None:
        self.polls |= set(self.attention.breathe())

    @invariant()
    def nobody_is_asked_by_two(self) -> None:
        assert self.polls == self.attention.polled
        assert all(self.attention.counts(service) for service in self.polls & self.reading)

    @invariant()
    def the_bound_holds(self) -> None:
        assert len(self.polls) <= 2

    @invariant()
    def nobody_is_forgotten(self) -> None:
        assert self.attention.polled | set(self.attention.beyond) >= self.attention.listed
        assert set(self.attention.beyond) <= self.attention.listed


TestAttending = Attending.TestCase
