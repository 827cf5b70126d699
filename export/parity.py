"""Does an exported encoder give the codes that Keras gives?"""

from __future__ import annotations

import dataclasses

import numpy as np

import dshgan_tf as dsh

UNDECIDED = 1e-5  # so near to 0.5 a relaxed code may fall to either side in another order of summation


@dataclasses.dataclass(frozen=True)
class Parity:
    """Bits of an exported encoder beside Keras'.

    Args:
        images: number of images compared.
        bits: number of bits compared.
        different: bits that differ.
        undecided: those among them whose relaxed code lies within 1e-5 of 0.5 in Keras.
    """

    images: int
    bits: int
    different: int
    undecided: int

    @property
    def agreement(self) -> float:
        """Share of equal bits, in [0, 1]."""
        return 1 - self.different / self.bits

    def check(self, what: str) -> None:
        """Raise unless every bit that differs was undecided.

        Args:
            what: name of the exported encoder, for the message.

        Raises:
            ValueError: bits differ that were decided.
        """
        wrong = self.different - self.undecided
        if wrong:
            raise ValueError(f"{what}: {wrong} of {self.bits} bits differ from Keras'; nothing was exported")


def compare(codes: np.ndarray, relaxed_codes: np.ndarray) -> Parity:
    """Compare exported codes with Keras' relaxed codes.

    Args:
        codes: (N, ceil(K/8)) uint8 of the exported encoder.
        relaxed_codes: (N, K) float of Keras.

    Returns:
        The counts.
    """
    num_bits = relaxed_codes.shape[1]
    different = dsh.codes.unpack(codes, num_bits) != dsh.codes.binarise(relaxed_codes)
    undecided = different & (np.abs(relaxed_codes - 0.5) < UNDECIDED)
    return Parity(len(codes), different.size, int(different.sum()), int(undecided.sum()))
