"""Tests on real engines: Docker 20.10 with its registry, started here, each with a root of its own, on loopback only.

They need root, and of Debian ``docker.io``, ``docker-registry``, ``busybox-static``, ``util-linux`` (``unshare``,
``nsenter``, ``setpriv``), ``coreutils`` (``du``) and ``prometheus`` (``promtool``). What is missing skips the tests
that need it, or fails them under ``LAYERSTORE_REQUIRE_ENGINES=1``.

``LAYERSTORE_SEED`` repeats a random life, ``LAYERSTORE_STEPS`` and ``LAYERSTORE_CYCLES`` make the long tests longer.
"""
