"""JSON records: every surprise named, none fatal, all of one record's oddities one problem."""

import json
from datetime import UTC, datetime

import pytest

from exporter.store.catalog import Problem, ProblemKind
from exporter.store.documents import LONGEST_TEXT, MOST_REMARKS, MOST_VALUES, Document, parse
from exporter.store.records import Malformed


def document(**fields: object) -> Document:
    return parse(json.dumps(fields).encode())


def remark(of: Document) -> str:
    """The reason of the one problem; empty where there is none."""
    problems = of.remarks.problems("/record")
    assert len(problems) <= 1
    return problems[0].reason if problems else ""


def test_a_sound_document_has_no_remarks() -> None:
    """What is there is given; what is not is empty, and that is nothing odd."""
    sound = document(text="a", flag=True, number=7, inner={"x": "y"}, list=["a", "b"], objects=[{"x": "y"}])
    assert (sound.text("text"), sound.flag("flag"), sound.number("number")) == ("a", True, 7)
    assert (sound.inner("inner").text("x"), sound.texts("list")) == ("y", ["a", "b"])
    assert [inner.text("x") for inner in sound.inners("objects")] == ["y"]
    assert (sound.text("no"), sound.flag("no"), sound.number("no"), sound.time("no")) == ("", False, 0, None)
    assert (sound.inner("no").text("no"), sound.texts("no"), sound.inners("no")) == ("", [], [])
    assert (list(sound)[:2], "text" in sound, "no" in sound) == (["text", "flag"], True, False)
    assert remark(sound) == ""


def test_null_is_nothing() -> None:
    """Go writes null for what was never set."""
    empty = document(x=None)
    assert (empty.text("x"), empty.flag("x"), empty.number("x"), empty.time("x")) == ("", False, 0, None)
    assert (empty.texts("x"), empty.inners("x"), list(empty.inner("x")), "x" in empty) == ([], [], [], False)
    assert remark(empty) == ""


@pytest.mark.parametrize(
    ("ask", "value", "told"),
    [
        ("text", 5, "x is a number, not a string"),
        ("text", ["a"], "x is a list, not a string"),
        ("flag", "true", "x is a string, not a boolean"),
        ("flag", 1, "x is a number, not a boolean"),
        ("number", True, "x is a boolean, not a whole number of 64 bits"),
        ("number", 1.5, "x is a number, not a whole number of 64 bits"),
        ("number", 1 << 63, "x is a number, not a whole number of 64 bits"),
        ("inner", [], "x is a list, not an object"),
        ("inner", False, "x is a boolean, not an object"),
        ("texts", {}, "x is an object, not a list"),
        ("texts", ["a", 1], "x[1] is a number, not a string"),
        ("inners", [{}, None], "x[1] is null, not an object"),
        ("time", "yesterday", "x is 'yesterday', not a time"),
        ("time", 5, "x is a number, not a string"),
    ],
)
def test_another_type_is_remarked_on(ask: str, value: object, told: str) -> None:
    """It is as if the field were not there, and the remark says what it should be."""
    odd = document(x=value)
    getattr(odd, ask)("x")
    assert remark(odd) == told


def test_a_remark_tells_the_way() -> None:
    """Through objects and lists, as a person would look for it."""
    odd = document(a={"b": [{"c": 5}]})
    odd.inner("a").inners("b")[0].text("c")
    assert remark(odd) == "a.b[].c is a number, not a string"


def test_keys_that_others_choose_are_shown_safely() -> None:
    """A mount's destination is a key, and whoever starts a container chooses it."""
    odd = document(MountPoints={"/a\n\x1b[2J" + "x" * 1_000_000: 5})
    points = odd.inner("MountPoints")
    for destination in points:
        points.inner(destination)
    assert remark(odd).startswith(r"MountPoints.'/a\n\x1b[2Jxxx")
    assert len(remark(odd)) < 200


def test_many_oddities_are_one_problem() -> None:
    """The first is told, the others counted, what is looked at twice only once."""
    odd = document(**{f"k{index}": 5 for index in range(3)})
    for key in (*odd, *odd):
        odd.text(key)
    assert odd.remarks.problems("/record") == (
        Problem(kind=ProblemKind.MALFORMED_RECORD, path="/record", reason="k0 is a number, not a string (and 2 more)"),
    )


def test_oddities_without_number_are_not_gathered() -> None:
    """A hostile record with a hundred thousand of them costs no memory for each."""
    odd = document(list=list(range(100_000)))
    assert odd.texts("list") == []
    assert remark(odd) == f"list[0] is a number, not a string (and at least {MOST_REMARKS - 1} more)"


def test_what_must_be_there_is_expected() -> None:
    """Its absence is a remark."""
    odd = document(a=1, b=None)
    odd.expect("a", "b", "c")
    assert remark(odd) == "b is not there (and 1 more)"


@pytest.mark.parametrize(
    "text", ["quote \" and ' ", "back\\slash", "new\nline\r\t", "\x00\x7f\u2028", "\u05d0\u202e", "\U0001f40b"]
)
def test_odd_characters_are_kept(text: str) -> None:
    """Whatever is text is text: escaping is for whoever prints it."""
    assert document(x=text).text("x") == text
    assert remark(document(x=text)) == ""


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    """One bad byte in a label hides nothing; the remark says where the first one is."""
    odd = parse(b'{"x": "a\xffb", "y": "c"}')
    assert (odd.text("x"), odd.text("y")) == ("a\ufffdb", "c")
    assert remark(odd) == "not UTF-8 at byte 8; shown with replacement characters"


@pytest.mark.parametrize(
    ("spelled", "text"),
    [
        (r"\ud800", "\ufffd"),
        (r"a\uDFFFb", "a\ufffdb"),
        (r"\ud83d", "\ufffd"),
        (r"\udc0b\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\ud83d\udc0b", "\ufffd\U0001f40b"),
    ],
)
def test_half_characters_are_replaced(spelled: str, text: str) -> None:
    """JSON can spell half a pair, which no encoding can write: it would break the exposition."""
    odd = parse(f'{{"x{spelled}": {{"y": ["{spelled}"]}}}}'.encode())
    (key,) = odd
    assert (key, odd.inner(key).texts("y")) == (f"x{text}", [text])
    assert remark(odd) == "it spells characters that do not exist; shown with replacement characters"


@pytest.mark.parametrize("spelled", [r"\ud83d\udc0b", r"\\ud800", r"\uD83D\uDC0B"])
def test_whole_characters_are_no_oddity(spelled: str) -> None:
    """Both halves together are a character, and a backslash may stand for itself."""
    sound = parse(f'{{"x": "{spelled}"}}'.encode())
    assert sound.text("x") == json.loads(f'"{spelled}"')
    assert remark(sound) == ""


def test_a_text_is_cut() -> None:
    """A label of megabytes is nothing that anybody could read, or that a time series should be called by."""
    assert document(x="a" * LONGEST_TEXT).text("x") == "a" * LONGEST_TEXT
    long = document(x="a" * (LONGEST_TEXT + 1)).text("x")
    assert (len(long), long[-4:]) == (LONGEST_TEXT, "a...")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times(text: str, moment: datetime) -> None:
    """RFC 3339, to the microsecond."""
    zone = -14 * 3600 if "14:00" in text else 0
    assert document(x=text).time("x") == moment.timestamp() - zone


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_times_that_never_were(text: str) -> None:
    """Go's zero time stands for never."""
    zero = document(x=text)
    assert (zero.time("x"), remark(zero)) == (None, "")


@pytest.mark.parametrize(
    "text",
    ["2026-01-02", "2026-01-02T03:04:05", "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "now", "5", "\ufffd", " "],
)
def test_what_is_no_time(text: str) -> None:
    """Without a zone a time is none: it would depend on where the exporter runs."""
    odd = document(x=text)
    assert odd.time("x") is None
    assert remark(odd) == f"x is {text!a}, not a time"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "a list, not a JSON object"),
        (b"null", "null, not a JSON object"),
        (b"1e999", "a number, not a JSON object"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"a":1}{', "not JSON: Extra data: line 1 column 8 (char 7)"),
        (b"[" * 100_000, "JSON nested too deep"),
        (b'{"x":' * 100_000, "JSON nested too deep"),
        (b"\x00", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
    ids=lambda value: str(value)[:16],
)
def test_what_is_no_document(raw: bytes, reason: str) -> None:
    """The reason is a sentence fragment, without the record's content."""
    with pytest.raises(Malformed) as refused:
        parse(raw)
    assert str(refused.value) == reason


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'""'])
def test_more_values_than_any_record_has(value: bytes) -> None:
    """It is refused before it is taken apart, which would take a hundred times its memory."""
    most = b'{"a":[' + b",".join([value] * (MOST_VALUES // 2 - 2)) + b"]}"
    assert "a" in parse(most)
    with pytest.raises(Malformed, match="more than 200000 values"):
        parse(b'{"a":[' + b",".join([value] * MOST_VALUES) + b"]}")


def test_deep_nesting_below_the_limit_is_read() -> None:
    """Deeper than any honest record, and not deep enough to exhaust anything; with half a character at the bottom."""
    deep = parse(b'{"x":' * 300 + rb'"\ud800"' + b"}" * 300)
    for _ in range(299):
        deep = deep.inner("x")
    assert deep.text("x") == "\ufffd"
