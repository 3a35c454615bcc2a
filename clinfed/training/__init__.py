"""Everything that needs torch: the model, batches, the training loop, prediction, pretraining."""

import os

# On the CPU each new shape of a bfloat16 product keeps a kernel of its own, up to 1,024: after some rounds a worker
# of the tiny base held 2.5 GB. With 64, one small epoch took 0.4 GB less at the same speed. Read at first use.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
