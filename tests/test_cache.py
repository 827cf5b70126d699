"""What is kept on disk: found again, bounded, never taken from a process that uses it, and whole after a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dshgan_tf import cache
from dshgan_tf.commands.main import main
from dshgan_tf.data import feature_cache
from dshgan_tf.data.feature_cache import FeatureCache, image_digests


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dshgan_tf"


def in_another_process(work):
    """Run in a process of its own, which takes no locks along; return its exit status, negative for a signal."""
    child = os.fork()
    if not child:
        try:
            cache._locks.clear()
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def entry_of_another_process(name, megabytes, age, kind="images"):
    """An entry as a process leaves it that has ended."""

    def work():
        folder = cache.use_entry(kind, name, f"pictures of {name}")
        (folder / "decoded.npy").write_bytes(bytes(megabytes * 10**6))
        os.utime(folder / cache.IN_USE, (time.time() - age,) * 2)

    assert in_another_process(work) == 0


def names():
    return [entry.folder.name for entry in cache.entries()]


def test_what_was_not_used_for_the_longest_time_goes_first(capsys):
    for name, age in (("old", 300_000), ("new", 10), ("middle", 1000)):
        entry_of_another_process(name, 2, age)
    assert names() == ["new", "middle", "old"] and cache.limit() == 20 * 10**9
    cache.use_entry("images", "old", "pictures of old")  # used again, so now it is the newest
    cache.set_limit(4_900_000)
    cache.keep_to_limit()
    assert names() == ["old", "new"]
    assert "over its limit: images of pictures of middle went, unused for less than a day" in capsys.readouterr().err
    cache.set_limit(0)
    cache.keep_to_limit()
    assert names() == ["old"]  # it is in use
    assert "all in use" in capsys.readouterr().err


def test_what_another_process_uses_stays():
    code = """
import sys
from dshgan_tf.cache import use_entry
use_entry("features", "busy", "a trunk")
print("ready", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout.readline() == "ready\n"
        (entry,) = cache.entries()
        assert not cache.remove(entry) and names() == ["busy"]
    assert cache.remove(entry) and names() == [] and cache.remove(entry)


def test_the_command_lists_clears_and_limits(capsys):
    entry_of_another_process("one", 3, 5)
    entry_of_another_process("two", 1, 5000, "features")
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "pictures of one" in shown and "features" in shown and "0.00 GB of 20.00 GB" in shown
    assert main(["cache", "limit", "3.5MB"]) == 0
    assert names() == ["one"] and "0.00 GB of 0.00 GB" in capsys.readouterr().out
    assert main(["cache", "limit", "1 TB"]) == 0 and cache.limit() == 10**12
    assert main(["cache", "clear"]) == 0 and names() == []
    capsys.readouterr()
    for wrong in (["cache", "limit"], ["cache", "clear", "1GB"], ["cache", "limit", "many"]):
        assert main(wrong) == 2
    assert "a size is a number with a unit, such as 20GB or 500MB, got 'many'" in capsys.readouterr().err


def test_a_damaged_limit_or_account_is_no_end(folder):
    entry_of_another_process("one", 1, 5)
    (folder / "limit.json").write_text("{")
    (folder / "images" / "one" / cache.ABOUT).write_text("")
    assert cache.limit() == cache.DEFAULT_LIMIT and [entry.about for entry in cache.entries()] == ["?"]


@pytest.mark.parametrize("write", [1, 2, 3, 4, 9, 10])
def test_features_of_a_killed_process_are_whole_or_absent(tmp_path, write):
    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1)
    features = np.arange(50, dtype=np.float32).reshape(10, 5)
    calls, whole_append = [], feature_cache._append

    def append_half_and_die(path, end, contents):
        calls.append(path)
        if len(calls) == write:
            whole_append(path, end, contents[: len(contents) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        whole_append(path, end, contents)

    def work():
        feature_cache._append = append_half_and_die
        store = FeatureCache(tmp_path / "f", 5)
        for start in range(0, 10, 2):
            store.add(image_digests(images[start : start + 2]), features[start : start + 2])

    assert in_another_process(work) == -signal.SIGKILL
    kept = FeatureCache(tmp_path / "f", 5)
    rows = kept.find(image_digests(images))
    # Two writes for two images, features first: half of the second one names one image.
    whole = 2 * ((write - 1) // 2) + (write % 2 == 0)
    assert (rows >= 0).sum() == whole
    np.testing.assert_array_equal(kept.features[rows[:whole]], features[:whole])
    kept.add(image_digests(images[whole:]), features[whole:])
    np.testing.assert_array_equal(kept.features[kept.find(image_digests(images))], features)


def test_an_entry_says_what_it_is_of(folder):
    path = cache.use_entry("features", "abc", "a trunk, 8 x 8")
    assert json.loads((path / cache.ABOUT).read_text()) == {"about": "a trunk, 8 x 8"}
    assert path == folder / "features" / "abc"
