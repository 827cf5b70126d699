"""Packaging of dshgan_tf: three packages, explicit, with their data files."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent

setup(
    name="dshgan-tf",
    version="0.1.0",
    description="Semantic image hashing with few labels: DSH-GANs on Keras 3 and TensorFlow",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        "dshgan_tf",
        "dshgan_tf.commands",
        "dshgan_tf.data",
        "dshgan_tf.demo",
        "dshgan_tf.search",
        "training",
        "export",
        "export.edge",
        "export.serving",
    ],
    package_data={"export.edge": ["*.txt", "*.md"], "export.serving": ["*.config", "*.yml"]},
    install_requires=[
        line for line in (HERE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
    ],
    extras_require={"gpu": ["tensorflow[and-cuda]>=2.19"], "demo": ["gradio>=6.31,<7"]},
    entry_points={
        "console_scripts": [
            "dshgan=dshgan_tf.commands.main:entry",
        ]
    },
)
