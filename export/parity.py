"""Does an exported encoder give the codes that Keras gives?"""

from __future__ import annotations

import dataclasses

import numpy as np

import dshgan_tf as dsh
from dshgan_tf.errors import ExportError

UNDECIDED = 1e-5  # so near to 0.5 a relaxed code may fall to either side in another order of summation


@dataclasses.dataclass(frozen=True)
class Floor:
    """What an exported encoder must reach.

    Args:
        agreement: least share of bits equal to Keras', those that were undecided not counted as different.
        map_loss: most that MAP may lie below Keras'.
    """

    agreement: float
    map_loss: float

    def check(self, what: str, parity: Parity, mean_average_precision: float, keras_map: float) -> None:
        """Raise where an encoder stays below.

        Args:
            what: name of the exported encoder, for the message.
            parity: its bits beside Keras'.
            mean_average_precision: of its codes.
            keras_map: of Keras' codes.

        Raises:
            ExportError: too many bits differ, or MAP fell.
        """
        reached = 1 - (parity.different - parity.undecided) / parity.bits
        if reached < self.agreement:
            raise ExportError(
                f"{what}: {parity.different - parity.undecided} of {parity.bits} bits differ from Keras' "
                f"({reached:.3%} agree, {self.agreement:.2%} are asked for); nothing was exported"
            )
        if mean_average_precision < keras_map - self.map_loss:
            raise ExportError(
                f"{what}: MAP {mean_average_precision:.4f} is more than {self.map_loss} below Keras' {keras_map:.4f}; "
                "nothing was exported"
            )


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
