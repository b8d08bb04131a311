"""Whatever a run did to a graph of objects is undone, and each object is the one it was."""

from __future__ import annotations

from collections import Counter, deque
from functools import partial

import pytest
from attrs import frozen

from tdxfuzz.sim import NotRewindableError, Rewind


class Plain:
    def __init__(self) -> None:
        self.number = 1
        self.things: list[object] = [1, 2]
        self.table = {"a": [3]}
        self.members = {4}

    def method(self) -> None:
        """Leads to the object."""


class Slotted:
    __slots__ = ("__private", "number", "unset")

    def __init__(self) -> None:
        self.number = 1
        self.__private = [1]

    def change(self) -> None:
        self.number = 2
        self.unset = 3
        self.__private.append(2)

    def state(self) -> tuple[object, ...]:
        return self.number, list(self.__private), hasattr(self, "unset")


@frozen
class Value:
    inside: list[int]


def test_what_was_changed_added_and_removed_is_as_before() -> None:
    plain = Plain()
    things, table = plain.things, plain.table
    back = Rewind(plain)
    plain.number = 2
    plain.things.append(plain)
    plain.things = []
    plain.table["a"].clear()
    plain.table["b"] = [5]
    plain.members.add(6)
    plain.__dict__["new"] = 7
    back()
    assert (plain.number, things, table, plain.members) == (1, [1, 2], {"a": [3]}, {4})
    assert plain.things is things
    assert plain.table is table
    assert not hasattr(plain, "new")


def test_slots_with_private_and_unset_ones() -> None:
    slotted = Slotted()
    before = slotted.state()
    back = Rewind([slotted])
    for _ in range(2):
        slotted.change()
        assert slotted.state() != before
        back()
        assert slotted.state() == before


def test_what_is_behind_functions_methods_and_frozen_values() -> None:
    plain, value, items = Plain(), Value([1]), [1]
    count = 0

    def counting() -> int:
        nonlocal count
        count += 1
        items.append(count)
        return count

    back = Rewind((plain.method, value, partial(counting)))
    counting()
    plain.number = 9
    value.inside.append(2)
    back()
    assert (count, items, plain.number, value.inside) == (0, [1], 1, [1])


def test_a_class_is_frozen_if_attrs_made_it_so_whatever_its_methods_are_called() -> None:
    def frozen_setattr(self: object, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    changing = type("Changing", (Plain,), {"__setattr__": frozen_setattr})()
    value = Value([1])
    back = Rewind([changing, value])
    changing.number = 2
    object.__setattr__(value, "inside", [2])
    back()
    assert changing.number == 1
    assert value.inside == [2], "nothing assigns to it, so nothing has to be put back"


class Named(list[int]):
    """A list with an attribute."""

    name = "none"


def test_attributes_of_a_list_of_ones_own() -> None:
    named = Named([1])
    back = Rewind([named])
    named.name = "some"
    named.append(2)
    back()
    assert (named, named.name, vars(named)) == ([1], "none", {})


def test_a_counter_of_a_kind() -> None:
    counted = Counter[str]("ab")
    back = Rewind([counted])
    counted["a"] += 1
    back()
    assert counted == Counter("ab")


@pytest.mark.parametrize("thing", [deque([1]), iter([1]), bytearray(b"x")])
def test_what_cannot_be_put_back_is_refused(thing: object) -> None:
    with pytest.raises(NotRewindableError, match=type(thing).__name__):
        Rewind({"key": [thing]})


def test_a_compiled_class_lists_its_slots_elsewhere() -> None:
    values: dict[str, object] = {"number": 1}

    class Compiled:
        """As mypyc makes them: each attribute a descriptor, and a list with inherited ones."""

        __mypyc_attrs__ = ("number", "inherited")
        number = property(
            lambda _: values["number"], lambda _, value: values.__setitem__("number", value)
        )

    thing = Compiled()
    rewind = Rewind(thing)
    thing.number = 2
    rewind()
    assert values == {"number": 1}
