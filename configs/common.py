"""Values that every run has; a config file starts from ``base()`` and changes what is its own."""

from ml_collections import ConfigDict


def base() -> ConfigDict:
    c = ConfigDict()
    c.seed = 0
    c.steps = 1000
    c.minutes = 0.0  # where set: at most as many steps as this machine does in that time
    c.mesh = ConfigDict({"data": -1})
    c.accumulate = 1  # micro-batches of packing.rows rows in each update
    c.ema_decay = 0.995
    c.bad_records = 100
    c.on_bad_step = "stop"  # or "skip"
    c.log_every = 20
    c.save_every = 500
    c.evaluate_every = 0
    c.keep = 2
    c.tokenizer = ConfigDict({"vocab": 512, "documents": 2000})  # trained on the texts of so many
    c.router = ConfigDict({"load": 0.01, "z": 0.001})  # weights of the losses of learned routers
    c.optimizer = adamw()
    c.packing = ConfigDict({"rows": 16, "null_rate": 0.1, "layouts": ()})
    return c


def adamw(learning_rate: float = 1e-3) -> ConfigDict:
    return ConfigDict(
        dict(
            name="adamw",
            learning_rate=learning_rate,
            matrix_learning_rate=1e-2,  # muon only
            warmup=50,
            final=0.02,
            weight_decay=0.0,
            b1=0.9,
            b2=0.95,
            clip=1.0,
            freeze="",
            averaged="",
        )
    )


def muon(learning_rate: float = 2e-3, matrix_learning_rate: float = 1e-2) -> ConfigDict:
    c = adamw(learning_rate)
    c.name, c.matrix_learning_rate = "muon", matrix_learning_rate
    return c


def layout(slots: int, **streams: int) -> ConfigDict:
    """A packed row of one lane."""
    return ConfigDict({"lanes": {"main": slots}, "streams": streams})
