"""`dshgan encode-all`: every image is in the output exactly once, whatever was killed, with the codes of `encode`."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow
import pytest
from PIL import Image
from pyarrow import csv, parquet

import dshgan_tf as dsh
from dshgan_tf.bulk_encoding import encode_all as driver
from dshgan_tf.bulk_encoding import plan
from dshgan_tf.bulk_encoding.code_files import names_of
from dshgan_tf.bulk_encoding.encoders import identity, open_encoder
from dshgan_tf.commands.main import main
from dshgan_tf.files import checksum

PROGRAM = (
    "import dshgan_tf.bulk_encoding.plan as plan; plan.SHARD = 20\n"
    "from dshgan_tf.commands.main import entry\n"
    "if __name__ == '__main__': entry()\n"
)


def digits(count):
    rng, images = np.random.default_rng(0), dsh.data.load("digits").database.images
    noise = rng.normal(0, 20, (count, *images.shape[1:]))
    return np.clip(images[np.arange(count) % len(images)] + noise, 0, 255).astype(np.uint8)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def write_folder(folder, images):
    for i, image in enumerate(images):
        path = folder / f"{i // 1000}" / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    return folder


@pytest.fixture(scope="module")
def kit(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit")
    assert main(["export", str(trained), "--format", "tflite", "--output", str(folder / "edge")]) == 0
    assert main(["export", str(trained), "--format", "saved_model", "--output", str(folder / "served")]) == 0
    return folder


@pytest.fixture(scope="module")
def model(kit):
    return kit / "edge" / "encoder_float32.tflite"


@pytest.fixture(scope="module")
def images():
    return digits(60)


@pytest.fixture(scope="module")
def expected(trained, images):
    return dsh.load_model(trained / "model.keras").encode(images)


@pytest.fixture
def shards_of_20(monkeypatch):
    monkeypatch.setattr(plan, "SHARD", 20)


def command(source, model, output, *flags):
    return ["encode-all", str(source), "--model", str(model), "--output", str(output), "--workers", "1", *flags]


def rows(output):
    files = sorted(output.glob("codes-*.parquet"))
    return pyarrow.concat_tables([parquet.read_table(path) for path in files]).to_pylist()


def codes_of(found):
    return np.stack([np.frombuffer(row["code"], np.uint8) for row in found])


def workers_of(process):
    """Processes that hash: children of the driver other than the tracker of its resources."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


def test_worker_and_driver_killed(trained, model, tmp_path):
    """2,000 files in shards of 20, two workers, one of them killed, then the driver; the same command again ends it."""
    images = digits(2000)
    folder, output = write_folder(tmp_path / "photos", images), tmp_path / "codes"
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = [sys.executable, str(tmp_path / "program.py"), *command(folder, model, output)[:-1], "2"]

    def done():
        return len(list(output.glob("codes-*.parquet")))

    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(lambda: done() >= 5, process)
        worker = workers_of(process)[0]
        worker.kill()
        before = done()
        wait_for(lambda: done() >= before + 10, process)
        process.kill()
    assert 15 <= done() < 100 and not (output / "manifest.json").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in output.glob("codes-*.parquet")}
    again = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "2,000 images in 100 files" in again.stdout and again.stderr == ""
    found = rows(output)
    assert [row["path"] for row in found] == [f"{i // 1000}/{i:05d}.png" for i in range(2000)]
    assert len({row["id"] for row in found}) == 2000
    np.testing.assert_array_equal(codes_of(found), dsh.load_model(trained / "model.keras").encode(images))
    # What was there is not made again.
    changed = [name for name, then in kept.items() if (output / name).stat().st_mtime_ns != then]
    assert not changed and done() == 100


def test_a_second_call_does_what_is_missing(model, images, expected, tmp_path, shards_of_20, capsys):
    folder, output = write_folder(tmp_path / "photos", images[:50]), tmp_path / "codes"
    (folder / "0" / "00003.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("mine")
    assert main(command(folder, model, output)) == 0
    printed = capsys.readouterr().out
    assert "50 images in 3 files, codes of 12 bits (50 read now)" in printed
    assert "1 cannot be read" in printed and "not read, no known image format: 1 .txt" in printed
    (broken,) = [row for row in rows(output) if row["error"]]
    assert broken["path"] == "0/00003.png" and broken["code"] is None and "cannot read 0/00003.png" in broken["error"]
    # A file is lost, one image goes, ten come.
    times = {path.name: path.stat().st_mtime_ns for path in output.glob("codes-*.parquet")}
    (output / "codes-000001.parquet").unlink()
    (folder / "0" / "00049.png").unlink()
    write_folder(folder, images[:49])
    for i in range(50, 60):
        (folder / "0" / f"{i:05d}.png").write_bytes(png(images[i]))
    assert main(command(folder, model, output)) == 0
    printed = capsys.readouterr().out
    assert "60 images in 4 files" in printed and "(30 read now)" in printed
    assert "1 are in the source no more; their rows stay" in printed
    assert all((output / name).stat().st_mtime_ns == times[name] for name in times if "1.parquet" not in name)
    found = rows(output)
    assert [row["path"] for row in found] == [f"0/{i:05d}.png" for i in range(60)]
    assert [row["id"] for row in found[::20]] == [0, 1_000_000, 2_000_000] and found[-1]["id"] == 3_000_009
    kept = [i for i in range(60) if i != 3]
    np.testing.assert_array_equal(codes_of([found[i] for i in kept]), expected[kept])
    assert all((row["width"], row["height"]) == (8, 8) for row in found if not row["error"])
    # The manifest is counted on disk.
    manifest = json.loads((output / "manifest.json").read_text())
    assert (manifest["images"], manifest["broken"], manifest["num_bits"]) == (60, 1, 12)
    assert manifest["model_sha256"] == checksum(model) and manifest["not_read"] == {".txt": 1}
    for name, file in manifest["files"].items():
        assert file["sha256"] == checksum(output / name)
        assert file["images"] == parquet.read_metadata(output / name).num_rows


def write_tar(path, images, first):
    with tarfile.open(path, "w") as archive:
        for i, image in enumerate(images, first):
            for name, data in ((f"{i:05d}.png", png(image)), (f"{i:05d}.cls", b"7")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def as_tars(folder, images):
    folder.mkdir()
    write_tar(folder / "a-0.tar", images[:40], 0)
    write_tar(folder / "a-1.tar", images[40:], 40)
    return folder, [f"a-{i // 40}.tar/{i:05d}.png" for i in range(60)]


def as_bytes(folder, images):
    folder.mkdir()
    table = pyarrow.table({"image": [png(image) for image in images], "label": list(range(60))})
    parquet.write_table(table, folder / "all.parquet")
    return folder / "all.parquet", [f"all.parquet#{i}" for i in range(60)]


def as_hugging_face(folder, images):
    folder.mkdir()
    rows = [{"bytes": png(image), "path": f"{i}.png"} for i, image in enumerate(images)]
    parquet.write_table(pyarrow.table({"image": rows}), folder / "train.parquet")
    return folder, [f"{i}.png" for i in range(60)]


def as_table(folder, images):
    """A table of URLs, absolute paths and relative ones."""
    write_folder(folder, images)
    names = [f"0/{i:05d}.png" for i in range(60)]
    names[1], names[2] = f"file://{folder}/{names[1]}", f"{folder}/{names[2]}"
    csv.write_csv(pyarrow.table({"path": names, "labels": [""] * 60}), folder / "list.csv")
    return folder / "list.csv", names


def as_parquet_table(folder, images):
    write_folder(folder, images)
    names = [f"0/{i:05d}.png" for i in range(60)]
    parquet.write_table(pyarrow.table({"path": names}), folder / "list.parquet")
    return folder / "list.parquet", names


def as_url(folder, images):
    write_folder(folder, images)
    return f"file://{folder}", [f"0/{i:05d}.png" for i in range(60)]


@pytest.mark.parametrize("write", [as_tars, as_bytes, as_hugging_face, as_table, as_parquet_table, as_url])
def test_every_kind_of_source_has_the_codes_of_encode(write, model, images, expected, tmp_path):
    source, names = write(tmp_path / "source", images)
    assert main(command(source, model, tmp_path / "codes")) == 0
    found = rows(tmp_path / "codes")
    assert [row["path"] for row in found] == names
    np.testing.assert_array_equal(codes_of(found), expected)


def test_labels_in_a_tar_are_counted(model, images, tmp_path, capsys):
    source, _ = as_tars(tmp_path / "source", images)
    assert main(command(source, model, tmp_path / "codes")) == 0
    assert "not read, no known image format: 60 .cls" in capsys.readouterr().out


def test_damaged_containers_lose_no_row_without_a_line(model, images, tmp_path):
    source, names = as_tars(tmp_path / "source", images)
    whole = (source / "a-0.tar").read_bytes()
    member = whole.index(b"00020.png")
    for cut in (member, member + 300, member + 520):  # between members, within a header, within an image
        (source / "a-0.tar").write_bytes(whole[:cut])
        output = tmp_path / f"codes{cut}"
        assert main(command(source, model, output)) == 0
        found = rows(output)
        (broken,) = [row for row in found if row["error"]]
        assert broken["path"] == "a-0.tar" and "what follows in it is lost" in broken["error"]
        assert [row["path"] for row in found if row is not broken] == names[:20] + names[40:]


def test_a_bad_header_and_a_second_archive_are_told(model, images, tmp_path):
    """`tarfile` stops at both without an error."""
    source, names = as_tars(tmp_path / "source", images)
    first, second = ((source / f"a-{i}.tar").read_bytes() for i in range(2))
    member = first.index(b"00020.png")
    (source / "a-0.tar").write_bytes(first[:member] + b"\xff" + first[member + 1 :])
    (source / "a-1.tar").write_bytes(second + second)
    assert main(command(source, model, tmp_path / "codes")) == 0
    found = rows(tmp_path / "codes")
    assert [row["path"] for row in found if row["error"]] == ["a-0.tar", "a-1.tar"]
    assert [row["path"] for row in found if not row["error"]] == names[:20] + names[40:]


def test_one_bad_item_is_one_row(model, images, tmp_path):
    folder = tmp_path / "parquet"
    folder.mkdir()
    parquet.write_table(
        pyarrow.table({"image": [png(image) for image in images], "path": list(range(60))}), folder / "a.parquet"
    )
    whole = (folder / "a.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(b"PAR1")
    (folder / "c.parquet").write_bytes(whole[:200] + bytes(200) + whole[400:])  # a page, not the footer
    parquet.write_table(pyarrow.table({"other": [1]}), folder / "d.parquet")
    assert main(command(folder, model, tmp_path / "codes")) == 0
    found = rows(tmp_path / "codes")
    assert [row["path"] for row in found[:60]] == [str(i) for i in range(60)]
    broken = {row["path"]: row["error"] for row in found if row["error"]}
    assert all("is no whole Parquet file" in broken[name] for name in ("b.parquet", "d.parquet"))
    assert any(name in broken for name in ("c.parquet", "0", "1"))
    write_folder(tmp_path / "photos", images[:2])
    names = ["0/00000.png", "0/00001.png/x.png", "nope://x.png", "0/none.png", "a" * 300 + ".png"]
    csv.write_csv(pyarrow.table({"path": [*names, ""]}), tmp_path / "photos" / "list.csv")
    assert main(command(tmp_path / "photos" / "list.csv", model, tmp_path / "listed")) == 0
    found = rows(tmp_path / "listed")
    assert [row["path"] for row in found] == names and [row["error"] is None for row in found] == [True] + 4 * [False]
    assert json.loads((tmp_path / "listed" / "manifest.json").read_text())["not_read"] == {"rows without a path": 1}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_containers_in_subfolders_keep_their_names(scheme, model, images, expected, tmp_path, capsys):
    for name, first in (("a", 0), ("b", 30)):
        (tmp_path / "source" / name).mkdir(parents=True)
        write_tar(tmp_path / "source" / name / "s.tar", images[first : first + 30], first)
    (tmp_path / "source" / "notes.txt").write_text("mine")
    (tmp_path / "source" / "t.parquet").write_bytes(b"")
    assert main(command(f"{scheme}{tmp_path / 'source'}", model, tmp_path / "codes")) == 0
    found = rows(tmp_path / "codes")
    assert [row["path"] for row in found] == [f"{'ab'[i // 30]}/s.tar/{i:05d}.png" for i in range(60)]
    np.testing.assert_array_equal(codes_of(found), expected)
    printed = capsys.readouterr().out
    assert "1 .parquet" in printed and "1 .txt" in printed and "60 .cls" in printed


def test_one_driver_at_a_time(model, images, tmp_path, capsys):
    source, output = write_folder(tmp_path / "photos", images[:2]), tmp_path / "codes"
    with driver._alone(output):
        assert "another call writes to" in refused(capsys, command(source, model, output))
    assert main(command(source, model, output)) == 0


def test_a_file_of_other_rows_is_found(model, images, tmp_path, capsys, shards_of_20):
    source, output = write_folder(tmp_path / "photos", images[:41]), tmp_path / "codes"
    assert main(command(source, model, output)) == 0
    (output / "codes-000002.parquet").write_bytes((output / "codes-000001.parquet").read_bytes())
    capsys.readouterr()
    assert "has 20 rows, not 1; delete it" in refused(capsys, command(source, model, output))


def test_a_worker_opens_anew_what_was_exported_anew(kit, model, tmp_path):
    copy = tmp_path / "encoder.tflite"
    copy.write_bytes(model.read_bytes())
    copy.with_suffix(".json").write_bytes(model.with_suffix(".json").read_bytes())
    before = open_encoder(copy, "litert", identity(copy))
    assert open_encoder(copy, "litert", identity(copy)) is before
    with pytest.raises(ValueError, match="on a worker"):
        open_encoder(copy, "litert", identity(kit / "served" / "1"))


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_saved_model_hashes_by_two_engines(engine, kit, images, expected, trained, tmp_path):
    source = write_folder(tmp_path / "photos", images)
    flags = ("--engine", engine, "--relaxed")
    assert main(command(source, kit / "served" / "1", tmp_path / "codes", *flags)) == 0
    found = rows(tmp_path / "codes")
    np.testing.assert_array_equal(codes_of(found), expected)
    relaxed = dsh.load_model(trained / "model.keras").predict_streams(images)["relaxed_codes"]
    np.testing.assert_allclose([row["relaxed_code"] for row in found], relaxed, atol=1e-5)


def test_engines_in_this_process(kit, model, images, expected):
    """What a worker calls; a worker is another process, which no test sees into."""
    for path, engine in ((model, "litert"), (kit / "served" / "1", "tensorflow"), (kit / "served" / "1", "openvino")):
        encoder = open_encoder(path, engine, identity(path))
        codes, relaxed = encoder.run(images)
        assert encoder.image_shape == (8, 8, 1) and encoder.num_bits == 12 and relaxed.shape == (60, 12)
        np.testing.assert_array_equal(codes, expected)


def test_a_scheduler_elsewhere(model, images, expected, tmp_path):
    """Scheduler and worker are processes of their own, as on other machines."""
    source = write_folder(tmp_path / "photos", images)
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
    about = tmp_path / "scheduler.json"
    with subprocess.Popen([*scheduler, "--scheduler-file", str(about)], stderr=subprocess.DEVNULL) as process:
        wait_for(about.exists, process)
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(about), "--no-dashboard"]
        with subprocess.Popen(worker, stderr=subprocess.DEVNULL, cwd=tmp_path) as other:
            try:
                address = json.loads(about.read_text())["address"]
                given = command(source, model, tmp_path / "codes")[:-2]
                assert main([*given, "--scheduler", address]) == 0
            finally:
                other.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGTERM)
    np.testing.assert_array_equal(codes_of(rows(tmp_path / "codes")), expected)


def test_codes_are_searched_where_they_lie(model, images, tmp_path, capsys):
    """`dshgan search --codes`: names, distances, ids and ties of a plain index; built again where codes were added."""
    source, output = write_folder(tmp_path / "photos", images[:40]), tmp_path / "codes"
    (source / "0" / "broken.png").write_bytes(b"no image")
    assert main(command(source, model, output)) == 0
    names = sorted(f"0/{path.name}" for path in (source / "0").iterdir())

    def search(*flags):
        capsys.readouterr()
        query = source / names[3]
        assert main(["search", str(model), str(query), "--codes", str(output), "--json", *flags]) == 0
        return [(row["distance"], row["name"]) for row in json.loads(capsys.readouterr().out)[0]["neighbours"]]

    def expected(k):
        known = {row["path"]: row for row in rows(output) if row["code"] is not None}
        codes = codes_of(list(known.values()))
        index = dsh.HammingIndex(12)
        index.add(codes, np.array([row["id"] for row in known.values()]))
        distances, ids = index.search(codes[list(known).index(names[3])][None], k)
        by_id = {row["id"]: path for path, row in known.items()}
        return [(distance, by_id[i]) for distance, i in zip(distances[0], ids[0], strict=True)]

    assert search("--k", "40") == expected(40)
    assert search("--radius", "0") == [found for found in expected(40) if found[0] == 0]
    (first,) = output.glob("index-*")
    again = first.stat().st_mtime_ns
    assert len(search()) == 10 and first.stat().st_mtime_ns == again  # built once
    write_folder(source, images)
    assert main(command(source, model, output)) == 0
    assert search("--k", "60") == expected(60)
    assert [path for path in output.glob("index-*") if path != first] and not first.exists()
    given = ["search", str(model), str(source / names[3]), "--codes", str(output)]
    assert "give one of them" in refused(capsys, [*given, "--db", "postgresql://x/y", "--table", "t"])
    assert "codes alone know no --labels" in refused(capsys, [*given[:2], "--labels", "1", *given[3:]])
    assert "give at least one image file" in refused(capsys, [*given[:2], *given[3:]])
    assert "nowhere is not there" in refused(capsys, [*given[:4], str(tmp_path / "nowhere")])
    assert "is no file; give an encoder_*.tflite" in refused(capsys, ["search", str(tmp_path), *given[2:]])
    with pytest.raises(dsh.InputError, match="no image with the id 999"):
        names_of(output, [999])
    assert "another file" not in capsys.readouterr().err
    other = tmp_path / "other" / model.name
    other.parent.mkdir()
    changed = model.read_bytes() + b"\0"
    other.write_bytes(changed)
    about = json.loads(model.with_suffix(".json").read_text()) | {"sha256": hashlib.sha256(changed).hexdigest()}
    other.with_suffix(".json").write_text(json.dumps(about))
    assert main(["search", str(other), *given[2:]]) == 0
    assert "another file than" in capsys.readouterr().err
    (output / "codes-000000.parquet").write_bytes(b"torn")
    assert "codes-000000.parquet is not what manifest.json says" in refused(capsys, given)


def refused(capsys, arguments):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().split("\n")
    return line


def test_what_cannot_be_used_is_one_line(kit, model, images, tmp_path, capsys, monkeypatch):
    source, output = write_folder(tmp_path / "photos", images[:5]), tmp_path / "codes"
    (tmp_path / "empty").mkdir()
    assert "is not there" in refused(capsys, command(tmp_path / "nowhere", model, output))
    assert "holds no images" in refused(capsys, command(tmp_path / "empty", model, output))
    assert "is no export" in refused(capsys, command(source, tmp_path, output))
    assert "openvino does not run" in refused(capsys, command(source, model, output, "--engine", "openvino"))
    assert "cannot list s3nothing://x" in refused(capsys, command("s3nothing://x", model, output))
    (tmp_path / "t.csv").write_text("name\na.png\n")
    assert "neither a column path" in refused(capsys, command(tmp_path / "t.csv", model, output))
    given = [*command(source, model, output)[:-2], "--scheduler", "tcp://127.0.0.1:1"]
    monkeypatch.setattr(driver, "PATIENCE", 1)
    assert "no scheduler answers at tcp://127.0.0.1:1" in refused(capsys, given)
    assert "workers must be at least 1, got 0" in refused(capsys, [*command(source, model, output)[:-1], "0"])
    assert "typo.tar is not there" in refused(capsys, command(tmp_path / "typo.tar", model, output))
    assert "give one of the two" in refused(capsys, [*given, "--workers", "1"])
    assert "holds no plan.parquet" in refused(capsys, command(source, model, source))
    assert main(command(source, model, output)) == 0
    capsys.readouterr()
    other = kit / "served" / "1"
    assert "is of model_sha256" in refused(capsys, command(source, other, output))
    assert "is of relaxed_codes False, not True" in refused(capsys, command(source, model, output, "--relaxed"))


def test_nothing_is_half_written(model, images, tmp_path, monkeypatch):
    """A worker that dies between batches leaves no file of its shard."""
    from dshgan_tf.bulk_encoding import shard as work

    write_folder(tmp_path, images)
    task = work.Shard(0, "files", str(tmp_path), ("0/00000.png", "0/00001.png"), str(tmp_path / "codes.parquet"))
    export = work.Export(str(model), "litert", checksum(model), None)
    monkeypatch.setattr(work, "MOST_ROWS", 1)
    with pytest.raises(dsh.errors.InputError, match="split it"):
        work.encode_shard(task, export, False)
    assert not list(Path(tmp_path).glob("*codes*")) and not [name for name in os.listdir(tmp_path) if "part" in name]
