"""JSON records of the wrong shape: at the top, at each field, too many values, too deep."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.store.damage import RECORDS, Kind, Record, assert_one_problem, differences
from tests.unit.store.hosts import Host, scan

JSON_RECORDS = {name: RECORDS[name] for name in ("image", "repositories.json", "config.v2.json", "hostconfig.json")}
every_json_record = pytest.mark.parametrize("record", JSON_RECORDS.values(), ids=JSON_RECORDS.keys())


@every_json_record
@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "true",
        "0",
        '"text"',
        "NaN",
        "{",
        '{"a":}',
        "{}x",
        "{'a':1}",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a":' * 900 + "1" + "}" * 900 + "]",
        "[" + "9" * 5000 + "]",
        "\ufeff{}",
    ],
    ids=lambda text: text[:12],
)
def test_json_that_is_no_object(host: Host, record: Record, text: str) -> None:
    """Another value than an object, broken JSON, and what is nested to exhaust the reader."""
    before = scan(host.root)
    record.path(host).write_text(text)
    assert_one_problem(host, before, record, Kind.MALFORMED_RECORD)


@every_json_record
@pytest.mark.parametrize("value", ["[]", "{}", "0", '""'])
def test_json_with_more_values_than_any_record_has(host: Host, record: Record, value: str) -> None:
    """Eight megabytes of brackets would fill memory a hundred times over: it is refused before it is taken apart."""
    before = scan(host.root)
    record.path(host).write_text('{"a":[' + ",".join([value] * (8_000_000 // (len(value) + 1))) + "]}")
    assert_one_problem(host, before, record, Kind.MALFORMED_RECORD, reason="more than")


def fields(document: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a JSON document."""
    if at:
        yield at
    if isinstance(document, dict):
        for key, value in document.items():
            yield from fields(value, (*at, key))
    if isinstance(document, list):
        for index, value in enumerate(document[:1]):
            yield from fields(value, (*at, index))


def replaced(document: Any, at: tuple[str | int, ...], value: object) -> None:
    for step in at[:-1]:
        document = document[step]
    document[at[-1]] = value


STRANGE: tuple[object, ...] = (True, 7, 1.5, 1 << 70, "\u2603 text", [], [None], {}, {"\n": [0]}, [[[]]])

# What the reader takes from each record, as the first keys on the way.
READ = {
    "image": {"rootfs", "created", "history", "os", "architecture"},
    "repositories.json": {"Repositories"},
    "config.v2.json": {"Name", "Config", "Image", "Driver", "State", "Created", "MountPoints"},
    "hostconfig.json": {"LogConfig", "StorageOpt"},
}


@pytest.mark.parametrize("name", JSON_RECORDS)
def test_json_of_the_wrong_shape_at_each_field(host: Host, name: str) -> None:
    """Whatever a field holds, no scan ends; at most this record has a problem, and only this record is different.

    A value that a person would have to mend is told: another type than the field has.
    """
    record = JSON_RECORDS[name]
    path = record.path(host)
    sound = path.read_bytes()
    before = scan(host.root)
    ways = [way for way in fields(json.loads(sound)) if way[0] in READ[name]]
    told = 0
    for way in ways:
        for strange in STRANGE:
            document = json.loads(sound)
            replaced(document, way, strange)
            path.write_text(json.dumps(document))
            after = scan(host.root)
            assert {str(path)} >= {problem.path for problem in after.problems}
            assert len(after.problems) <= 1
            assert set() == differences(before, after) - record.takes(host)
            told += len(after.problems)
    assert told > len(ways)
