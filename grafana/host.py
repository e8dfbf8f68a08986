"""The dashboard *Host*: where the disk of one host, or of a few, goes."""

from typing import Final

from grafana.containers import NO_CONTAINER, UPPER, container, images, uppers
from grafana.frame import HOST_UID, Page, Section
from grafana.palette import AREAS, FREE_SHARE, NONE_WANTED, ORPHANED, OWNERS, RECLAIMABLE, TIME_LEFT
from grafana.panels import FIRING, About, Query, bars, lines, number, of

_ORPHANS: Final = of("layerstore_directories_allocated_bytes", 'owner="orphan"')
_MEASURING: Final = "not measured yet: the first pass over the whole store can take minutes"


def _overview() -> Section:
    return Section(
        title="At a glance",
        panels=[
            number(
                About(
                    title="Free",
                    description="Share of the filesystem that a store lies on which is free: the least of all stores.",
                    unit="percentunit",
                    width=4,
                    height=4,
                ),
                Query(expr=f"min({of('store:layerstore_filesystem_avail_bytes:ratio')})"),
                steps=FREE_SHARE,
            ),
            number(
                About(
                    title="Full in",
                    description="When the line through the last hour of free space meets 0: the soonest of all stores. "
                    "Nothing is forecast where free space does not shrink.",
                    unit="s",
                    width=4,
                    height=4,
                    empty="not filling",
                ),
                Query(expr=f"min({of('store:layerstore_filesystem_avail_bytes:seconds_to_full1h')})"),
                steps=TIME_LEFT,
            ),
            number(
                About(
                    title="Written by containers",
                    description="Disk space of all upper (write) layers together, as du counts it.",
                    unit="bytes",
                    width=4,
                    height=4,
                    empty=NO_CONTAINER,
                ),
                Query(expr=f"sum({of(UPPER)})"),
            ),
            number(
                About(
                    title="Orphaned",
                    description="Disk space of directories that no record names and no mount uses. Docker's graph "
                    "drivers never remove them; containerd does with the next snapshot that it removes.",
                    unit="bytes",
                    width=4,
                    height=4,
                    empty=_MEASURING,
                ),
                Query(expr=f"sum({_ORPHANS})"),
                steps=ORPHANED,
            ),
            number(
                About(
                    title="Damaged records",
                    description="Records of the engine that are malformed, missing or contradict each other.",
                    unit="short",
                    width=4,
                    height=4,
                ),
                Query(expr=f"sum({of('layerstore_integrity_problems')})"),
                steps=NONE_WANTED,
            ),
            number(
                About(
                    title="Alerts firing",
                    description="Layerstore alerts that fire now. They are drawn on the graphs below as red lines.",
                    unit="short",
                    width=4,
                    height=4,
                ),
                Query(
                    expr=f"count({FIRING}) or vector(0)",
                ),
                steps=NONE_WANTED,
            ),
        ],
    )


def _capacity() -> Section:
    available = "layerstore_filesystem_avail_bytes"
    forecast = f"clamp_min(predict_linear({of(available)}[1h], 4 * 3600), 0)"
    return Section(
        title="Capacity",
        panels=[
            lines(
                About(
                    title="Free space, and in 4 hours",
                    description="What is free on the filesystem of each store, and what will be in 4 hours at the pace "
                    "of the last hour. Where the forecast stays at 0, the alert LayerstoreFilesystemFilling is on its "
                    "way.",
                    unit="bytes",
                ),
                Query(expr=of(available), legend="{{instance}} {{store}}"),
                Query(
                    expr=f"{of('layerstore_filesystem_size_bytes')} + 0 < {forecast} or {forecast}",
                    legend="{{instance}} {{store}} in 4 hours",
                ),
            ),
            lines(
                About(
                    title="Where the disk goes",
                    description="Disk space of the storage directories by whose they are. All together are what du "
                    "says of the driver's directory.",
                    unit="bytes",
                    empty=_MEASURING,
                ),
                Query(expr=f"sum by (owner) ({of('layerstore_directories_allocated_bytes')})", legend="{{owner}}"),
                stacked=True,
                colours=OWNERS,
            ),
            lines(
                About(
                    title="The engine's whole root",
                    description="Disk space below the engine's root by area: layers, containers' records and logs, "
                    "volumes, the builder, the rest. All together are what du -x says of the root.",
                    unit="bytes",
                    empty=_MEASURING,
                ),
                Query(expr=f"sum by (area) ({of('layerstore_area_allocated_bytes')})", legend="{{area}}"),
                stacked=True,
                colours=AREAS,
            ),
            bars(
                About(
                    title="What cleaning up would free",
                    description="Disk space that removing all of a kind would free, by true reference counts. Kinds "
                    "overlap and cannot be added.",
                    unit="bytes",
                    empty=_MEASURING,
                ),
                Query(expr=f"sum by (by) ({of('layerstore_reclaimable_bytes')})", legend="{{by}}"),
                colours=RECLAIMABLE,
            ),
        ],
    )


def _logs_and_leftovers() -> Section:
    log = "layerstore_container_log_allocated_bytes"
    unneeded = 'owner=~"unreferenced_layer|leaked_mount|removing|suspect|orphan"'
    return Section(
        title="Logs, leftovers, damage",
        panels=[
            lines(
                About(
                    title="Largest container logs",
                    description="Disk space of the ten largest containers' log files, rotated ones included. The "
                    "engine counts them nowhere.",
                    unit="bytes",
                    width=8,
                    empty="no container with a log file on this host",
                ),
                Query(expr=f"topk(10, {of(log)})", legend="{{name}}"),
            ),
            lines(
                About(
                    title="What nobody needs",
                    description="Disk space of directories that no image, container or build uses, of the kinds that "
                    "there are. Orphans were left by a pull or build that the engine did not survive; suspects may "
                    "become orphans.",
                    unit="bytes",
                    width=8,
                    empty="nothing that nobody needs, as far as it is measured",
                ),
                Query(
                    expr=f"sum by (owner) ({of('layerstore_directories_allocated_bytes', unneeded)}) > 0",
                    legend="{{owner}}",
                ),
                stacked=True,
                colours=OWNERS,
            ),
            lines(
                About(
                    title="Damaged records by kind",
                    description="Problems found in the engine's records, by kind, for the kinds that there are.",
                    unit="short",
                    width=8,
                    empty="no damaged record: the store is sound",
                ),
                Query(expr=f"sum by (problem) ({of('layerstore_integrity_problems')}) > 0", legend="{{problem}}"),
            ),
        ],
    )


def _exporter() -> Section:
    return Section(
        title="The exporter itself",
        panels=[
            lines(
                About(
                    title="Age of the figures",
                    description="Time since each stage of the exporter's work last succeeded.",
                    unit="s",
                    width=8,
                    height=7,
                ),
                Query(
                    expr=f"time() - ({of('layerstore_scan_last_success_timestamp_seconds')} > 0)",
                    legend="{{instance}} {{stage}}",
                ),
            ),
            lines(
                About(
                    title="Duration of each stage",
                    description="How long the last run of each stage took.",
                    unit="s",
                    width=8,
                    height=7,
                ),
                Query(expr=of("layerstore_scan_duration_seconds"), legend="{{instance}} {{stage}}"),
            ),
            lines(
                About(
                    title="CPU for measuring",
                    description="Share of one core that measuring takes; --scan.cpu-budget bounds it.",
                    unit="percentunit",
                    width=8,
                    height=7,
                ),
                Query(expr=f"rate({of('layerstore_walk_cpu_seconds_total')}[$__rate_interval])", legend="{{instance}}"),
            ),
            lines(
                About(
                    title="Inodes looked at",
                    description="Inodes per second that measuring looks at: what it costs the disk.",
                    unit="short",
                    width=8,
                    height=7,
                ),
                Query(expr=f"rate({of('layerstore_walk_inodes_total')}[$__rate_interval])", legend="{{instance}}"),
            ),
            lines(
                About(
                    title="Watch",
                    description="Directories watched for changes, and those that should be. Fewer means that some "
                    "changes wait for the periodic scan.",
                    unit="short",
                    width=8,
                    height=7,
                ),
                Query(expr=of("layerstore_watches"), legend="{{instance}} watched"),
                Query(expr=of("layerstore_watches_expected"), legend="{{instance}} expected"),
            ),
            lines(
                About(
                    title="Trouble reading",
                    description="Errors per second by stage and reason. A few vanished records beside a working "
                    "engine are normal.",
                    unit="short",
                    width=8,
                    height=7,
                ),
                Query(
                    expr=f"sum by (stage, reason) (rate({of('layerstore_scan_errors_total')}[$__rate_interval]))",
                    legend="{{stage}} {{reason}}",
                ),
            ),
        ],
    )


HOST: Final = Page(
    uid=HOST_UID,
    title="Layer storage: Host",
    description="Where the disk of a container host goes, layer by layer, and which container is filling it.",
    sections=[
        _overview(),
        _capacity(),
        uppers(),
        container(),
        images(),
        _logs_and_leftovers(),
        _exporter(),
    ],
    containers=True,
)
