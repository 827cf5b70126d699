"""Packaging: everything is installed under the one name dshgan_tf."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
EXPORT = [f"dshgan_tf.export{name}" for name in ("", ".edge", ".microcontroller", ".serving", ".web")]


def requirements(name):
    """Return the lines of a requirements file."""
    return [line for line in (HERE / name).read_text().splitlines() if line and not line.startswith("#")]


setup(
    name="dshgan-tf",
    version="0.1.0",
    description="Semantic image hashing with few labels: DSH-GANs on Keras 3 and TensorFlow",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # The programs lie at the top level of the repository, and inside the one package where it is installed.
    packages=find_packages(include=["dshgan_tf*"]) + ["dshgan_tf.training", *EXPORT],
    package_dir={"dshgan_tf.training": "training", "dshgan_tf.export": "export"},
    package_data={
        "dshgan_tf.export.edge": ["*.kt", "*.md", "*.swift", "*.txt"],
        "dshgan_tf.export.microcontroller": ["*.cc", "*.md"],
        "dshgan_tf.export.serving": ["*.config", "*.yml"],
        "dshgan_tf.export.web": ["*.css", "*.html", "*.js", "*.litert", "*.md", "*.ts"],
    },
    install_requires=requirements("requirements.txt"),
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.19"],
        "cluster": ["distributed>=2026.1"],
        "db": ["psycopg[binary]>=3.2"],
        "demo": ["gradio>=6.31,<7"],
        "micro": ["tflite-micro"],
        "docs": requirements("requirements-docs.txt"),
    },
    entry_points={
        "console_scripts": [
            "dshgan=dshgan_tf.commands.main:entry",
        ]
    },
)
