"""Dropout whose random numbers cost little on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`; on a CPU each 64 bits of torch's generator decide on four values instead of one.

    PyTorch draws a mask there with one number after the other, in one thread: a fifth of a WRN-16-8's step in bf16.
    With 16 bits the probability is that of `p` rounded to a multiple of 1 / 65536 (for 0.3: 0.300003), which the scale
    of what is kept takes into account.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Like `inputs` of any shape; in evaluation mode `inputs` themselves."""
        dropped = round(self.p * 2**16)
        if inputs.device.type != "cpu" or torch.compiler.is_compiling() or dropped in (0, 2**16):
            return F.dropout(inputs, self.p, self.training)
        if not self.training:
            return inputs
        bits = torch.empty(-(-inputs.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        layout = torch.empty_like(inputs, device="meta").stride()  # the mask lies in memory as the inputs do
        kept = bits.view(torch.int16).as_strided(inputs.shape, layout) >= dropped - 2**15
        return inputs * kept.to(inputs.dtype).mul_(2**16 / (2**16 - dropped))
