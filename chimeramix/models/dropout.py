"""Dropout with fast random numbers on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`; on a CPU each 64 random bits decide on four values instead of one.

    There, PyTorch draws a mask number by number in one thread, which takes a fifth of a WRN-16-8's step in bf16. With
    16 bits the probability is `p` rounded to a multiple of 1 / 65536 (for 0.3: 0.300003); the values that are kept are
    scaled accordingly.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Like `inputs` of any shape; in evaluation mode `inputs` themselves."""
        dropped = round(self.p * 2**16)
        if inputs.device.type != "cpu" or torch.compiler.is_compiling() or dropped in (0, 2**16):
            return F.dropout(inputs, self.p, self.training)
        if not self.training:
            return inputs
        bits = torch.empty(-(-inputs.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        layout = torch.empty_like(inputs, device="meta").stride()  # the mask has the memory layout of the inputs
        kept = bits.view(torch.int16).as_strided(inputs.shape, layout) >= dropped - 2**15
        return inputs * kept.to(inputs.dtype).mul_(2**16 / (2**16 - dropped))
