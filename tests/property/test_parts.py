"""A walk in parts: whatever the tree is, the parts add up to what ``du`` says."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.measure.parts import Names, measure_parts
from exporter.measure.usage import EMPTY
from exporter.measure.walk import measure
from tests.property.test_walk import STEPS, Step, built
from tests.unit.measure.trees import by_system


@given(steps=STEPS, levels=st.integers(0, 4), salt=st.integers(0, 3))
def test_the_parts_add_up_to_the_whole(steps: list[Step], levels: int, salt: int) -> None:
    """However directories are divided, hard links between parts included, the sum is the plain walk's, and ``du``'s."""

    def part_of(names: Names, above: int) -> int:
        return (above + len(names[-1]) + salt) % 3

    with built(steps) as top:
        parts = measure_parts(str(top), top=0, part_of=part_of, levels=levels)

        total = sum(parts.usage.values(), start=EMPTY)
        assert measure(str(top)).usage == total
        assert by_system(top) == total
        assert parts.is_whole


@given(steps=STEPS)
def test_each_directory_of_the_top_is_what_it_is_by_itself(steps: list[Step]) -> None:
    """Where no file has names in two parts, each part is its directory's usage."""
    without_links = [step for step in steps if step[0] != "link"]

    with built(without_links) as top:
        parts = measure_parts(str(top), top="", part_of=lambda names, _: names[0], levels=1)

        directories = [path for path in top.iterdir() if path.is_dir() and not path.is_symlink()]
        expected = {path.name: measure(str(path)).usage for path in directories}
        assert expected == {name: usage for name, usage in parts.usage.items() if name}
