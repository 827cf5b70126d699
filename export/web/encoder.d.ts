/** An encoder: pictures to packed codes, most significant bit first. */
export declare class Encoder {
  /** Bits of a code. */
  readonly numBits: number;
  /** Height, width and channels that the network takes. */
  readonly imageShape: [number, number, number];
  /** SHA-256 of the encoder's file: codes of another file cannot be compared. */
  readonly checksum: string;
  /** Load an encoder of the folder in which this module lies, or of another. */
  static load(variant?: "int8" | "float32", folder?: string | URL): Promise<Encoder>;
  /** Hash a picture: a file in a format that the browser knows, or one that is decoded. */
  encode(picture: Blob | ImageBitmap): Promise<Uint8Array>;
  /** Hash pixels of any size. */
  encodePixels(image: ImageData): Promise<Uint8Array>;
  /** Hash pixels of `imageShape`, row by row, channels together. */
  run(pixels: Uint8Array): Promise<Uint8Array>;
}

/** In how many bits two codes differ. */
export declare function hammingDistance(left: Uint8Array, right: Uint8Array): number;
