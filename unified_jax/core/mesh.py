"""Names of the axes of a device mesh, for those who place arrays on one and those who run code on its devices."""

AXES = ("data", "fsdp", "expert", "tensor")
ROWS = AXES[:3]  # what the rows of a batch are split over
HEADS = AXES[3]  # what heads and hidden widths are split over
