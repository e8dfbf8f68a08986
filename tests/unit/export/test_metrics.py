"""What becomes of a report's values: names, limits, and labels that attackers choose."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from exporter.account.growth import Growth
from exporter.account.report import ImageUse, LayerUse, Report, StoreReport, Upper
from exporter.export.exposition import Exposition
from exporter.export.metrics.family import LABEL_LIMIT, label, short_ids
from exporter.export.metrics.images import names
from exporter.export.metrics.report import families
from exporter.settings import IMAGE_LIMIT, LAYER_LIMIT
from exporter.store.entries import Reference, Workload
from tests.unit.export.reports import (
    busy_report,
    by_digest,
    chain,
    container,
    container_id,
    image,
    image_id,
    layer,
    manifest,
    report,
    store,
    store_report,
    tag,
    upper,
)

parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from('"\\\n\r\t\0\x1b\x85\u2028{}=,# ')), max_size=2 * LABEL_LIMIT
)
"""Any characters at all, halves of surrogate pairs included, and often those that mean something to a parser."""
WRITABLE = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\\n\r\t\0\x1b\x85\u2028{}=,# ')), max_size=LABEL_LIMIT
)


def samples(subject: Report, *, layers: int = 100, images: int = 100) -> Iterator[Sample]:
    for family in families(subject, layer_limit=layers, image_limit=images):
        yield from family.samples


def values(subject: Report, name: str, *labels: str, layers: int = 100, images: int = 100) -> dict[object, float]:
    """The values of a metric, by the labels asked for (one by itself, several as a tuple)."""
    found = [sample for sample in samples(subject, layers=layers, images=images) if sample.name == name]
    keys = [tuple(sample.labels[label] for label in labels) for sample in found]
    return {key if len(labels) > 1 else key[0]: sample.value for key, sample in zip(keys, found, strict=True)}


def texts(subject: Report) -> tuple[str, str]:
    """The report in both exposition formats."""
    exposition = Exposition(tuple)
    exposition.publish(families(subject, layer_limit=100, image_limit=100))
    plain, openmetrics = (b"".join(exposition.expose(accept, compressed=False).body) for accept in ("", OPENMETRICS))
    return plain.decode(), openmetrics.decode()


def hostile(text: str) -> Report:
    """A host on which everything that can be named is named *text*."""
    subject = store(
        name=text,
        root=text,
        driver=text,
        layers=(layer("a", size=1, cache=text),),
        images=(image("b"),),
        references=(tag(text, text, image_id("b")), tag(text, "x" + text, image_id("b"))),
        containers=(
            container(
                "c",
                text,
                reference=text,
                limit=1,
                workload=Workload(compose_project=text, compose_service=text, namespace=text, pod=text, container=text),
            ),
        ),
    )
    return report(
        store_report(
            subject,
            image_use={image_id("b"): ImageUse(size=1, unique=1, shared=0, containers=0)},
            uppers={container_id("c"): upper(size=1, allocated=2, inodes=3)},
            logs={container_id("c"): 4},
        )
    )


@given(WRITABLE)
def test_names_survive_both_formats(text: str) -> None:
    """Whatever UTF-8 can write comes out of a parser as it went in: quotes, backslashes, newlines, control
    characters."""
    plain, openmetrics = texts(hostile(text))

    for parsed in (parse_text(plain), parse_openmetrics(openmetrics)):
        [info] = [
            sample for family in parsed for sample in family.samples if sample.name == "layerstore_container_info"
        ]
        named = ("store", "name", "image", "compose_project", "compose_service", "namespace", "pod", "container")
        assert dict.fromkeys(named, text) == {name: info.labels[name] for name in named}


@given(HOSTILE)
def test_no_name_breaks_an_exposition(text: str) -> None:
    """Whatever a name is, both formats parse, say the same, hold no series twice and no overlong label."""
    plain, openmetrics = texts(hostile(text))

    parsed = [
        [
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for family in found
            for sample in family.samples
        ]
        for found in (parse_text(plain), parse_openmetrics(openmetrics))
    ]
    assert parsed[0] == parsed[1]
    series = [(name, labels) for name, labels, _ in parsed[0]]
    assert len(series) == len(set(series))
    assert all(len(value) <= LABEL_LIMIT for _, labels in series for _, value in labels)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("plain", "plain"),
        ("bl\u00fc\U0001f433", "bl\u00fc\U0001f433"),
        ("a\ufffdb", "a\ud800b"),
        ("a\ufffdb", "a\udfffb"),
        ("\U0001f433", "\ud83d\udc33"),
        ("x" * 256, "x" * 256),
        ("x" * 255 + "…", "x" * 257),
    ],
)
def test_labels_are_made_safe(expected: str, text: str) -> None:
    """Only what UTF-8 cannot write is replaced, and only what exceeds 256 characters is cut."""
    assert expected == label(text)


def test_ids_are_short_unless_they_begin_alike() -> None:
    """Twelve digits, as engines print them; identities that share those stand whole, so that no two series are one."""
    alone, one, other = chain("aaaa"), chain("bbbbbbbbbbbb1"), chain("bbbbbbbbbbbb2")

    expected = {alone: "aaaa00000000", one: one.removeprefix("sha256:"), other: other.removeprefix("sha256:")}
    assert expected == short_ids([alone, one, other])


def test_layers_that_begin_alike_keep_their_own_series() -> None:
    """Two layers whose chain IDs share twelve digits have a size each, and a parent is named as its own series is."""
    one, other = layer("bbbbbbbbbbbb1", size=10), layer("bbbbbbbbbbbb2", size=20)
    child = layer("c", size=30, parent=other.chain_id)
    subject = report(store_report(store(layers=(one, other, child))))

    whole_one, whole_other = one.chain_id.removeprefix("sha256:"), other.chain_id.removeprefix("sha256:")
    sizes = values(subject, "layerstore_layer_size_bytes", "chain_id")
    assert {whole_one: 10, whole_other: 20, "c00000000000": 30} == sizes
    parents = {(whole_one, ""): 1, (whole_other, ""): 1, ("c00000000000", whole_other): 1}
    assert parents == values(subject, "layerstore_layer_info", "chain_id", "parent")


def test_a_parent_that_is_not_there_is_named_all_the_same() -> None:
    """A layer whose parent is missing still says which it was."""
    subject = report(store_report(store(layers=(layer("a", size=1, parent=chain("b")),))))

    assert values(subject, "layerstore_layer_info", "parent") == {"b00000000000": 1}


def test_the_largest_layers_have_series_and_the_rest_are_summed() -> None:
    """The limit keeps the largest; of equal ones those with the lower chain ID, so that scans agree; one of unknown
    size comes last."""
    layers = (
        layer("a", size=5),
        layer("b", size=9),
        layer("c", size=5),
        layer("d", size=None),
        layer("e", size=2),
    )
    subject = report(store_report(store(layers=layers)))

    assert values(subject, "layerstore_layer_size_bytes", "chain_id", layers=2) == {
        "b00000000000": 9,
        "a00000000000": 5,
    }
    assert values(subject, "layerstore_layers_omitted", "store", layers=2) == {"overlay2": 3}
    assert values(subject, "layerstore_layers_omitted_size_bytes", "store", layers=2) == {"overlay2": 7}
    assert values(subject, "layerstore_layers_omitted", "store", layers=0) == {"overlay2": 5}


def test_a_layer_of_unknown_size_has_no_size() -> None:
    """What is not known is absent, never 0; the layer itself is there."""
    unknown = layer("a", size=None)
    subject = report(
        store_report(store(layers=(unknown,)), layer_use={unknown.chain_id: LayerUse(images=0, containers=0)})
    )

    assert values(subject, "layerstore_layer_size_bytes", "chain_id") == {}
    assert values(subject, "layerstore_layer_images", "chain_id") == {"a00000000000": 0}
    assert values(subject, "layerstore_layer_info", "cache_id") == {"": 1}


def test_the_images_with_most_unique_bytes_have_series() -> None:
    """The limit is by what deleting an image would free, not by its size."""
    uses = {
        image_id("a"): ImageUse(size=100, unique=1, shared=99, containers=0),
        image_id("b"): ImageUse(size=10, unique=10, shared=0, containers=0),
        image_id("c"): ImageUse(size=50, unique=1, shared=49, containers=0),
    }
    subject = report(store_report(store(images=tuple(map(image, "abc"))), image_use=uses))

    assert values(subject, "layerstore_image_unique_bytes", "image_id", images=2) == {
        "b00000000000": 10,
        "a00000000000": 1,
    }
    assert values(subject, "layerstore_images_omitted", "store", images=2) == {"overlay2": 1}


def test_only_head_images_have_series() -> None:
    """An intermediate of a build, which the report does not count as a head image, is only in the totals."""
    subject = report(
        store_report(
            store(images=(image("a"), image("b"))),
            image_use={image_id("a"): ImageUse(size=1, unique=1, shared=0, containers=0)},
        )
    )

    assert values(subject, "layerstore_image_info", "image_id") == {"a00000000000": 1}


@pytest.mark.parametrize(
    ("expected", "references"),
    [
        ([("<none>", "<none>", "<none>")], []),
        ([("web", "1", "")], [tag("web", "1", image_id("a"))]),
        (
            [("web", "1", manifest("d")), ("web", "2", manifest("d"))],
            [tag("web", "2", image_id("a")), by_digest("web", "d", image_id("a")), tag("web", "1", image_id("a"))],
        ),
        (
            [("web", "1", manifest("d")), ("web", "<none>", manifest("e"))],
            [
                by_digest("web", "e", image_id("a")),
                by_digest("web", "d", image_id("a")),
                tag("web", "1", image_id("a")),
            ],
        ),
        (
            [("mirror", "<none>", manifest("d")), ("web", "1", "")],
            [tag("web", "1", image_id("a")), by_digest("mirror", "d", image_id("a"))],
        ),
        ([("web", "<none>", manifest("d"))], [by_digest("web", "d", image_id("a"))] * 2),
    ],
    ids=["dangling", "built here", "two tags", "two digests", "tag and digest of two repositories", "named twice"],
)
def test_an_image_has_a_series_for_each_reference(
    expected: list[tuple[str, str, str]], references: list[Reference]
) -> None:
    """A tag goes with its repository's digest; a digest without a tag stands alone; no reference is ``<none>``."""
    assert expected == list(names(references))


def test_a_container_whose_image_is_gone_still_names_it() -> None:
    """An image deleted by force leaves its ID in the container's record."""
    boxes = (
        container("c", "web", reference="web:1", of=image_id("dead")),
        container("d", "scratch", reference="sha256:beef"),
    )
    subject = report(store_report(store(containers=boxes)))

    expected = {("web", "web:1", "dead00000000"): 1, ("scratch", "sha256:beef", ""): 1}
    assert expected == values(subject, "layerstore_container_info", "name", "image", "image_id")


def test_what_was_not_measured_is_absent() -> None:
    """A container has its info from the first scan on, and its sizes once they are known."""
    subject = report(store_report(store(containers=(container("c", "web"),))))

    found = {sample.name for sample in samples(subject) if sample.labels.get("container_id")}
    assert {"layerstore_container_info"} == found


def test_upper_layers_are_read_since_the_oldest_reading() -> None:
    """Of a store's upper layers the one that was read whole longest ago counts; while one never was, none does."""
    old, new = upper(size=1, allocated=1, inodes=1), upper(size=1, allocated=1, inodes=1)
    old, never = (replace(old, read_since=when) for when in (1_000_000.0, None))
    ids = container_id("0"), container_id("1")
    known = report(store_report(store(), uppers=dict(zip(ids, (old, new), strict=True))))
    assert {"overlay2": 1_000_000.0} == values(known, "layerstore_uppers_read_timestamp_seconds", "store")
    unknown = report(store_report(store(), uppers=dict(zip(ids, (old, never), strict=True))))
    assert {} == values(unknown, "layerstore_uppers_read_timestamp_seconds", "store")


def test_how_many_upper_layers_are_untracked_and_inexact() -> None:
    """Of each store: those that every measurement reads whole, and those whose figures are a lower bound; neither is
    the other."""
    whole = upper(size=1, allocated=1, inodes=1)
    untracked, cut = replace(whole, tracked=False), replace(whole, exact=False)
    both = replace(whole, tracked=False, exact=False)

    def of(name: str, *uppers: Upper) -> StoreReport:
        ids = (container_id(str(number)) for number in range(len(uppers)))
        return store_report(store(name=name), uppers=dict(zip(ids, uppers, strict=True)))

    subject = report(
        of("overlay2", whole, untracked, untracked, cut, both), of("fuse-overlayfs", cut, whole), of("left")
    )
    assert {"overlay2": 3, "fuse-overlayfs": 0, "left": 0} == values(subject, "layerstore_uppers_untracked", "store")
    assert {"overlay2": 2, "fuse-overlayfs": 1, "left": 0} == values(subject, "layerstore_uppers_inexact", "store")


def test_a_busy_host_has_a_bounded_number_of_series() -> None:
    """At the default limits, 300 images and 200 containers give 3,000 series at most, 100 left for the exporter's own:
    the limits bound layers and images, and a container has no more than its eight."""

    def series(containers: int) -> int:
        subject = busy_report(layers=1000, images=300, containers=containers)
        (busy,) = subject.stores
        growing = {key: replace(value, growth=Growth(allocated=0)) for key, value in busy.uppers.items()}
        return len(list(samples(replace(subject, stores=(replace(busy, uppers=growing),)))))

    assert ("100", "100") == (LAYER_LIMIT.default, IMAGE_LIMIT.default)
    assert 8 * 100 == series(200) - series(100)
    assert series(200) <= 2900


def test_stores_of_one_name_give_no_series_twice() -> None:
    """Two overlong names that are cut to the same text cost the second store its series, not every scrape."""
    root = "/" + "long/" * 60
    one, other = (
        store(name=f"{root}{end}/overlay2", layers=(layer("a", size=size),)) for end, size in (("1", 1), ("2", 2))
    )
    subject = report(store_report(one), store_report(other))

    assert {root[:255] + "…": 1} == values(subject, "layerstore_layer_size_bytes", "store")


def test_a_host_without_stores_says_so_without_guessing() -> None:
    """No store: no series but the problems that belong to none, all of them at 0."""
    found = list(samples(report()))

    assert {("layerstore_integrity_problems", "", 0)} == {
        (sample.name, sample.labels["store"], sample.value) for sample in found
    }
