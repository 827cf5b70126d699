// @ts-check
// Hash pictures in the browser. No picture leaves it.
import {loadAndCompile, loadLiteRt, Tensor} from "./litert.js";
import {channelsOf, decode, resize} from "./pixels.js";

/** @type {Promise<unknown> | undefined} */
let runtime;

/**
 * Start LiteRT.js once: with threads where the page is cross-origin isolated and the browser can, else with one.
 * @param {string} folder of its files
 */
async function started(folder) {
  const one = () => loadLiteRt(folder, {threads: false});
  runtime ??= globalThis.crossOriginIsolated ? loadLiteRt(folder, {threads: true}).catch(one) : one();
  try {
    await runtime;
  } catch (error) {
    runtime = undefined; // a later call may try again
    throw error;
  }
}

/** An encoder: pictures to packed codes, most significant bit first. */
export class Encoder {
  /**
   * @param {import("./litert.js").CompiledModel} model
   * @param {{num_bits: number, image_shape: number[], ground: number, sha256: string}} about
   */
  constructor(model, about) {
    this.model = model;
    this.numBits = about.num_bits;
    this.imageShape = about.image_shape;
    this.ground = about.ground;
    this.checksum = about.sha256;
  }

  /**
   * Load an encoder. Several threads compute where the page is cross-origin isolated, else one.
   * @param {"int8" | "float32"} variant
   * @param {string | URL} folder where the files of the export lie
   * @returns {Promise<Encoder>}
   */
  static async load(variant = "int8", folder = new URL(".", import.meta.url)) {
    const here = new URL(`${folder}/`.replace(/\/+$/, "/"), location.href);
    await started(here.href);
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
    return this.encodePixels(await decode(picture, this.ground));
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
    const tensors = [input]; // they lie in memory of their own, and nobody else frees it
    try {
      const {codes, relaxed_codes} = await this.model.run({images: input});
      tensors.push(codes, relaxed_codes);
      return /** @type {Uint8Array} */ (codes.toTypedArray());
    } finally {
      for (const tensor of tensors) tensor.delete();
    }
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
  const answer = await fetch(url, {cache: "no-cache"}); // file and description are of one export
  if (!answer.ok) throw new Error(`${url} is not there (${answer.status}); copy the whole folder of the export`);
  return answer;
}
