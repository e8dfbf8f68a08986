"""``report`` for people: what it shows, at any width, and what it never does."""

from dataclasses import replace

import pytest
from rich.console import Console

from exporter.account.report import Report
from exporter.export.text.check import print_check
from exporter.export.text.glance import print_report
from exporter.measure.growers import Grower
from exporter.measure.usage import Usage
from exporter.store.catalog import Problem, ProblemKind
from exporter.store.entries import ContainerState
from tests.unit.account.records import Records
from tests.unit.export.text.screens import colours, pipe, report_of, terminal


def shop(*, containers: int = 2) -> Records:
    """Two images on one base, and containers that wrote."""
    records = Records()
    base = records.layer(75_000_000)
    api = records.image(records.layer(1_500_000, parent=base), tags=["shop/api:2.4.0"])
    records.image(records.layer(200_000, parent=base), tags=["shop/site:5"])
    for number in range(containers):
        records.container(
            api,
            name=f"web-{number}",
            reference="shop/api:2.4.0",
            usage=Usage(size=1000 * number, allocated=4096 * (number + 1), inodes=number + 1),
            log=8192,
        )
    return records


def shown(report: Report, *, top: int = 10, width: int = 0) -> str:
    """Piped, or on a terminal of some width."""

    def show(console: Console) -> None:
        print_report(report, console, top=top)

    return terminal(show, width=width) if width else pipe(show)


def row(output: str, first: str) -> list[str]:
    """The cells of the line that begins with *first*."""
    (line,) = [line for line in output.splitlines() if line.startswith(f"{first} ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_header_tells_the_stores() -> None:
    """When, and for each store its engine, driver, root, and whether it is in use."""
    records = Records(name="100000.100000/overlay2", root="/var/lib/docker/100000.100000")
    output = shown(report_of(records.report()))
    assert "2026-01-01T00:00:00Z" in output
    assert "100000.100000/overlay2  docker, driver overlay2, root /var/lib/docker/100000.100000, in use\n" in output


def test_a_store_that_a_switch_left_behind_says_so() -> None:
    """Together with what cannot be measured."""
    report = Records(driver="vfs").report()
    left = replace(report, store=replace(report.store, active=False, measurable=False))
    assert "left behind by a switch of drivers, this driver cannot be measured" in shown(report_of(left))


def test_a_host_without_stores_is_no_error() -> None:
    """It is said in a sentence."""
    assert "No store was found" in shown(report_of())


def test_a_root_without_a_store_is_named() -> None:
    """Beside others too, with what that may mean; ``check`` says the same, and does not call it damage."""
    one = Records().report()
    report = report_of(one, storeless=("/srv/docker",))
    assert "No store is below /srv/docker: there is neither" in shown(report)
    assert "No store is below" not in shown(report_of(one))
    checked = pipe(lambda console: print_check(report.catalog, console))
    assert "No problem found" in checked
    assert "No store is below /srv/docker: there is neither" in checked


def test_upper_layers_come_largest_first() -> None:
    """By allocated bytes, which are what fills a disk; those that were not measured last, below those of 0 bytes."""
    records = shop(containers=3)
    records.container(None, name="a-secret")
    records.container(None, name="empty", usage=Usage(size=0, allocated=0, inodes=1))
    output = shown(report_of(records.report()))
    places = [output.index(f"\n{name} ") for name in ("web-2", "web-1", "web-0", "empty", "a-secret")]
    assert sorted(places) == places


def test_a_row_of_an_upper_layer() -> None:
    """Name, ID, image, state, size, allocated, inodes and log."""
    records = shop()
    container = list(records.containers)[1]
    expected = ["web-1", container, "shop/api:2.4.0", "running", "1kB", "8.19kB", "2", "8.19kB"]
    assert expected == row(shown(report_of(records.report())), "web-1")


def test_a_lower_bound_says_so() -> None:
    """What could not be measured whole is at least so much."""
    records = shop()
    container = list(records.containers)[1]
    records.uppers[container] = replace(records.uppers[container], exact=False)
    assert ["≥ 1kB", "≥ 8.19kB", "≥ 2", "8.19kB"] == row(shown(report_of(records.report())), "web-1")[4:]


def test_limits_are_shown_where_any_is_set() -> None:
    """Without one there is no column for them."""
    records = shop()
    assert "limit" not in shown(report_of(records.report()))
    records.container(None, name="limited", limit=10_000_000_000)
    output = shown(report_of(records.report()))
    assert "limit" in output
    assert "10GB" in row(output, "limited")


def test_what_is_not_known_is_a_question_mark() -> None:
    """Never 0: an upper layer that was not measured, a log that could not be read, a state that no record tells."""
    records = Records()
    container = records.container(None, name="web", state=None, reference="app:1")
    expected = ["web", container, "app:1", "state not known", "?", "?", "?", "?"]
    output = shown(report_of(records.report()))
    assert expected == row(output, "web")
    assert "upper layers (0 of 1 measured) ? of size, ? allocated; logs ?." in output


def test_a_container_without_a_name_goes_by_its_id() -> None:
    """Its record is damaged, and it still uses disk."""
    records = Records()
    container = records.container(None, name="", state=None)
    assert container in shown(report_of(records.report()))


def test_layers_tell_who_shares_them() -> None:
    """The largest first, with the names of images and the count of containers."""
    records = shop()
    base, top, _ = records.layers
    output = shown(report_of(records.report()))
    assert [base, "75MB", "2", "2", "shop/api:2.4.0, shop/site:5"] == row(output, base)
    assert [top, "1.5MB", "1", "2", "shop/api:2.4.0"] == row(output, top)


def test_a_layer_in_no_image_says_so() -> None:
    """It may be garbage, or build cache."""
    records = Records()
    layer = records.layer(1000)
    assert [layer, "1kB", "0", "0", "in no image"] == row(shown(report_of(records.report())), layer)


def test_images_tell_what_is_their_own() -> None:
    """Size, unique and shared bytes and containers; those with most bytes of their own first."""
    records = shop()
    api, site = records.images
    output = shown(report_of(records.report()))
    expected = [
        ["shop/api:2.4.0", api, "tagged", "76.5MB", "1.5MB", "75MB", "2"],
        ["shop/site:5", site, "tagged", "75.2MB", "200kB", "75MB", "0"],
    ]
    assert expected == [row(output, "shop/api:2.4.0"), row(output, "shop/site:5")]
    assert output.index("\nshop/api:2.4.0 ") < output.index("\nshop/site:5 ")


def test_intermediate_images_are_not_listed() -> None:
    """They are counted in the totals, and cost nothing beside the image built on them."""
    records = Records()
    base = records.layer(1000)
    middle = records.image(base)
    records.image(records.layer(20, parent=base), tags=["app:1"], parent=middle)
    output = shown(report_of(records.report()))
    assert middle not in output
    assert "2 images (1 tagged, 1 intermediate)" in output


def test_a_dangling_image_has_no_name() -> None:
    """As engines print it."""
    records = Records()
    image = records.image(records.layer(1000))
    assert ["<none>", image, "dangling", "1kB", "1kB", "0B", "0"] == row(shown(report_of(records.report())), "<none>")


def test_problems_tell_path_and_reason() -> None:
    """Those of a store, and those that belong to none."""
    records = Records()
    records.problems.append(Problem(kind=ProblemKind.EMPTY_LINK, path="/d/overlay2/a/link", reason="it is empty"))
    root = Problem(kind=ProblemKind.UNREADABLE_RECORD, path="/srv/docker", reason="Permission denied")
    output = shown(report_of(records.report(), problems=(root,)))
    assert row(output, "empty_link") == ["empty_link", "/d/overlay2/a/link", "it is empty"]
    assert row(output, "unreadable_record") == ["unreadable_record", "/srv/docker", "Permission denied"]
    assert "2 problems" in output


def test_totals_count_everything_once() -> None:
    """Layers once each, containers in any state, upper layers and logs."""
    records = shop()
    records.container(None, name="old", state=ContainerState.EXITED, usage=Usage(size=0, allocated=4096, inodes=1))
    (total,) = [line for line in shown(report_of(records.report())).splitlines() if line.startswith("Total of")]
    assert total == (
        "Total of overlay2: 2 images (2 tagged); 3 layers of 76.7MB, each counted once; "
        "3 containers (2 running, 1 exited); upper layers 1kB of size, 16.4kB allocated; logs 16.4kB."
    )


def test_no_more_rows_than_wanted() -> None:
    """And how many there are."""
    output = shown(report_of(shop(containers=30).report()), top=5)
    assert "5 of 30 containers" in output
    assert output.count("\nweb-") == 5
    assert "shop/site:5" in output


def test_no_rows_at_all() -> None:
    """The titles and totals stay."""
    output = shown(report_of(shop().report()), top=0)
    assert "0 of 2 containers" in output
    assert "web-0" not in output


def test_several_stores_are_told_apart() -> None:
    """Each row names its store where there is more than one, and nothing is mixed up."""
    other = Records(root="/srv/docker", name="/srv/docker/overlay2")
    other.container(None, name="db", usage=Usage(size=1, allocated=1 << 30, inodes=1))
    output = shown(report_of(shop().report(), other.report()))
    assert "/srv/docker/overlay2" in row(output, "db")
    assert "overlay2" in row(output, "web-0")
    assert output.index("\ndb ") < output.index("\nweb-1 ")


@pytest.mark.parametrize("width", [64, 80, 100, 160, 250])
def test_a_terminal_is_never_overrun(width: int) -> None:
    """Every line fits, and nothing that matters is lost."""
    records = shop()
    records.container(None, name="k8s_api_api-7c9d8b6f5d-x2x7k_shop-staging_4b1f2c9e-0d7a-4a55-9a63_0", limit=10**10)
    records.problems.append(Problem(kind=ProblemKind.EMPTY_LINK, path="/d/overlay2/" + "a" * 64, reason="empty"))
    output = shown(report_of(records.report()), width=width)
    assert max(map(len, output.splitlines())) <= width
    assert "web-1" in output
    assert "75MB" in output


@pytest.mark.parametrize("width", [80, 160])
def test_figures_are_never_broken(width: int) -> None:
    """A figure stays in one piece where names are long."""
    records = Records()
    records.container(None, name="n" * 300, usage=Usage(size=1, allocated=123_000, inodes=9_876_543), log=456_000)
    output = shown(report_of(records.report()), width=width)
    assert {"123kB", "9,876,543", "456kB"} <= set(output.split())


def test_a_terminal_gets_short_ids_and_a_pipe_whole_ones() -> None:
    """As engines print them; what is piped is for other programs."""
    records = shop()
    container = next(iter(records.containers))
    narrow, piped = shown(report_of(records.report()), width=160), shown(report_of(records.report()))
    assert (container in narrow, container[:12] in narrow, container in piped) == (False, True, True)


def test_a_pipe_gets_plain_text() -> None:
    """No colour, no frame, no blank at the end of a line; one line a row."""
    output = shown(report_of(shop().report()))
    assert output.isascii()
    assert "\x1b" not in output
    assert not [line for line in output.splitlines() if line != line.rstrip()]


def test_colours_are_for_terminals() -> None:
    """There they are."""
    assert "\x1b[" in colours(lambda console: print_report(report_of(shop().report()), console))


def test_units_are_explained() -> None:
    """Decimal ones, as engines print them."""
    assert "Sizes are decimal (1kB = 1000B)" in shown(report_of(shop().report()))


def test_files_and_directories_that_grew_are_named() -> None:
    """The largest first, whosever; where many small files grew, that is their directory. Names are made harmless."""
    records = shop(containers=2)
    growers = {
        "web-0": Grower(grown=2_000_000, path="var/log/a\x1b[2J\n\udc80", is_directory=False),
        "web-1": Grower(grown=9_000_000, path="cache", is_directory=True),
    }
    for container_id, container in records.containers.items():
        grower = growers[container.name]
        records.uppers[container_id] = replace(records.uppers[container_id], growers=(grower,))
    output = shown(report_of(records.report()))
    grown = output[output.index("What grew between two measurements  2 places") :].splitlines()[2:4]
    assert [line.split() for line in grown] == [
        ["web-1", "/cache/", "+9MB"],
        ["web-0", "/var/log/a\\x1b[2J\\n\\udc80", "+2MB"],
    ]
