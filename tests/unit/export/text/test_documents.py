"""The same values as JSON."""

import json
from dataclasses import replace

import pytest

from exporter.account.inspect.find import find
from exporter.export.text.documents import inspection_json, report_json
from exporter.measure.usage import Usage
from exporter.store.catalog import Problem, ProblemKind
from exporter.store.entries import Workload
from tests.unit.account.records import MOMENT, ROOT, Records, digest, step
from tests.unit.export.text.screens import report_of


@pytest.fixture
def records() -> Records:
    made = Records()
    base = made.layer(1000)
    app = made.image(made.layer(20, parent=base), tags=["app:1"], history=[step("ADD rootfs")])
    made.container(
        app,
        name="web",
        reference="app:1",
        usage=Usage(size=1, allocated=4096, inodes=2),
        log=8192,
        limit=1 << 30,
        workload=Workload(compose_project="shop"),
    )
    made.container(app, name="idle")
    made.problems.append(Problem(kind=ProblemKind.EMPTY_LINK, path="/d/link", reason="it holds no short name"))
    return made


def test_the_report_names_what_frees_each_kind() -> None:
    """In a field of its own, so that a program need not take a sentence apart; null where nothing can be run."""
    report = replace(Records().report(), reclaimable={"unused_images": 7, "orphans": 5})
    (root,) = json.loads(report_json(report_of(report)))["disk"]
    images = {"kind": "unused_images", "allocated": 7, "command": "docker image prune --all", "remark": ""}
    orphans = {"kind": "orphans", "allocated": 5, "command": None, "remark": "by hand, after inspect has told of each"}
    assert root["reclaimable"] == {"unused_images": 7, "orphans": 5}
    assert root["freeable"] == [{"store": "overlay2", **images}, {"store": "overlay2", **orphans}]


def test_the_report_holds_everything(records: Records) -> None:
    """Not only the largest: every store, container, layer, image and problem, in bytes and Unix seconds."""
    base, top = records.layers
    (app,) = records.images
    web, idle = records.containers
    layers = records.layers
    document = json.loads(report_json(report_of(records.report())))
    workload = {"compose_project": "shop", "compose_service": "", "namespace": "", "pod": "", "container": ""}
    container = {
        "store": "overlay2",
        "container_id": web,
        "name": "web",
        "image": "app:1",
        "image_id": app,
        "state": "running",
        "created": MOMENT,
        "upper_directory": records.mounts[web].mount_id,
        "upper_size": 1,
        "upper_allocated": 4096,
        "upper_inodes": 2,
        "upper_measured_at": MOMENT,
        "upper_exact": True,
        "upper_limit": 1 << 30,
        "growers": [],
        "log_driver": "json-file",
        "log_allocated": 8192,
        "workload": workload,
        "mount_points": [],
    }
    assert document == {
        "taken_at": MOMENT,
        "stores": [
            {
                "store": "overlay2",
                "engine": "docker",
                "driver": "overlay2",
                "root": ROOT,
                "active": True,
                "measurable": True,
                "images": {"tagged": 1, "dangling": 0, "intermediate": 0},
                "layers": {
                    "shared": {"layers": 0, "size": 0},
                    "exclusive": {"layers": 2, "size": 1020},
                    "unreferenced": {"layers": 0, "size": 0},
                },
                "container_count": 2,
                "containers": {
                    "created": 0,
                    "running": 2,
                    "paused": 0,
                    "restarting": 0,
                    "exited": 0,
                    "dead": 0,
                },
                "uppers": {"measured": 1, "size": 1, "allocated": 4096, "inodes": 2},
                "log_allocated": 8192,
                "problems": 1,
            }
        ],
        "storeless": [],
        "containers": [
            container,
            {
                **container,
                "container_id": idle,
                "name": "idle",
                "image": app,
                "upper_directory": records.mounts[idle].mount_id,
                "upper_size": None,
                "upper_allocated": None,
                "upper_inodes": None,
                "upper_measured_at": None,
                "upper_exact": None,
                "upper_limit": None,
                "log_allocated": None,
                "workload": dict.fromkeys(workload, ""),
            },
        ],
        "layers": [
            {
                "store": "overlay2",
                "chain_id": chain_id,
                "diff_id": layers[chain_id].diff_id,
                "parent": layers[chain_id].parent,
                "cache_id": layers[chain_id].cache_id,
                "chain_id_recomputes": True,
                "size": layers[chain_id].size,
                "images": [{"image_id": app, "names": ["app:1"]}],
                "containers": 2,
            }
            for chain_id in (base, top)
        ],
        "images": [
            {
                "store": "overlay2",
                "image_id": app,
                "names": ["app:1"],
                "state": "tagged",
                "created": MOMENT,
                "platform": "linux/amd64",
                "size": 1020,
                "unique": 1020,
                "shared": 0,
                "containers": 2,
                "layers": [base, top],
            }
        ],
        "problems": [
            {"store": "overlay2", "kind": "empty_link", "path": "/d/link", "reason": "it holds no short name"}
        ],
        "disk": [
            {
                "root": ROOT,
                "stores": ["overlay2"],
                "owners": [],
                "untold": None,
                "areas": dict.fromkeys(("layers", "containers", "volumes", "build", "metadata", "content", "other")),
                "volumes": {},
                "allocated": None,
                "elsewhere": None,
                "filesystem": None,
                "reclaimable": {},
                "freeable": [],
            }
        ],
    }


def test_what_is_not_known_in_sum_is_null() -> None:
    """Of containers of which none was measured there is no sum; of no containers it is 0."""
    records = Records()
    (empty,) = json.loads(report_json(report_of(records.report())))["stores"]
    records.container(None, name="web")
    (unmeasured,) = json.loads(report_json(report_of(records.report())))["stores"]
    assert [empty["uppers"], empty["log_allocated"]] == [
        {"measured": 0, "size": 0, "allocated": 0, "inodes": 0},
        0,
    ]
    assert [unmeasured["uppers"], unmeasured["log_allocated"]] == [
        {"measured": 0, "size": None, "allocated": None, "inodes": None},
        None,
    ]


KEYS = {
    "image": "record there image_id names state created platform parent size unique shared layers_of_unknown_size "
    "containers layers problems",
    "layer": "layer below above same_files problems",
    "directory": "directory claims owner doubt allocated needed_by problems",
    "container": "record mount_record container_id name state removing pid created image_reference image image_there "
    "workload upper upper_limit init lower merged mounted config host_config log mount_points problems",
}


@pytest.mark.parametrize("kind", KEYS)
def test_the_keys_of_an_inspection_are_stable(records: Records, kind: str) -> None:
    """Programs read them: a match tells its kind, ID, store and how it was found, and under its kind all the rest."""
    layer = next(iter(records.layers.values()))
    needle = {"image": "app:1", "layer": layer.chain_id, "directory": layer.cache_id, "container": "web"}[kind]
    assert needle is not None
    document = json.loads(inspection_json(find([records.report()], needle)))
    (match,) = document["matches"]
    assert list(document) == ["needle", "stores", "matches", "near"]
    assert list(match) == ["kind", "id", "store", "matched_by", kind]
    assert " ".join(match[kind]) == KEYS[kind]


def test_a_layer_in_json(records: Records) -> None:
    """Identities whole, sizes in bytes, and null for what is not known."""
    base = next(iter(records.layers.values()))
    assert base.cache_id is not None
    records.change_layer(base.chain_id, size=None)
    (match,) = json.loads(inspection_json(find([records.report()], base.chain_id)))["matches"]
    directory = records.directories[base.cache_id]
    assert match["layer"]["layer"] == {
        "record": f"{ROOT}/image/overlay2/layerdb/sha256/{base.chain_id.removeprefix('sha256:')}",
        "there": True,
        "chain_id": base.chain_id,
        "diff_id": base.diff_id,
        "parent": None,
        "chain_id_recomputes": True,
        "size": None,
        "directory": {
            "name": base.cache_id,
            "path": f"{ROOT}/overlay2/{base.cache_id}",
            "there": True,
            "diff_path": f"{ROOT}/overlay2/{base.cache_id}/diff",
            "short_name": directory.link,
            "short_name_leads_here": True,
            "lower": None,
            "committed": False,
            "mounted": False,
            "modified": MOMENT,
        },
        "created_by": ["ADD rootfs"],
        "images": [{"image_id": next(iter(records.images)), "names": ["app:1"]}],
        "containers": [
            {"container_id": container_id, "name": container.name, "state": "running"}
            for container_id, container in sorted(records.containers.items(), key=lambda item: item[1].name)
        ],
    }


def test_nothing_found_in_json(records: Records) -> None:
    """No matches, and what is called much like it."""
    assert json.loads(inspection_json(find([records.report()], "wbe"))) == {
        "needle": "wbe",
        "stores": ["overlay2"],
        "matches": [],
        "near": ["web"],
    }


def test_an_ambiguous_text_gives_all_matches(records: Records) -> None:
    """Each in full."""
    records.container(None, name="app:1")
    matches = json.loads(inspection_json(find([records.report()], "app:1")))["matches"]
    assert {"image", "container"} == {match["kind"] for match in matches}


def test_json_is_ascii(records: Records) -> None:
    """No name in it reaches a terminal as an escape, or breaks where there is no UTF-8."""
    hostile = '\x1b[2J\u202e\ud800\x9b\n"\\é'
    records.container(None, name=hostile)
    outputs = [report_json(report_of(records.report())), inspection_json(find([records.report()], hostile))]
    for output in outputs:
        assert output.isascii()
        assert output.replace("\n", "").isprintable()
    assert hostile in {container["name"] for container in json.loads(outputs[0])["containers"]}
    assert digest("container 2") == json.loads(outputs[1])["matches"][0]["id"]
