"""A random life of an engine, the same for the same seed: built, tagged, run, written to, removed, started again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.engine.docker import Docker, Registry
from tests.engine.images import BASE, archive, build
from tests.engine.processes import ProcessError

NAMES = [f"image{number}" for number in range(6)]
"""Few, so that a name is often taken from one image and given to another."""
NAMELESS = "without a name"
MOST_CONTAINERS = 8


@dataclass(slots=True)
class Life:
    """One engine, and what it was told to do so far."""

    docker: Docker
    random: Random
    registry: Registry | None = None
    """Where images can be pushed to and pulled from, should there be one."""
    tags: list[str] = field(default_factory=list)
    """The names that images have now."""
    containers: dict[str, str] = field(default_factory=dict)
    """Name to state: created, running, paused or exited."""
    pushed: list[str] = field(default_factory=list)
    """What can be pulled, by tag and by digest."""
    made: int = 0
    """How many things were made: their names count on."""
    story: list[str] = field(default_factory=list)
    """What was done, for whoever has to find out why it came out wrong."""

    def step(self) -> None:
        """Do one thing at random, of those that can be done now. One that the engine refuses is a step too."""
        choices = [(act, weight) for act, weight, possible in _ACTS if possible(self)]
        (act,) = self.random.choices([act for act, _ in choices], [weight for _, weight in choices])
        try:
            self.story.append(act(self))
        except ProcessError as error:
            if "conflict" not in str(error):
                raise
            self.story.append(f"refused: {error}".partition("\nThe daemon")[0])
        self._look()

    def _look(self) -> None:
        """See what there is now. In the order of the names: nothing random of the engine's gets in."""
        names = {
            tag.removesuffix(":latest") for image in self.docker.api("/images/json") for tag in image["RepoTags"] or ()
        }
        self.tags = sorted(names.intersection((*NAMES, *self.pushed)))
        listed = self.docker.api("/containers/json?all=1")
        self.containers = dict(sorted((listing["Names"][0][1:], listing["State"]) for listing in listed))

    def in_state(self, *states: str) -> list[str]:
        """The names of the containers in one of the states."""
        return [name for name, state in self.containers.items() if state in states]

    def some(self, *states: str) -> str:
        """The name of a container in one of the states."""
        return self.random.choice(self.in_state(*states))

    def name(self) -> str:
        """A name for an image; now and then none."""
        return self.random.choice([*NAMES, ""])

    def number(self) -> int:
        """The next number."""
        self.made += 1
        return self.made


def _build(life: Life) -> str:
    number, buildkit = life.number(), life.random.random() < 0.4
    base = life.random.choice([*life.tags, ""]) if life.tags else ""
    steps = [
        f"RUN head -c {life.random.randrange(1, 50_000)} /dev/urandom > /srv/{number}",
        f"COPY data /srv/data{number}",
        "RUN true",
        "RUN rm -f /srv/file && mkdir -p /srv/new && ln -f /bin/busybox /srv/new/linked",
        f"LABEL number={number}",
    ]
    dockerfile = "\n".join([f"FROM {base}" if base else BASE, *life.random.sample(steps, life.random.randrange(1, 4))])
    tag = life.name()
    build(life.docker, dockerfile, tag=tag, files={"data": bytes([number % 256]) * 5000}, buildkit=buildkit)
    return f"build {tag or NAMELESS} from {base or 'busybox'} by {'BuildKit' if buildkit else 'the classic builder'}"


def _import(life: Life) -> str:
    number, tag = life.number(), life.name()
    # With a shell, so that what is made from it can run.
    dockerfile = f"{BASE}\nRUN echo {number} > /srv/imported"
    source = life.docker.cli("create", build(life.docker, dockerfile), "sh")
    life.docker.cli("export", f"--output={life.docker.root}/export.tar", source)
    life.docker.cli("rm", source)
    life.docker.cli("import", f"{life.docker.root}/export.tar", *filter(None, [tag]))
    return f"import {tag or NAMELESS}"


def _load(life: Life) -> str:
    tag, file = life.random.choice(life.tags), f"{life.docker.root}/saved.tar"
    life.docker.cli("save", f"--output={file}", tag)
    life.docker.cli("rmi", "--force", tag)
    life.docker.cli("load", f"--input={file}")
    return f"save, remove and load {tag}"


def _commit(life: Life) -> str:
    container, tag = life.some("created", "running", "exited"), life.name()
    image = life.docker.api(f"/containers/{container}/json")["Image"]
    if image not in {listed["Id"] for listed in life.docker.api("/images/json?all=1")}:
        return f"leave {container} alone: the engine commits no container whose image was removed"
    life.docker.cli("commit", container, *filter(None, [tag]))
    return f"commit {container} as {tag or NAMELESS}"


def _push(life: Life) -> str:
    tag = life.random.choice([tag for tag in life.tags if tag in NAMES])
    assert life.registry is not None
    name = f"{life.registry.address}/{tag}"
    life.docker.cli("tag", tag, name)
    life.docker.cli("push", "--quiet", name)
    digests = life.docker.api(f"/images/{name}/json")["RepoDigests"]
    life.pushed += [name, *(digest for digest in digests if digest.startswith(f"{name}@"))]
    return f"push {name}"


def _pull(life: Life) -> str:
    name = life.random.choice(life.pushed)
    life.docker.cli("pull", "--quiet", name)
    return f"pull {name}"


def _tag(life: Life) -> str:
    old, new = life.random.choice(life.tags), life.random.choice(NAMES)
    life.docker.cli("tag", old, new)
    return f"tag {old} as {new}"


def _untag(life: Life) -> str:
    tag, options = life.random.choice(life.tags), life.random.choice([(), ("--no-prune",)])
    life.docker.cli("rmi", "--force", *options, tag)
    return f"rmi {' '.join(options)} {tag}"


def _remove_image(life: Life) -> str:
    """By its ID: all its names at once. The engine refuses while a container runs it or an image was built on it."""
    tag = life.random.choice(life.tags)
    image = life.docker.api(f"/images/{tag}/json")
    life.docker.cli("rmi", "--force", image["Id"])
    return f"rmi by ID of {', '.join(image['RepoTags'])}"


def _create(life: Life) -> str:
    name, tag = f"container{life.number()}", life.random.choice(life.tags)
    life.docker.cli("create", f"--name={name}", *_options(life), tag, "sleep", "86400")
    return f"create {name} from {tag}"


def _run(life: Life) -> str:
    name, tag = f"container{life.number()}", life.random.choice(life.tags)
    life.docker.cli("run", "--detach", f"--name={name}", *_options(life), tag, "sleep", "86400")
    return f"run {name} from {tag}"


def _run_and_remove(life: Life) -> str:
    tag, script = life.random.choice(life.tags), "rm -rf /srv/old; echo > /written"
    life.docker.cli("run", "--rm", *_options(life), tag, "sh", "-c", script)
    return f"run {tag} to its end, with --rm"


def _options(life: Life) -> list[str]:
    choices = [
        "--volume=/volume",
        "--log-driver=local",
        "--label=some=label",
        "--hostname=host",
        "--workdir=/made/here",
    ]
    return ["--network=none", *life.random.sample(choices, life.random.randrange(3))]


def _write(life: Life) -> str:
    name, number = life.some("running"), life.number()
    size = life.random.randrange(200_000)
    scripts = life.random.sample(
        [
            f"mkdir -p /data/{number} && head -c {size} /dev/urandom > /data/{number}/file",
            f"head -c {size} /dev/zero >> /data-file",
            f"truncate -s {size} /data-file",
            f"truncate -s {size * 1000} /sparse",
            "rm -rf /data /data-file /sparse",
            "echo linked >> /data-file; ln -f /data-file /hard; ln -f /data-file /harder",
            "rm -f /hard",
            f"ln -sf /data/{number} /soft",
            f"echo {number} > /srv/file",
            "rm -f /srv/file /srv/symlink",
            "rm -rf /srv/old",
            "rm -rf /srv/old; mkdir -p /srv/old/deep; echo again > /srv/old/file",
            "chmod -R 700 /srv; touch /bin/ls",
            f"rm -f /pipe{number}; mkfifo /pipe{number}",
            f"mv /srv /moved{number} && cp -a /moved{number} /srv",
            "i=0; mkdir -p /many; while [ $i -lt 200 ]; do echo > /many/$i; i=$((i+1)); done",
            f"echo {number} > /volume/file 2>/dev/null || true",
        ],
        3,
    )
    # Not every engine makes the working directory that a container is to have. These images have no /usr, and a host
    # has one: should an engine ever run this anywhere but in the container, it does nothing.
    life.docker.cli("exec", "--workdir=/", name, "sh", "-c", "; ".join(["[ ! -e /usr ] || exit 99", *scripts]))
    return f"in {name}: {'; '.join(scripts)}"


def _copy(life: Life) -> str:
    name, number = life.some("created", "running", "exited"), life.number()
    life.docker.cli("cp", "-", f"{name}:/", stdin=archive({f"copied{number}": b"x" * life.random.randrange(100_000)}))
    return f"copy a file into {name}"


def _change(*command: str, states: tuple[str, ...]) -> Callable[[Life], str]:
    def act(life: Life) -> str:
        container = life.some(*states)
        life.docker.cli(*command, container)
        return f"{command[0]} {container}"

    return act


def _rename(life: Life) -> str:
    old, new = life.random.choice(list(life.containers)), f"container{life.number()}"
    life.docker.cli("rename", old, new)
    return f"rename {old} to {new}"


def _restart(life: Life) -> str:
    end, how = life.random.choice([(life.docker.shut_down, "a shutdown"), (life.docker.kill, "a power cut")])
    end()
    life.docker.start()
    return f"the engine, started again after {how}"


def _remove(life: Life) -> str:
    name = life.random.choice(list(life.containers))
    life.docker.cli("rm", "--force", *life.random.choice([(), ("--volumes",)]), name)
    return f"rm {name}"


def _prune(life: Life) -> str:
    what = life.random.choice([("image",), ("image",), ("builder", "--all"), ("container",)])
    life.docker.cli(what[0], "prune", "--force", *what[1:])
    return f"{what[0]} prune"


def _always(_: Life) -> bool:
    return True


def _has_image(life: Life) -> bool:
    return bool(life.tags)


def _has_image_and_room(life: Life) -> bool:
    return bool(life.tags) and len(life.containers) < MOST_CONTAINERS


def _has_image_to_push(life: Life) -> bool:
    return life.registry is not None and any(tag in NAMES for tag in life.tags)


def _has(*states: str) -> Callable[[Life], bool]:
    return lambda life: bool(life.in_state(*states))


_ACTS: list[tuple[Callable[[Life], str], int, Callable[[Life], bool]]] = [
    (_build, 14, _always),
    (_import, 3, _always),
    (_load, 3, _has_image),
    (_commit, 6, _has("created", "running", "exited")),
    (_tag, 6, _has_image),
    (_push, 3, _has_image_to_push),
    (_pull, 4, lambda life: bool(life.pushed)),
    (_untag, 6, _has_image),
    (_remove_image, 3, _has_image),
    (_create, 4, _has_image_and_room),
    (_run, 13, _has_image_and_room),
    (_run_and_remove, 2, _has_image_and_room),
    (_write, 30, _has("running")),
    (_copy, 4, _has("created", "running", "exited")),
    (_change("stop", "--time=0", states=("running",)), 5, _has("running")),
    (_change("kill", states=("running",)), 1, _has("running")),
    (_change("start", states=("created", "exited")), 6, _has("created", "exited")),
    (_change("pause", states=("running",)), 3, _has("running")),
    (_change("unpause", states=("paused",)), 3, _has("paused")),
    (_rename, 2, lambda life: bool(life.containers)),
    (_remove, 6, lambda life: bool(life.containers)),
    # Not every kernel ends what is paused.
    (_restart, 2, lambda life: not life.in_state("paused")),
    (_prune, 3, _has_image),
]
"""What can be done, how often, and when."""
