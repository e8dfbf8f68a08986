"""Sections of the dashboard *Host*: what containers write, and the images that they are made from."""

from typing import Final

from grafana.frame import Section
from grafana.palette import BAD, GOOD, PLAIN, STORED, USAGES, WARNING, WRITTEN
from grafana.panels import About, Column, Query, bars, lines, of, rows
from grafana.tables import CONTAINERS, IMAGES, LAYERS

UPPER: Final = "layerstore_container_upper_allocated_bytes"
NO_CONTAINER: Final = "no container on this host"

_NAMED: Final = 'name=~"$container"'
_OF_CONTAINER: Final = "cluster, job, instance, store, container_id"

# A container whose state just changed has two infos: topk leaves one, or the join would fail for all.
_INFO: Final = f"topk by ({_OF_CONTAINER}) (1, {of('layerstore_container_info')})"
_WITH_IMAGE: Final = CONTAINERS.each(
    f"{of(UPPER)} * on ({_OF_CONTAINER}) group_left (image, state) {_INFO}", "image", "state"
)


def uppers() -> Section:
    """All upper layers beside each other."""
    grown, freed = (f"layerstore_container_upper_{what}_bytes_total" for what in ("grown", "freed"))
    limit = of("layerstore_container_upper_limit_bytes")
    measured = of("layerstore_container_upper_measured_timestamp_seconds")
    return Section(
        title="What containers write",
        panels=[
            lines(
                About(
                    title="Largest upper layers",
                    description="Disk space of the ten largest upper (write) layers.",
                    unit="bytes",
                    empty=NO_CONTAINER,
                ),
                Query(expr=f"topk(10, {of(UPPER)})", legend="{{name}}"),
            ),
            lines(
                About(
                    title="Fastest-growing upper layers",
                    description="How fast the ten upper layers that grow fastest gain disk space, what they gave back "
                    "taken off. A container that writes and deletes at one pace is at 0.",
                    unit="binBps",
                    empty=NO_CONTAINER,
                ),
                Query(
                    expr=f"topk(10, rate({of(grown)}[$__rate_interval]) - rate({of(freed)}[$__rate_interval]))",
                    legend="{{name}}",
                ),
                least=None,
            ),
            rows(
                About(
                    title="Upper layers",
                    description="Each container's upper layer. Size is its files' length, allocated what du says. "
                    "Of limit is – where no limit is set. A click on a name shows that container.",
                    unit="short",
                    width=24,
                    height=10,
                    empty=NO_CONTAINER,
                ),
                CONTAINERS.rows(
                    {"name": 150, "image": 130, "state": 75, "instance": 120, "store": 80}, sort="Allocated"
                ),
                Column(title="Allocated", expr=_WITH_IMAGE, unit="bytes", width=140, gauge=WRITTEN),
                Column(
                    title="In 1 h",
                    expr=CONTAINERS.each(of(f"container:{UPPER}:delta1h")),
                    unit="bytes",
                    empty="no change",
                ),
                Column(
                    title="Size",
                    expr=CONTAINERS.each(of("layerstore_container_upper_size_bytes")),
                    unit="bytes",
                ),
                Column(
                    title="Inodes",
                    expr=CONTAINERS.each(of("layerstore_container_upper_inodes")),
                    unit="short",
                ),
                Column(
                    title="Of limit",
                    expr=CONTAINERS.each(f"{of(UPPER)} / {limit}"),
                    unit="percentunit",
                    steps=[(None, GOOD), (0.75, WARNING), (0.9, BAD)],
                ),
                Column(
                    title="Logs",
                    expr=CONTAINERS.each(of("layerstore_container_log_allocated_bytes")),
                    unit="bytes",
                ),
                Column(title="Measured", expr=CONTAINERS.each(f"time() - {measured}"), unit="s"),
            ),
        ],
    )


def container() -> Section:
    """The chosen containers more closely."""
    grown, freed = (f"layerstore_container_upper_{what}_bytes_total" for what in ("grown", "freed"))
    return Section(
        title="Container: $container",
        panels=[
            lines(
                About(
                    title="Upper layer and its limit",
                    description="Disk space, and size, of the chosen containers' upper layers, and the limit where one "
                    "is set. Allocated far above size means many small files; the other way round, sparse ones.",
                    unit="bytes",
                    empty=NO_CONTAINER,
                    width=8,
                ),
                Query(expr=of(UPPER, _NAMED), legend="{{name}} allocated"),
                Query(expr=of("layerstore_container_upper_size_bytes", _NAMED), legend="{{name}} size"),
                Query(expr=of("layerstore_container_upper_limit_bytes", _NAMED), legend="{{name}} limit"),
            ),
            lines(
                About(
                    title="Gained and given back",
                    description="Disk space gained, and given back (below 0), per second by the chosen containers' "
                    "upper layers, between measurements. Both at once: it churns.",
                    unit="binBps",
                    empty=NO_CONTAINER,
                    width=8,
                ),
                Query(expr=f"rate({of(grown, _NAMED)}[$__rate_interval])", legend="{{name}} gained"),
                Query(expr=f"-rate({of(freed, _NAMED)}[$__rate_interval])", legend="{{name}} given back"),
                least=None,
            ),
            lines(
                About(
                    title="Inodes",
                    description="Inodes in the chosen containers' upper layers. Many small files can use up a "
                    "filesystem's inodes long before its bytes.",
                    unit="short",
                    empty=NO_CONTAINER,
                    width=8,
                ),
                Query(expr=of("layerstore_container_upper_inodes", _NAMED), legend="{{name}}"),
            ),
        ],
    )


def images() -> Section:
    """Images, their layers, and who shares them."""
    of_image = "cluster, job, instance, store, image_id"
    # One value for each reference. The side that is one is grouped: two targets may tell of the same host.
    unique = of("layerstore_image_unique_bytes")
    by_reference = IMAGES.each(
        f"group by ({of_image}, repository, tag) ({of('layerstore_image_info')}) "
        f"* on ({of_image}) group_left () max by ({of_image}) ({unique})",
        "repository",
        "tag",
    )
    return Section(
        title="Images and shared layers",
        panels=[
            rows(
                About(
                    title="Images",
                    description="Each image by its references. Unique lies in layers that no other image uses; shared "
                    "stays for others. Reclaimable is what deleting this image alone would free: its unique bytes, "
                    "where no container was made from it. An image of several references has several rows. The "
                    "exporter's --images.limit says how many there can be.",
                    unit="short",
                    width=24,
                    height=10,
                    empty="no image on this host",
                ),
                IMAGES.rows(
                    {"repository": 200, "tag": 110, "image_id": 110, "instance": 130, "store": 90}, sort="Unique"
                ),
                Column(title="Unique", expr=by_reference, unit="bytes", width=140, gauge=STORED),
                Column(title="Shared", expr=IMAGES.each(of("layerstore_image_shared_bytes")), unit="bytes"),
                Column(title="Size", expr=IMAGES.each(of("layerstore_image_size_bytes")), unit="bytes"),
                Column(
                    title="Reclaimable",
                    expr=IMAGES.each(f"{unique} and {of('layerstore_image_containers')} == 0"),
                    unit="bytes",
                    width=100,
                    empty="in use",
                ),
                Column(title="Containers", expr=IMAGES.each(of("layerstore_image_containers")), unit="short", width=90),
            ),
            rows(
                About(
                    title="Largest layers",
                    description="The largest read-only layers, and how many images and containers use each. The "
                    "exporter's --layers.limit says how many there can be.",
                    unit="short",
                    height=9,
                    empty="no layer on this host",
                ),
                LAYERS.rows({"chain_id": 110, "instance": 110, "store": 80}, sort="Size"),
                Column(
                    title="Size",
                    expr=LAYERS.each(of("layerstore_layer_size_bytes")),
                    unit="bytes",
                    width=130,
                    gauge=STORED,
                ),
                Column(
                    title="Images",
                    expr=LAYERS.each(of("layerstore_layer_images")),
                    unit="short",
                    width=75,
                ),
                Column(
                    title="Containers",
                    expr=LAYERS.each(of("layerstore_layer_containers")),
                    unit="short",
                ),
            ),
            lines(
                About(
                    title="Layers by use",
                    description="Size of all read-only layers: those that two or more images share, those of one "
                    "image, those of none.",
                    unit="bytes",
                    width=6,
                    height=9,
                ),
                Query(expr=f"sum by (usage) ({of('layerstore_layers_size_bytes')})", legend="{{usage}}"),
                stacked=True,
                colours=USAGES,
            ),
            bars(
                About(
                    title="Layers by number of images",
                    description="How many of the largest layers are used by how many images: 5 layers at 3 images "
                    "means that each of those 5 is stored once instead of three times.",
                    unit="short",
                    width=6,
                    height=9,
                    empty="no layer on this host",
                ),
                Query(
                    expr=f'count_values("images", {LAYERS.each(of("layerstore_layer_images"))})',
                    legend="images: {{images}}",
                ),
                steps=PLAIN,
            ),
        ],
    )
