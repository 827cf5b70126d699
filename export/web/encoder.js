// @ts-check
// Hash pictures in the browser. No picture leaves it.
import {loadAndCompile, loadLiteRt, Tensor} from "./litert.js";
import {channelsOf, decode, resize} from "./pixels.js";

/** @type {Promise<unknown> | undefined} */
let runtime;

/** An encoder: pictures to packed codes, most significant bit first. */
export class Encoder {
  /**
   * @param {import("./litert.js").CompiledModel} model
   * @param {{num_bits: number, image_shape: number[], class_names?: string[]}} about
   */
  constructor(model, about) {
    this.model = model;
    this.numBits = about.num_bits;
    this.imageShape = about.image_shape;
  }

  /**
   * Load an encoder. Several threads compute where the page is cross-origin isolated, else one.
   * @param {"int8" | "float32"} variant
   * @param {string | URL} folder where the files of the export lie
   * @returns {Promise<Encoder>}
   */
  static async load(variant = "int8", folder = new URL(".", import.meta.url)) {
    const here = new URL(folder, location.href);
    runtime ??= loadLiteRt(here.href, {threads: globalThis.crossOriginIsolated === true});
    await runtime;
    const about = await fetched(new URL(`encoder_${variant}.json`, here));
    const file = await fetched(new URL(`encoder_${variant}.tflite`, here));
    const model = await loadAndCompile(new Uint8Array(await file.arrayBuffer()), {accelerator: "wasm"});
    return new Encoder(model, await about.json());
  }

  /**
   * Hash a picture.
   * @param {Blob | ImageBitmap} picture a file in a format that the browser knows, or one that is decoded
   * @returns {Promise<Uint8Array>} its code
   */
  async encode(picture) {
    return this.encodePixels(await decode(picture));
  }

  /**
   * Hash pixels.
   * @param {ImageData} image of any size
   * @returns {Promise<Uint8Array>} its code
   */
  async encodePixels(image) {
    const [height, width, channels] = this.imageShape;
    const pixels = channelsOf(image, channels);
    return this.run(resize(pixels, [image.height, image.width, channels], height, width));
  }

  /**
   * Hash what has the encoder's own size.
   * @param {Uint8Array} pixels of `imageShape`, row by row, channels together
   * @returns {Promise<Uint8Array>} its code
   */
  async run(pixels) {
    const input = new Tensor(pixels, [1, ...this.imageShape]);
    const {codes, relaxed_codes} = await this.model.run({images: input});
    const code = Uint8Array.from(/** @type {Uint8Array} */ (codes.toTypedArray()));
    for (const tensor of [input, codes, relaxed_codes]) tensor.delete(); // they lie in memory of their own
    return code;
  }
}

/**
 * @param {Uint8Array} left a code
 * @param {Uint8Array} right another
 * @returns {number} in how many bits they differ
 */
export function hammingDistance(left, right) {
  let distance = 0;
  left.forEach((byte, i) => {
    for (let rest = byte ^ right[i]; rest !== 0; rest &= rest - 1) ++distance;
  });
  return distance;
}

/** @param {URL} url */
async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} is not there (${answer.status}); copy the whole folder of the export`);
  return answer;
}
