"""One thread: models this small compute fastest so, and a busy machine cannot slow them down by a barrier."""

import torch

torch.set_num_threads(1)
