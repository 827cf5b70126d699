"""The LiteRT encoders on ARM64 processors, as qemu plays them: `make arm`. No ARM machine was at hand."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hash_images import codes_of
from rich.console import Console
from rich.table import Table

import dshgan_tf as dsh
from dshgan_tf.commands.main import main

HERE, ARM = Path(__file__).parent, Path(os.environ.get("DSHGAN_ARM", ".arm")).resolve()
VARIANTS = [f"encoder_{name}" for name in ("float32", "float16", "dynamic", "int8")]
BASIC = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
PROCESSORS = {  # qemu's name -> the part number by which LiteRT knows it, and what it can do
    "cortex-a53": ("0xd03", BASIC),
    "cortex-a76": ("0xd0b", f"{BASIC} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
    "neoverse-n1": ("0xd0c", f"{BASIC} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
}


def arm_codes(processor, images, models, folder):
    """Hash images with the Python and the LiteRT of an ARM64 machine."""
    part, features = PROCESSORS[processor]
    lines = ("processor\t: 0", f"Features\t: {features}", "CPU implementer\t: 0x41", "CPU architecture: 8")
    lines += ("CPU variant\t: 0x0", f"CPU part\t: {part}", "CPU revision\t: 4")
    (ARM / "debian" / "proc").mkdir(exist_ok=True)
    (ARM / "debian" / "proc" / "cpuinfo").write_text("\n".join(lines) + "\n")
    np.save(folder / "images.npy", images)
    environment = {
        "QEMU_LD_PREFIX": str(ARM / "debian"),
        "QEMU_CPU": processor,
        "PYTHONHOME": str(ARM / "debian" / "usr"),
    }
    environment |= {"PYTHONPATH": str(ARM / "debian" / "site"), "PATH": os.environ["PATH"]}
    files = [folder / "images.npy", folder / f"{processor}.npz", *models]
    python = ARM / "debian" / "usr" / "bin" / "python3.11"
    command = ["qemu-aarch64-static", python, "-B", HERE / "hash_images.py", *files]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / f"{processor}.npz") as codes:
        assert codes["machine"] == "aarch64"
        return dict(codes)


@pytest.fixture(scope="module")
def edge(trained, tmp_path_factory):
    if kit := os.environ.get("DSHGAN_KIT"):
        return Path(kit)
    output = tmp_path_factory.mktemp("exports") / "edge"
    assert main(["export", str(trained), "--format", "tflite", "--quantize", "all", "--output", str(output)]) == 0
    return output


def test_codes_are_those_of_this_machine(edge, tmp_path):
    """DSHGAN_KIT and DSHGAN_IMAGES (uint8, an .npy file) name another kit of LiteRT files and its images."""
    if given := os.environ.get("DSHGAN_IMAGES"):
        images = np.load(given)[:1000]
    else:
        images = dsh.data.load("digits").database.images[:1000]
    models = [edge / f"{name}.tflite" for name in VARIANTS]
    here = {name: codes_of(str(model), images) for name, model in zip(VARIANTS, models, strict=True)}
    bits = len(images) * json.loads(models[0].with_suffix(".json").read_text())["num_bits"]
    table = Table("processor", *VARIANTS, title=f"bits that differ from this machine's, of {bits:,}")
    different = {}
    for processor in PROCESSORS:
        found = arm_codes(processor, images, models, tmp_path)
        counts = [int(np.bitwise_count(found[name] ^ here[name]).sum()) for name in VARIANTS]
        different |= {(processor, name): count for name, count in zip(VARIANTS, counts, strict=True)}
        table.add_row(processor, *map(str, counts))
    Console().print(table)
    assert len(np.unique(here["encoder_float32"], axis=0)) > 9
    assert all(count == 0 for (_, name), count in different.items() if name == "encoder_int8"), different
    # Sums of floats in another order: a bit in ten thousand may fall to the other side.
    assert all(count <= bits / 10_000 for count in different.values()), different
