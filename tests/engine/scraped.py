"""An engine with something of everything, and its figures as a scrape and as the engine itself tell them."""

from collections import Counter

from tests.engine.agreement import Facts
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.serving import Scrape


def short(identity: str) -> str:
    """As engines print it."""
    return identity.removeprefix("sha256:")[:12]


def populate(docker: Docker) -> None:
    """Images that share layers, one of them without a name, and containers in several states."""
    build(docker, BASE, tag="base")
    build(docker, "FROM base\nRUN echo 1 > /srv/one", tag="derived")
    build(docker, "FROM base\nRUN echo 2 > /srv/one", tag="derived")
    build(docker, f"{BASE}\nRUN head -c 12345 /dev/urandom > /srv/two", tag="other:tag", buildkit=True)
    for name, image in [("web", "derived"), ("db", "other:tag"), ("idle", "base")]:
        docker.cli("run", "--detach", "--network=none", f"--name={name}", image, "sleep", "86400")
        docker.cli("exec", name, "sh", "-c", f"head -c 54321 /dev/urandom > /{name}; rm /srv/file; ln /{name} /linked")
    docker.cli("create", "--network=none", "--name=made", "base", "true")
    docker.cli("stop", "--time=0", "idle")
    docker.cli("pause", "db")


def told_by_scrape(scrape: Scrape) -> dict[str, dict[str, float]]:
    """The figures of a scrape that the engine knows too."""
    return {
        "upper size": scrape.by("container_id", "layerstore_container_upper_size_bytes"),
        "upper allocated": scrape.by("container_id", "layerstore_container_upper_allocated_bytes"),
        "image size": scrape.by("image_id", "layerstore_image_size_bytes"),
        "image unique": scrape.by("image_id", "layerstore_image_unique_bytes"),
        "image shared": scrape.by("image_id", "layerstore_image_shared_bytes"),
        "image containers": scrape.by("image_id", "layerstore_image_containers"),
        "layer images": {
            chain_id: count for chain_id, count in scrape.by("chain_id", "layerstore_layer_images").items() if count
        },
        "images": scrape.by("state", "layerstore_images"),
        "containers": {state: count for state, count in scrape.by("state", "layerstore_containers").items() if count},
    }


def expected_of_scrape(facts: Facts) -> dict[str, dict[str, float]]:
    """The same, as the engine told."""
    return {
        "upper size": {short(key): container.upper_size for key, container in facts.containers.items()},
        "upper allocated": {short(key): container.upper_allocated for key, container in facts.containers.items()},
        "image size": {short(key): head.size for key, head in facts.heads.items()},
        "image unique": {short(key): head.unique for key, head in facts.heads.items()},
        "image shared": {short(key): head.shared for key, head in facts.heads.items()},
        "image containers": {short(key): head.containers for key, head in facts.heads.items()},
        "layer images": {short(key): count for key, count in facts.layer_images.items()},
        "images": dict(facts.image_states),
        "containers": dict(Counter(container.state for container in facts.containers.values())),
    }
